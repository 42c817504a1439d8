import type { Random } from './random.ts';

/**
 * Values at which arithmetic changes its behaviour, and how to mix them with random ones. All are byte strings, little-endian, so that one store puts
 * any of them into a register or into memory.
 */
export type Kind = 'int' | 'f32' | 'f64' | 'f80' | 'bcd';

function bytesOf(value: bigint, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let v = BigInt.asUintN(8 * length, value);
  for (let i = 0; i < length; i++) {
    out[i] = Number(v & 0xffn);
    v >>= 8n;
  }
  return out;
}

/** 0, ±1, ±2, and the sign boundaries of 8, 16, 32 and 64 bits with their neighbours, as 64-bit patterns; small shift counts. */
const INTEGERS: readonly Uint8Array[] = (() => {
  const set = new Set<bigint>([
    0n,
    1n,
    2n,
    3n,
    -1n,
    -2n,
    0x5555_5555_5555_5555n,
    -0x5555_5555_5555_5556n,
    0x0123_4567_89ab_cdefn,
  ]);
  for (const bits of [8n, 16n, 32n, 64n]) {
    for (const edge of [1n << (bits - 1n), 1n << bits, -(1n << (bits - 1n))])
      for (const d of [-1n, 0n, 1n]) set.add(BigInt.asIntN(64, edge + d));
  }
  for (const count of [4, 7, 9, 10, 15, 17, 31, 33, 63, 65]) set.add(BigInt(count));
  return [...set].map((v) => bytesOf(v, 8));
})();

/** Shift and rotate counts around every operand size and the masks 31 and 63. */
export const SHIFT_COUNTS = [
  0, 1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 18, 24, 30, 31, 32, 33, 34, 48, 62, 63, 64, 65, 66, 127, 128, 255,
] as const;

/** The edges of a binary floating-point format with a hidden integer bit. */
function ieee(exponentBits: number, fractionBits: number): Uint8Array[] {
  const e = (1n << BigInt(exponentBits)) - 1n;
  const bias = e >> 1n;
  const f = BigInt(fractionBits);
  const one = 1n << f;
  const magnitudes: [exponent: bigint, fraction: bigint][] = [
    [0n, 0n], // zero
    [0n, 1n], // smallest denormal
    [0n, one >> 1n],
    [0n, one - 1n], // largest denormal
    [1n, 0n], // smallest normal
    [1n, 1n],
    [e - 1n, one - 1n], // largest normal
    [e - 1n, 0n],
    [e, 0n], // infinity
    [e, 1n], // signalling NaN
    [e, (one >> 1n) - 1n],
    [e, one >> 1n], // quiet NaN
    [e, (one >> 1n) | 1n],
    [e, one - 1n],
    [bias, 0n], // 1
    [bias, 1n],
    [bias - 1n, one - 1n], // just below 1
    [bias - 1n, 0n], // 0.5
    [bias, one >> 1n], // 1.5
    [bias + 1n, one >> 2n], // 2.5: halfway between integers, even below
    [bias + 1n, 0n], // 2
    [bias + 1n, one >> 1n], // 3
    [bias - 2n, 0n],
    [bias + f, 1n], // beyond this every value is an integer
    [bias + f - 1n, 1n], // an integer and a half
    [bias + f - 1n, one - 1n],
    [bias + f + 1n, 0n],
    [bias / 2n, 3n], // products of these are near the underflow threshold
    [bias / 2n + bias + 1n, 5n],
    [bias - f, 1n],
  ];
  for (const power of [7n, 8n, 15n, 16n, 31n, 32n, 63n, 64n]) {
    if (bias + power >= e) continue;
    magnitudes.push([bias + power, 0n], [bias + power, 1n], [bias + power - 1n, one - 1n]);
  }
  const length = (exponentBits + fractionBits + 1) / 8;
  return magnitudes.flatMap(([exponent, fraction]) =>
    [0n, 1n].map((sign) => bytesOf((((sign << BigInt(exponentBits)) | exponent) << f) | fraction, length)),
  );
}

