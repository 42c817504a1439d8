/**
 * Tokens of an xl configuration file, after the scanner of xen/tools/libs/util/libxlu_cfg_l.l. The text is bytes (latin1):
 * file and messages pass through unchanged whatever their encoding. Line numbers are as xl counts them, so that messages agree.
 */
export type TokenKind = 'IDENT' | 'STRING' | 'NUMBER' | 'NEWLINE' | '+=' | '=' | ';' | '[' | ']' | ',' | '$end';

export interface Token {
  readonly kind: TokenKind;
  /** As written, for messages. */
  readonly text: string;
  /** The value of a STRING with its escapes resolved; otherwise `text`. */
  readonly value: string;
  readonly line: number;
}

export interface LexerReport {
  /** A lexical error in `text`, read up to `line`; parsing goes on to find more. */
  lexicalError(text: string, line: number, message: string): void;
  /** Text was met that a Python program would have. */
  looksLikePython(): void;
}

const simple: Readonly<Record<string, TokenKind>> = { ',': ',', '[': '[', ']': ']', '=': '=', ';': ';' };
const identifier = /[a-z][._0-9a-z]*/y;
const number = /[0-9][0-9a-fx]*/y;
const quoted = /'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*"/y;
const comment = /#[^\n]*\n/y;
/** The range of xl's scanner runs from `+` to `.`; the comma in it is a token of its own. */
const pythonCharacters = '+-.():';

export class Lexer {
  readonly #text: string;
  readonly #report: LexerReport;
  #at = 0;
  #line = 1;

  constructor(text: string, report: LexerReport) {
    this.#text = text;
    this.#report = report;
  }

  next(): Token {
    for (;;) {
      const c = this.#text[this.#at];
      if (c === undefined) return this.#token('$end', '');
      if (c === ' ' || c === '\t') {
        this.#at += 1;
        continue;
      }
      const newline = c === '\n' ? '\n' : this.#match(comment);
      if (newline !== undefined) {
        this.#at += newline.length;
        this.#line += 1;
        return { kind: 'NEWLINE', text: newline, value: newline, line: this.#line - 1 };
      }
      if (c === '+' && this.#text[this.#at + 1] === '=') return this.#token('+=', '+=');
      const kind = simple[c];
      if (kind !== undefined) return this.#token(kind, c);
      const name = this.#match(identifier);
      if (name !== undefined) return this.#token('IDENT', name);
      const digits = this.#match(number);
      if (digits !== undefined) return this.#token('NUMBER', digits);
      const literal = this.#match(quoted);
      if (literal !== undefined) {
        return { ...this.#token('STRING', literal), value: this.#unquote(literal) };
      }
      const after = this.#reject(c);
      if (after !== undefined) return after;
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0];
  }

  #token(kind: TokenKind, text: string): Token {
    this.#at += text.length;
    return { kind, text, value: text, line: this.#line };
  }

  /** Reports what begins at a character no token begins with: everything up to the next blank. */
  #reject(c: string): Token | undefined {
    if (pythonCharacters.includes(c)) this.#report.looksLikePython();
    let end = this.#at + 1;
    while (end < this.#text.length && !' \t\n'.includes(this.#text.charAt(end))) end += 1;
    const stuck = end === this.#at + 1;
    if (stuck && end < this.#text.length) end += 1;
    const text = this.#text.slice(this.#at, end);
    this.#at = end;
    if (!text.endsWith('\n')) {
      this.#report.lexicalError(text, this.#line, 'lexical error');
      return undefined;
    }
    this.#line += 1;
    this.#report.lexicalError(text, this.#line, 'lexical error');
    return { kind: 'NEWLINE', text, value: text, line: this.#line };
  }

  /**
   * Two of xl's escapes do not work, and files that pass here must pass there: a hexadecimal one is always an error
   * (libxlu_cfg.c wants more digits than it reads), a numerical one takes two or three decimal digits and yields nothing.
   */
  #unquote(literal: string): string {
    const end = literal.length - 1;
    let result = '';
    for (let at = 1; at < end;) {
      const c = literal.charAt(at++);
      if (c !== '\\') {
        result += c;
        continue;
      }
      const escaped = literal.charAt(at++);
      const plain = escapes[escaped];
      if (plain !== undefined) {
        result += plain;
      } else if (escaped === 'x') {
        return this.#badEscape(literal, 'invalid digit after backslash hexnumerical character escape in quoted string');
      } else if (escaped >= '0' && escaped <= '7') {
        const digits = /^[0-9]{0,3}/.exec(literal.slice(at, Math.min(at + 3, end)))?.[0] ?? '';
        if (digits.length < 2) {
          return this.#badEscape(
            literal,
            'invalid digit after backslash octalnumerical character escape in quoted string',
          );
        }
        at += digits.length;
      } else {
        return this.#badEscape(literal, 'invalid character after backlash in quoted string');
      }
    }
    return result;
  }

  #badEscape(literal: string, message: string): string {
    this.#report.lexicalError(literal, this.#line, message);
    return '';
  }
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
