/** C's strtol and friends, whose rules for what is a number are part of the configuration language. */

export interface ReadNumber {
  readonly value: number;
  /** Where reading stopped; equal to the start when there was no number. */
  readonly end: number;
  /** Outside of what a C `long` holds. */
  readonly overflow: boolean;
}

const longMax = 2 ** 63;

/** strtol(3): blanks, a sign, then digits of `base`; base 0 takes `0x` and `0` prefixes into account. */
export function strtol(text: string, base: 0 | 10 | 16 = 0, start = 0): ReadNumber {
  const pattern = base === 10 ? decimal : base === 16 ? hexadecimal : anyBase;
  pattern.lastIndex = start;
  const match = pattern.exec(text);
  if (match === null) return { value: 0, end: start, overflow: false };
  const digits = (match[2] ?? '').toLowerCase();
  const radix = base !== 0 ? base : digits.startsWith('0x') ? 16 : digits.startsWith('0') ? 8 : 10;
  const plain = digits.startsWith('0x') ? digits.slice(2) : digits;
  const magnitude = Number.parseInt(plain, radix);
  const value = match[1] === '-' ? -magnitude : magnitude;
  return { value: value === 0 ? 0 : value, end: pattern.lastIndex, overflow: magnitude >= longMax };
}

const decimal = /[ \t\n\v\f\r]*([+-]?)([0-9]+)/y;
const hexadecimal = /[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|[0-9a-fA-F]+)/y;
const anyBase = /[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)/y;

/** atoi(3): what is no number is 0. */
export function atoi(text: string): number {
  return strtol(text, 10).value | 0;
}

/** strtoul(3) read into a 32-bit unsigned field. */
export function strtou32(text: string): number {
  return strtol(text, 0).value >>> 0;
}