/** The edges of the extended format, with the encodings that the 80387 calls unsupported (SDM Vol. 1, "Unsupported Double Extended-Precision…"). */
function extended(): Uint8Array[] {
  const J = 1n << 63n;
  const values: [exponent: bigint, significand: bigint][] = [
    [0n, 0n],
    [0n, 1n], // denormals
    [0n, J - 1n],
    [0n, J >> 1n],
    [0n, J], // pseudo-denormals
    [0n, J | 1n],
    [1n, J],
    [1n, J | 1n],
    [0x7ffen, (1n << 64n) - 1n],
    [0x7ffen, J],
    [0x7fffn, J], // infinity
    [0x7fffn, J | 1n], // signalling NaN
    [0x7fffn, J | (J >> 1n)], // real indefinite
    [0x7fffn, J | (J >> 1n) | 1n],
    [0x7fffn, (1n << 64n) - 1n],
    [0x7fffn, 0n], // pseudo-infinity
    [0x7fffn, 1n], // pseudo-NaN
    [0x3fffn, 1n], // unnormal
    [0x3fffn, 0n],
    [0x4002n, J >> 1n],
    [0x3fffn, J],
    [0x3fffn, J | 1n],
    [0x3ffen, (1n << 64n) - 1n],
    [0x3ffen, J],
    [0x3fffn, J | (J >> 1n)],
    [0x4000n, J],
    [0x4000n, J | (J >> 2n)],
    [0x4000n, 0xc90f_daa2_2168_c235n], // pi
    [0x3ffdn, 0x9a20_9a84_fbcf_f799n], // log10(2)
    [0x403en, J], // 2^63: out of a 64-bit integer
    [0x403dn, (1n << 64n) - 1n],
    [0x403en, (1n << 64n) - 1n],
    [0x403fn, J],
    [0x401en, J], // 2^31
    [0x401dn, 0xffff_ffff_8000_0000n],
    [0x400en, J], // 2^15
    [0x400dn, 0xffff_8000_0000_0000n],
    [0x403an, 0xde0b_6b3a_7640_0000n], // 10^18: out of packed BCD
    [0x3f80n, J], // single precision's smallest normal is 2^-126 …
    [0x3f81n, J | 1n],
    [0x407en, 0xffff_ff00_0000_0000n], // … its largest value
    [0x407en, 0xffff_ff80_0000_0000n],
    [0x3c00n, J | 1n], // double precision's smallest normal is 2^-1022
    [0x3c01n, (1n << 64n) - 1n],
    [0x43fen, 0xffff_ffff_ffff_f800n],
    [0x43fen, 0xffff_ffff_ffff_fc00n],
    [0x3fffn, 0x8000_0080_0000_0000n], // halfway between single-precision values
    [0x3fffn, 0x8000_0180_0000_0000n],
    [0x3fffn, 0x8000_0000_0000_0400n], // halfway between double-precision values
    [0x3fffn, 0x8000_0000_0000_0c00n],
    [0x2000n, J | 3n],
    [0x6000n, J | 5n],
    [0x1fffn, J | 7n],
    [0x5fffn, J],
  ];
  return values.flatMap(([exponent, significand]) =>
    [0n, 0x8000n].map((sign) => bytesOf(((sign | exponent) << 64n) | significand, 10)),
  );
}

/** Packed BCD (FBLD), with digits beyond 9. */
function decimals(): Uint8Array[] {
  const digits = [
    '000000000000000000',
    '000000000000000001',
    '999999999999999999',
    '123456789012345678',
    '500000000000000000',
    '0a0000000000000f00',
  ];
  return digits.flatMap((d) => ['00', '80'].map((sign) => bytesOf(BigInt(`0x${sign}${d}`), 10)));
}

const F32 = ieee(8, 23);
const F64 = ieee(11, 52);
const F80 = extended();
const BCD = decimals();
const POOLS: Readonly<Record<Kind, readonly Uint8Array[]>> = { int: INTEGERS, f32: F32, f64: F64, f80: F80, bcd: BCD };
export const KIND_SIZE: Readonly<Record<Kind, number>> = { int: 8, f32: 4, f64: 8, f80: 10, bcd: 10 };

/** Puts an integer of `to.length` bytes there: an edge value, a small number or a random one. */
export function fillInteger(random: Random, to: Uint8Array): void {
  const choice = random.below(8);
  if (choice < 4) {
    const value = random.pick(INTEGERS);
    const extension = (value[7] ?? 0) & 0x80 ? 0xff : 0;
    for (let i = 0; i < to.length; i++) to[i] = value[i] ?? extension;
  } else if (choice === 4) {
    to.fill(0);
    to[0] = random.u32();
  } else random.fill(to);
}

/** Puts a floating-point value there: an edge value, or a random one whose exponent is mostly near that of 1. */
export function fillFloat(random: Random, kind: 'f32' | 'f64' | 'f80' | 'bcd', to: Uint8Array): void {
  const size = KIND_SIZE[kind];
  if (random.chance(0.55)) {
    to.set(random.pick(POOLS[kind]).subarray(0, to.length));
    return;
  }
  const v = to.subarray(0, size);
  random.fill(v);
  if (kind === 'bcd') {
    for (let i = 0; i < 9; i++) v[i] = random.below(10) | (random.below(10) << 4);
    v[9] = random.chance(0.5) ? 0x80 : 0;
    return;
  }
  if (random.chance(0.3)) v.fill(0, 0, random.between(1, size - 3)); // a short significand: exact results, ties
  const sign = (v[size - 1] ?? 0) & 0x80;
  const near = random.chance(0.8) ? random.between(-70, 70) : random.between(-4000, 4000);
  if (kind === 'f32') {
    const e = clamp(127 + (random.chance(0.7) ? near % 30 : near), 0, 255);
    v[3] = sign | (e >> 1);
    v[2] = ((v[2] ?? 0) & 0x7f) | ((e & 1) << 7);
  } else if (kind === 'f64') {
    const e = clamp(1023 + near, 0, 2047);
    v[7] = sign | (e >> 4);
    v[6] = ((v[6] ?? 0) & 0x0f) | ((e & 15) << 4);
  } else {
    const e = clamp(16383 + near * (random.chance(0.1) ? 4 : 1), 0, 32767);
    v[9] = sign | (e >> 8);
    v[8] = e;
    if (random.chance(0.97)) v[7] = (v[7] ?? 0) | 0x80;
  }
}

const clamp = (n: number, low: number, high: number): number => Math.min(high, Math.max(low, n));

export function fillValue(random: Random, kind: Kind, to: Uint8Array): void {
  if (kind === 'int') fillInteger(random, to);
  else fillFloat(random, kind, to);
}

/** Fills 16 (or any number of) bytes with lanes of one kind. */
export function fillVector(random: Random, kind: 'int' | 'f32' | 'f64', to: Uint8Array): void {
  if (kind === 'int') {
    const lane = random.pick([1, 2, 4, 8]);
    for (let at = 0; at + lane <= to.length; at += lane) fillInteger(random, to.subarray(at, at + lane));
    return;
  }
  const size = KIND_SIZE[kind];
  for (let at = 0; at + size <= to.length; at += size) fillFloat(random, kind, to.subarray(at, at + size));
}
