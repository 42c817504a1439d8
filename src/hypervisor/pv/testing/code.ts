/** Just enough of an assembler for the guests of the tests: instructions as functions that give bytes. */
import { hiOf, loOf } from '../../../abi/numbers.ts';

export type Bytes = readonly number[];

const word = (value: number): Bytes => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 24) & 0xff,
];
const rex = (r: number, b: number): number => 0x48 | (r >= 8 ? 4 : 0) | (b >= 8 ? 1 : 0);

/** `hex('0f 0b')` */
export const hex = (text: string): Bytes =>
  text
    .split(/\s+/)
    .filter(Boolean)
    .map((byte) => parseInt(byte, 16));
/** mov $value, %gpr (64 bits) */
export const mov = (gpr: number, value: number): Bytes => [
  rex(0, gpr),
  0xb8 | (gpr & 7),
  ...word(loOf(value)),
  ...word(hiOf(value)),
];
/** mov %gpr, address */
export const store = (address: number, gpr: number): Bytes => [
  rex(gpr, 0),
  0x89,
  0x04 | ((gpr & 7) << 3),
  0x25,
  ...word(address),
];
/** mov address, %gpr */
export const load = (gpr: number, address: number): Bytes => [
  rex(gpr, 0),
  0x8b,
  0x04 | ((gpr & 7) << 3),
  0x25,
  ...word(address),
];
/** push $value (sign-extended) */
export const push = (value: number): Bytes => [0x68, ...word(value)];
export const syscall = hex('0f 05');
export const ud2 = hex('0f 0b');

const ARGUMENTS = [7, 6, 2, 10, 8];

/** A hypercall, as Linux makes it. */
export const hypercall = (nr: number, ...args: readonly number[]): Bytes => [
  ...args.flatMap((value, i) => mov(ARGUMENTS[i] ?? 0, value)),
  0xb8,
  ...word(nr),
  ...syscall,
];

export const program = (...parts: readonly Bytes[]): Uint8Array => Uint8Array.from(parts.flat());
