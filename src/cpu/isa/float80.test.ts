import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ModuleBuilder } from '../wasm/module.ts';
import { S } from '../state-layout.ts';
import { defineFloat80 } from './float80-all.ts';
import { Result, Status } from './float80.ts';

/** The functions in a module of their own, with one vCPU's scratch area. */
const VCPU = 64;
const m = new ModuleBuilder();
const functions = defineFloat80(m);
for (const [name, fn] of Object.entries(functions)) m.export(name, fn);
const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory } });
const view = new DataView(memory.buffer);

type Float80 = readonly [se: number, sig: bigint];
const Control = {
  nearest: 0x37f,
  down: 0x77f,
  up: 0xb7f,
  zero: 0xf7f,
  single: 0x7f,
  double: 0x27f,
  unmasked: 0x340,
} as const;

function call(name: keyof typeof functions, control: number, ...args: readonly (number | bigint)[]): number | bigint {
  const fn = exports[name];
  if (typeof fn !== 'function') throw new Error(`no function ${name}`);
  const run = fn as (...args: readonly (number | bigint)[]) => number | bigint;
  view.setUint32(VCPU + S.x87Control, control, true);
  return run(VCPU, ...args.map((a) => (typeof a === 'bigint' ? BigInt.asIntN(64, a) : a)));
}
const result = (): Float80 => [view.getUint32(VCPU + Result.se, true), view.getBigUint64(VCPU + Result.sig, true)];
const exceptions = (): number => view.getUint32(VCPU + Result.exceptions, true);

/** Exact arithmetic on (-1)^sign * m * 2^e, rounded to the nearest even significand of 64 bits. */
function rounded(numerator: bigint, denominator: bigint, exponent: number): Float80 {
  const negative = numerator < 0n;
  const n = (negative ? -numerator : numerator) << 200n;
  let q = n / denominator;
  const sticky = q * denominator !== n;
  const excess = q.toString(2).length - 64;
  const half = 1n << BigInt(excess - 1);
  const low = q & (2n * half - 1n);
  q >>= BigInt(excess);
  if (low > half || (low === half && (sticky || (q & 1n) === 1n))) q++;
  let e = exponent - 200 + excess;
  if (q === 1n << 64n) {
    q >>= 1n;
    e++;
  }
  return [e + 63 + 0x3fff + (negative ? 0x8000 : 0), q];
}

let seed = 1n;
function random64(): bigint {
  seed = BigInt.asUintN(64, seed * 6364136223846793005n + 1442695040888963407n);
  return seed ^ (seed >> 29n);
}
/** A normal number near 1, now and then with a short significand. */
function randomNumber(): Float80 {
  const bits = random64() % 3n === 0n ? 1n + (random64() % 40n) : 63n;
  const mask = ((1n << bits) - 1n) << (63n - bits);
  return [
    0x3fff - 40 + Number(random64() % 80n) + (random64() % 2n === 0n ? 0x8000 : 0),
    (1n << 63n) | (random64() & mask),
  ];
}
const signed = ([se, sig]: Float80): bigint => (se & 0x8000 ? -sig : sig);
const scale = ([se]: Float80): number => (se & 0x7fff) - 0x3fff - 63;

