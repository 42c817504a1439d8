/**
 * Statements of an xl configuration file, after the grammar of xen/tools/libs/util/libxlu_cfg_y.y, with its error recovery:
 * after a syntax error the rest of the line is skipped and the next error is told only when three tokens in a row were right.
 *
 *     file:  { [ IDENT ( '=' | '+=' ) value ] ( NEWLINE | ';' ) }      value: STRING | NUMBER | '[' [ value { ',' value } [ ',' ] ] ']'
 *
 * Newlines may stand anywhere inside a list, and nowhere else in a statement.
 */
import { Lexer, type Token, type TokenKind } from './lexer.ts';

export type Value = string | readonly Value[];

export interface Setting {
  readonly name: string;
  readonly value: Value;
  /** Written with `+=`; `value` is what came of it. */
  readonly appended: boolean;
  readonly line: number;
}

export interface ParsedText {
  /** By name; of several assignments the last one. Meaningless when `failed`. */
  readonly settings: ReadonlyMap<string, Setting>;
  readonly failed: boolean;
}

/** Lists nest as deep as memory allows in xl; here a file cannot exhaust the stack. */
const maxNesting = 100;

/** Parses `text` (bytes as latin1). Messages go to `report` in xl's words, one line each. */
export function parseText(text: string, source: string, report: (line: string) => void): ParsedText {
  return new Parser(text, source, report).parse();
}

class SyntaxStop extends Error {}

class Parser {
  readonly #source: string;
  readonly #report: (line: string) => void;
  readonly #lexer: Lexer;
  readonly #settings = new Map<string, Setting>();
  #ahead: Token | undefined;
  /** The one taken last: where xl's parser stands when it acts. */
  #last: Token = { kind: '$end', text: '', value: '', line: 1 };
  #failed = false;
  #python = false;
  #lexicalLine = -1;
  /** Tokens that must still be right before another syntax error is told. */
  #quiet = 0;

  constructor(text: string, source: string, report: (line: string) => void) {
    this.#source = source;
    this.#report = report;
    this.#lexer = new Lexer(text, {
      lexicalError: (near, line, message) => {
        this.#error(near, line, message);
        this.#failed = true;
        this.#lexicalLine = line;
      },
      looksLikePython: () => (this.#python = true),
    });
  }

  parse(): ParsedText {
    try {
      while (this.#peek().kind !== '$end') this.#statementOrRecover();
    } catch (error) {
      if (!(error instanceof SyntaxStop)) throw error;
    }
    if (this.#failed && this.#python) {
      this.#report('warning: Config file looks like it contains Python code.');
      this.#report('warning:  Arbitrary Python is no longer supported.');
      this.#report('warning:  See https://wiki.xen.org/wiki/PythonInXlConfig');
    }
    return { settings: this.#settings, failed: this.#failed };
  }

  #statementOrRecover(): void {
    const name = this.#peek();
    if (name.kind === 'NEWLINE' || name.kind === ';') {
      this.#take();
      return;
    }
    if (!this.#tryStatement(name)) {
      // `error NEWLINE`: what is left of the line is dropped.
      while (this.#peek().kind !== 'NEWLINE') {
        if (this.#peek().kind === '$end') throw new SyntaxStop();
        this.#ahead = undefined;
      }
      this.#take();
    }
  }

  #tryStatement(name: Token): boolean {
    if (name.kind !== 'IDENT') return this.#unexpected(['$end', 'IDENT', 'NEWLINE', ';']);
    this.#take();
    const operator = this.#peek().kind;
    if (operator !== '=' && operator !== '+=') return this.#unexpected(['+=', '=']);
    this.#take();
    const value = this.#value(0);
    if (value === undefined) return false;
    this.#store(name.text, operator === '+=', value.value, value.line);
    const end = this.#peek().kind;
    if (end === '$end') return true;
    if (end !== 'NEWLINE' && end !== ';') {
      // Here the file is complete as far as xl's parser knows, so it can only give up.
      this.#unexpected(['$end']);
      throw new SyntaxStop();
    }
    this.#take();
    return true;
  }

  #value(depth: number): { value: Value; line: number } | undefined {
    const token = this.#peek();
    if (token.kind === 'STRING' || token.kind === 'NUMBER') {
      this.#take();
      return { value: decode(token.value), line: token.line };
    }
    if (token.kind !== '[') {
      this.#unexpected(depth === 0 ? ['STRING', 'NUMBER', '['] : [']']);
      return undefined;
    }
    if (depth >= maxNesting) {
      this.#error(token.text, token.line, 'lists are nested too deeply');
      this.#failed = true;
      throw new SyntaxStop();
    }
    this.#take();
    const items: Value[] = [];
    this.#skipNewlines();
    while (this.#peek().kind !== ']') {
      const item = this.#value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item.value);
      this.#skipNewlines();
      if (this.#peek().kind !== ',') break;
      this.#take();
      this.#skipNewlines();
    }
    if (this.#peek().kind !== ']') {
      this.#unexpected([']']);
      return undefined;
    }
    this.#take();
    return { value: items, line: token.line };
  }

  #store(name: string, appended: boolean, value: Value, line: number): void {
    if (this.#failed) return;
    const previous = appended ? this.#settings.get(name) : undefined;
    if (previous === undefined) {
      this.#settings.set(name, { name, value, appended, line });
    } else if (typeof previous.value === 'string' && typeof value === 'string') {
      this.#settings.set(name, { name, value: previous.value + value, appended, line });
    } else if (typeof previous.value !== 'string' && typeof value !== 'string') {
      this.#settings.set(name, { name, value: [...previous.value, ...value], appended, line });
    } else {
      const { text, line: end } = this.#last;
      this.#error(text, end, 'can\'t add [list] to "string" or vice versa');
      this.#failed = true;
    }
  }

  #skipNewlines(): void {
    while (this.#peek().kind === 'NEWLINE') this.#take();
  }

  #peek(): Token {
    return (this.#ahead ??= this.#lexer.next());
  }

  #take(): void {
    this.#last = this.#peek();
    this.#ahead = undefined;
    if (this.#quiet > 0) this.#quiet -= 1;
  }

  #unexpected(expected: readonly TokenKind[]): false {
    const token = this.#peek();
    if (this.#quiet === 0) {
      const wanted = expected.map(spelling).join(' or ');
      this.#error(token.text, token.line, `syntax error, unexpected ${spelling(token.kind)}, expecting ${wanted}`);
    }
    this.#failed = true;
    this.#quiet = 3;
    return false;
  }

  /** A newline is reported for the line before, as xl does. */
  #error(near: string, line: number, message: string): void {
    if (line <= this.#lexicalLine) return;
    const atNewline = near.endsWith('\n');
    const text = (atNewline ? near.slice(0, -1) : near).replace(/[\t ]+$/, '');
    const where = near === '\n' ? '<newline>' : text === '' ? '' : `\`${text}'`;
    this.#report(
      `${this.#source}:${line - (atNewline ? 1 : 0)}: config parsing error near ${decode(where)}: ${message}`,
    );
  }
}

function spelling(kind: TokenKind): string {
  return kind.length === 1 ? `'${kind}'` : kind;
}

function decode(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
