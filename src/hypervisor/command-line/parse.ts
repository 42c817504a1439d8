/**
 * Xen's own command line, word by word, after parse_params of xen/common/kernel.c: words are separated by blanks, a value follows the first `=`, `no-`
 * before a name turns a boolean round. What is not known or not valid is told and does not stop the boot.
 */
import { Errno } from '../../abi/errno.ts';

/** What a parameter takes; `set` says whether the value is valid. */
export type Parameter =
  | { readonly kind: 'bool'; set(value: boolean): void }
  /** An integer of so many bits, which wraps where Xen's does. */
  | { readonly kind: 'integer'; readonly bits: 8 | 16 | 32 | 64; set(value: number): void }
  /** In bytes. */
  | { readonly kind: 'size'; set(value: number): void }
  | { readonly kind: 'string'; readonly length: number; set(value: string): void }
  /** A value of its own form; 0 or a negative error number. `no-NAME` comes as `no`. */
  | { readonly kind: 'custom'; set(value: string): number };

export type Parameters = Readonly<Record<string, Parameter>>;

/** MAX_PARAM_SIZE: what is longer is cut. */
const longestWord = 127;
/** A command line that a person wrote is never longer (xen/include/xen/lib.h, `saved_cmdline` holds 1024). */
const longestLine = 64 * 1024;

/** Sets what the line says; `report` gets a line for each word that is not known or not valid. The error of the last such word, or 0. */
export function parseCommandLine(line: string, parameters: Parameters, report: (line: string) => void): number {
  let result = 0;
  for (const word of line.slice(0, longestLine).split(' ')) {
    if (word === '') continue;
    const failed = parseWord(word.slice(0, longestWord), parameters, report);
    if (failed !== 0) result = failed;
  }
  return result;
}

function parseWord(word: string, parameters: Parameters, report: (line: string) => void): number {
  const equals = word.indexOf('=');
  const key = equals < 0 ? word : word.slice(0, equals);
  const value = equals < 0 ? '' : word.slice(equals + 1);
  const inverted = key.startsWith('no-');
  const name = inverted ? key.slice(3) : key;
  const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
  if (parameter === undefined) {
    report(`parameter "${key}" unknown!`);
    return Errno.EINVAL;
  }
  const failed = assign(parameter, value, inverted);
  if (failed === 0) return 0;
  report(`parameter "${key}" has invalid value "${value}", rc=${failed}!`);
  return failed;
}

function assign(parameter: Parameter, value: string, inverted: boolean): number {
  switch (parameter.kind) {
    case 'bool': {
      const read = value === '' ? true : parseBool(value);
      // parse_bool's own -1, which is printed as it is.
      if (read === undefined) return -1;
      parameter.set(read !== inverted);
      return 0;
    }
    case 'integer': {
      const read = parseInteger(value);
      // Xen stores what it has read before it looks at what is left.
      const { bits } = parameter;
      const [least, most] = [-(2 ** (bits - 1)), 2 ** bits - 1];
      if (read.value >= least && read.value <= most) parameter.set(read.value < 0 ? read.value + most + 1 : read.value);
      else if (read.rest === '') return Errno.EOVERFLOW;
      return read.rest === '' ? 0 : Errno.EINVAL;
    }
    case 'size': {
      const read = parseSize(value);
      parameter.set(read.value);
      return read.rest === '' ? 0 : Errno.EINVAL;
    }
    case 'string':
      parameter.set(value.slice(0, parameter.length - 1));
      return 0;
    case 'custom':
      if (inverted && value !== '') return Errno.EINVAL;
      return parameter.set(inverted ? 'no' : value);
  }
}

const truths: Readonly<Record<string, boolean>> = {
  ...{ 1: true, on: true, yes: true, true: true, enable: true },
  ...{ 0: false, no: false, off: false, false: false, disable: false },
};

/** parse_bool; undefined: it is none. */
export function parseBool(text: string): boolean | undefined {
  return Object.hasOwn(truths, text) ? truths[text] : undefined;
}

export interface ReadNumber {
  readonly value: number;
  /** What follows the number. */
  readonly rest: string;
}

/** simple_strtoll with base 0; no digits are 0. */
export function parseInteger(text: string): ReadNumber {
  const sign = text.startsWith('-') ? -1 : 1;
  const { value, rest } = parseUnsigned(sign < 0 ? text.slice(1) : text);
  return { value: value === 0 ? 0 : sign * value, rest };
}

function parseUnsigned(text: string): ReadNumber {
  const digits = /^(?:0[xX](?=[0-9a-fA-F])[0-9a-fA-F]*|0[0-7]*|[1-9][0-9]*)/.exec(text)?.[0] ?? '';
  const radix = /^0[xX]/.test(digits) ? 16 : digits.startsWith('0') ? 8 : 10;
  const value = digits === '' ? 0 : Number.parseInt(radix === 16 ? digits.slice(2) : digits, radix);
  return { value, rest: text.slice(digits.length) };
}

/** Powers of 1024; a size without a unit is in KiB, before `%` it is no size (parse_size_and_unit of xen/lib/parse-size.c). */
const units: Readonly<Record<string, number>> = { b: 0, k: 1, m: 2, g: 3, t: 4 };

export function parseSize(text: string): ReadNumber {
  const { value, rest } = parseUnsigned(text);
  if (rest.startsWith('%')) return { value, rest };
  const power = units[rest.charAt(0).toLowerCase()];
  return { value: value * 1024 ** (power ?? 1), rest: power === undefined ? rest : rest.slice(1) };
}