describe('extended-precision arithmetic', () => {
  it('multiplies and divides as exact arithmetic does, rounded to nearest', () => {
    for (let i = 0; i < 3000; i++) {
      const [a, b] = [randomNumber(), randomNumber()];
      call('multiply', Control.nearest, ...a, ...b, 0);
      assert.deepEqual(result(), rounded(signed(a) * signed(b), 1n, scale(a) + scale(b)));
      call('divide', Control.nearest, ...a, ...b, 0);
      const sign = signed(b) < 0n ? -1n : 1n;
      assert.deepEqual(result(), rounded(signed(a) * sign, signed(b) * sign, scale(a) - scale(b)));
    }
  });

  it('adds and subtracts as exact arithmetic does, rounded to nearest', () => {
    for (let i = 0; i < 3000; i++) {
      const [a, b] = [randomNumber(), randomNumber()];
      const low = Math.min(scale(a), scale(b));
      const [x, y] = [signed(a) << BigInt(scale(a) - low), signed(b) << BigInt(scale(b) - low)];
      call('add', Control.nearest, ...a, ...b, 0, 0);
      if (x + y !== 0n) assert.deepEqual(result(), rounded(x + y, 1n, low));
      call('add', Control.nearest, ...a, ...b, 0, 0x8000);
      if (x !== y) assert.deepEqual(result(), rounded(x - y, 1n, low));
    }
  });

  it('finds square roots whose neighbours are farther away', () => {
    for (let i = 0; i < 1000; i++) {
      const [se, sig] = randomNumber();
      const a = [se & 0x7fff, sig] as const;
      call('sqrt', Control.zero, ...a);
      const [re, root] = result();
      // Truncated: root^2 <= a < (root + 1)^2
      const shift = BigInt(scale(a) - 2 * scale([re, root]));
      const value = shift >= 0n ? sig << shift : sig >> -shift;
      assert.ok(root * root <= value && value < (root + 1n) * (root + 1n), `${i}`);
    }
  });

  it('gives -0 for an exact difference when rounding down, +0 otherwise', () => {
    const one = [0x3fff, 1n << 63n] as const;
    call('add', Control.down, ...one, ...one, 0, 0x8000);
    assert.deepEqual(result(), [0x8000, 0n]);
    call('add', Control.nearest, ...one, ...one, 0, 0x8000);
    assert.deepEqual(result(), [0, 0n]);
  });

  it('rounds to 24 and 53 bits under precision control', () => {
    const third = [
      [0x3fff, 1n << 63n],
      [0x4000, 3n << 62n],
    ] as const;
    call('divide', Control.single, ...third[0], ...third[1], 0);
    assert.deepEqual(result(), [0x3ffd, 0xaaaa_ab00_0000_0000n]);
    call('divide', Control.double, ...third[0], ...third[1], 0);
    assert.deepEqual(result(), [0x3ffd, 0xaaaa_aaaa_aaaa_a800n]);
  });

  it('overflows to infinity or to the largest number, as rounding says', () => {
    const huge = [0x7ffe, 1n << 63n] as const;
    assert.equal(call('multiply', Control.nearest, ...huge, ...huge, 0), Status.OE | Status.PE | Status.C1);
    assert.deepEqual(result(), [0x7fff, 1n << 63n]);
    assert.equal(call('multiply', Control.zero, ...huge, ...huge, 0), Status.OE | Status.PE);
    assert.deepEqual(result(), [0x7ffe, (1n << 64n) - 1n]);
  });

  it('moves the exponent of an unmasked overflow by 24576', () => {
    const huge = [0x7ffe, 1n << 63n] as const;
    assert.equal(call('multiply', Control.unmasked, ...huge, ...huge, 0), Status.OE);
    assert.deepEqual(result(), [0x7ffe * 2 - 0x3fff - 24576, 1n << 63n]);
  });

  it('reports underflow only for denormal results that are inexact', () => {
    const tiny = [1, 1n << 63n] as const;
    assert.equal(call('divide', Control.nearest, ...tiny, 0x4000, 1n << 63n, 0), 0);
    assert.deepEqual(result(), [0, 1n << 62n]);
    assert.equal(call('divide', Control.nearest, ...tiny, 0x4000, 3n << 62n, 0), Status.UE | Status.PE | Status.C1);
  });
});

describe('NaNs', () => {
  const quiet = [0x7fff, 0xc000_0000_0000_0001n] as const;
  const signalling = [0x7fff, 0x8000_0000_0000_0002n] as const;
  it('prefers a quiet NaN to a signalling one, which is an invalid operation', () => {
    assert.equal(call('add', Control.nearest, ...signalling, ...quiet, 0, 0), Status.IE);
    assert.deepEqual(result(), quiet);
  });
  it('prefers the larger significand of two quiet NaNs', () => {
    assert.equal(call('add', Control.nearest, ...quiet, 0x7fff, 0xc000_0000_0000_0005n, 0, 0), 0);
    assert.deepEqual(result(), [0x7fff, 0xc000_0000_0000_0005n]);
  });
  it('makes the real indefinite of encodings that are not supported', () => {
    assert.equal(call('multiply', Control.nearest, 0x3fff, 1n << 62n, ...quiet, 0), Status.IE);
    assert.deepEqual(result(), [0xffff, 0xc000_0000_0000_0000n]);
  });
});

