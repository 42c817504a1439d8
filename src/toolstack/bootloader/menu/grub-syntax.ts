/**
 * The syntax of GRUB 2's scripts (GRUB manual, "Writing full configuration files directly", "Shell-like scripting"): words with quotes and variables,
 * commands, conditions, and commands with a block. Loops and functions are read over.
 */
import { BootFailure } from '../boot-failure.ts';

export type Part = { readonly text: string } | { readonly variable: string; readonly quoted: boolean };
export interface Word {
  readonly parts: readonly Part[];
  /** An empty word that was quoted stays a word. */
  readonly quoted: boolean;
}

export type Statement =
  | { readonly kind: 'command'; readonly words: readonly Word[]; readonly block: Script | undefined }
  | { readonly kind: 'if'; readonly clauses: readonly Clause[]; readonly otherwise: Script };
export interface Clause {
  readonly condition: Script;
  readonly then: Script;
}
export type Script = readonly Statement[];

type Token = Word | 'end' | '{' | '}';

const MAX_NESTING = 32;

export function parseGrubScript(text: string): Script {
  const parser = new Parser([...tokens(text)]);
  return parser.script([], 0);
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** Up to one of the words that end it, which is taken too. */
  script(ends: readonly string[], nesting: number): Script {
    if (nesting > MAX_NESTING) throw new BootFailure('the menu is nested too deeply');
    const statements: Statement[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token === undefined) return statements;
      const word = plainWord(token);
      if (word !== undefined && ends.includes(word)) return statements;
      // A brace with nothing to close, or a block without command: pygrub stops there; the rest may be of use.
      if (typeof token === 'string') this.#at++;
      else if (word === 'if') statements.push(this.#if(nesting));
      else if (word === 'for' || word === 'while' || word === 'until') this.#loop(nesting);
      else statements.push(...this.#command(nesting));
    }
  }

  #if(nesting: number): Statement {
    const clauses: Clause[] = [];
    let otherwise: Script = [];
    let word: string | undefined = 'if';
    while (word === 'if' || word === 'elif') {
      this.#at++;
      const condition = this.script(['then'], nesting + 1);
      this.#at++;
      clauses.push({ condition, then: this.script(['elif', 'else', 'fi'], nesting + 1) });
      word = plainWord(this.#tokens[this.#at]);
    }
    if (word === 'else') {
      this.#at++;
      otherwise = this.script(['fi'], nesting + 1);
    }
    this.#at++;
    return { kind: 'if', clauses, otherwise };
  }

  #loop(nesting: number): void {
    this.#at++;
    this.script(['do'], nesting + 1);
    this.#at++;
    this.script(['done'], nesting + 1);
    this.#at++;
  }

  #command(nesting: number): Statement[] {
    const words: Word[] = [];
    let block: Script | undefined;
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token === undefined || token === 'end') break;
      this.#at++;
      if (token === '{') {
        block = this.script(['}'], nesting + 1);
        this.#at++;
        break;
      }
      words.push(token === '}' ? { parts: [{ text: token }], quoted: false } : token);
    }
    return plainWord(words[0]) === 'function' ? [] : [{ kind: 'command', words, block }];
  }
}

/** What a token says when it is a brace or a word without quotes and variables. */
function plainWord(token: Token | undefined): string | undefined {
  if (token === undefined || token === 'end') return undefined;
  if (typeof token === 'string') return token;
  const [part, ...others] = token.parts;
  return part !== undefined && 'text' in part && others.length === 0 && !token.quoted ? part.text : undefined;
}

const blanks = ' \t\r';
const separators = '\n;';

function* tokens(text: string): Generator<Token, void> {
  let at = 0;
  while (at < text.length) {
    const char = text.charAt(at);
    if (blanks.includes(char)) {
      at++;
    } else if (separators.includes(char)) {
      yield 'end';
      at++;
    } else if (char === '#') {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else if ((char === '{' || char === '}') && (blanks + separators).includes(text.charAt(at + 1))) {
      yield char;
      at++;
    } else {
      const word = readWord(text, at);
      yield word;
      at = word.end;
    }
  }
}

function readWord(text: string, start: number): Word & { readonly end: number } {
  const parts: Part[] = [];
  let literal = '';
  let quoted = false;
  let quote: '"' | "'" | undefined;
  let at = start;
  const flush = (): void => {
    if (literal !== '') parts.push({ text: literal });
    literal = '';
  };
  for (; at < text.length; at++) {
    const char = text.charAt(at);
    if (quote === undefined && (blanks + separators).includes(char)) break;
    if (char === quote) {
      quote = undefined;
    } else if (quote === undefined && (char === '"' || char === "'")) {
      quote = char;
      quoted = true;
    } else if (char === '\\' && quote !== "'") {
      at++;
      const next = text.charAt(at);
      // In double quotes a backslash stays before what it has no meaning for.
      if (quote === '"' && !'$"\\\n'.includes(next)) literal += char;
      if (next !== '\n') literal += next;
    } else if (char === '$' && quote !== "'") {
      const variable = /^\$(?:\{(\w+|[?#*@])\}|(\w+|[?#*@]))/.exec(text.slice(at, at + 256));
      if (variable === null) {
        literal += char;
        continue;
      }
      flush();
      parts.push({ variable: variable[1] ?? variable[2] ?? '', quoted: quote === '"' });
      at += variable[0].length - 1;
    } else {
      literal += char;
    }
  }
  flush();
  return { parts, quoted, end: at };
}