describe('conversions', () => {
  it('carry every double through without change', () => {
    const bytes = new DataView(new ArrayBuffer(8));
    for (const value of [
      0,
      -0,
      1,
      -2.5,
      Number.MAX_VALUE,
      Number.MIN_VALUE,
      2 ** -1022,
      Infinity,
      -Infinity,
      Math.PI,
      1e-310,
    ]) {
      bytes.setFloat64(0, value);
      const bits = bytes.getBigInt64(0);
      call('fromDouble', Control.nearest, bits);
      assert.equal(call('toDouble', Control.nearest, ...result()), bits, String(value));
      assert.equal(exceptions() & ~Status.DE, 0);
    }
  });
  it('round to single precision as Math.fround does', () => {
    const bytes = new DataView(new ArrayBuffer(8));
    for (let i = 0; i < 2000; i++) {
      const value = Number(BigInt.asIntN(64, random64())) * 2 ** (Number(random64() % 300n) - 240);
      bytes.setFloat64(0, value);
      call('fromDouble', Control.nearest, bytes.getBigInt64(0));
      const single = Number(call('toSingle', Control.nearest, ...result()));
      bytes.setFloat32(0, value);
      assert.equal(single, bytes.getUint32(0), String(value));
    }
  });
  it('saturate nothing: integers out of range are the integer indefinite', () => {
    call('fromInteger', Control.nearest, 40000n);
    assert.equal(call('toInteger', Control.nearest, ...result(), 16, 0), 0x8000n);
    assert.equal(exceptions(), Status.IE);
  });
  it('round halves of integers to even', () => {
    for (const [half, expected] of [
      [1, 0n],
      [3, 2n],
      [5, 2n],
      [-3, -2n],
    ] as const) {
      call('fromInteger', Control.nearest, BigInt(half));
      const [se, sig] = result();
      assert.equal(call('toInteger', Control.nearest, se - 1, sig, 32, 0), expected);
    }
  });
  it('read and write packed decimals, also a negative zero', () => {
    call('fromBcd', Control.nearest, 0x3456_7890_1234_5678n, 0x8012);
    assert.equal(call('toBcd', Control.nearest, ...result()), 0x3456_7890_1234_5678n);
    assert.equal(result()[0], 0x8012);
    call('fromBcd', Control.nearest, 0n, 0x8000);
    assert.deepEqual(result(), [0x8000, 0n]);
  });
});

describe('transcendental functions', () => {
  const one = [0x3fff, 1n << 63n] as const;
  it('agree with the exact values, rounded', () => {
    call('wave', Control.nearest, 0, ...one, 0);
    assert.deepEqual(result(), [0x3ffe, 0xd76a_a478_4867_7021n]); // sin 1
    call('wave', Control.nearest, 0, ...one, 1);
    assert.deepEqual(result(), [0x3ffe, 0x8a51_407d_a834_5c92n]); // cos 1
    call('tangent', Control.nearest, 0, ...one);
    assert.deepEqual(result(), [0x3fff, 0xc759_22e5_f71d_2dc5n]);
    call('exponential', Control.nearest, 0, 0x3ffe, 1n << 63n);
    assert.deepEqual(result(), [0x3ffd, 0xd413_cccf_e779_9211n]); // sqrt 2 - 1
    call('angle', Control.nearest, 0, 1n << 63n, 0x3ffe, 0, ...[1n << 63n, 0x3fff]);
    assert.deepEqual(result(), [0x3ffd, 0xed63_382b_0dda_7b45n]); // atan 1/2
    call('timesLogarithm', Control.nearest, 0, 1n << 63n, 0x4000, 3n << 62n, 0x3fff);
    assert.deepEqual(result(), [0x3fff, 0xcae0_0d1c_fdeb_43d0n]); // log2 3
  });
  it('reduce large angles by a pi of 66 bits', () => {
    call('wave', Control.nearest, 0, 0x4000, 0xc90f_daa2_2168_c235n, 0);
    assert.deepEqual(result(), [0xbfbf, 1n << 63n]); // sin of the register's pi: -2^-64
    call('wave', Control.nearest, 0, 0x403d, 1n << 63n, 0);
    assert.deepEqual(result(), [0xbffe, 0xb506_a9dd_559c_f157n]); // sin 2^62
  });
});
