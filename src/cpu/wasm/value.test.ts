import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ModuleBuilder } from './module.ts';
import { I32, I64, ValType } from './value.ts';

const NUMBERS = [0, 1, -1, 2, 31, 64, 0x7fff_ffff, -0x8000_0000, 0x1234_5678];
const LONG = [...NUMBERS.map(BigInt), 0x7fff_ffff_ffff_ffffn, -0x8000_0000_0000_0000n, 0x1_0000_0000n];

const WORDS = ['add', 'sub', 'mul', 'and', 'or', 'xor', 'shl', 'shrS', 'shrU'] as const;
const TESTS = ['eq', 'ne', 'ltS', 'ltU', 'gtS', 'gtU', 'leS', 'leU', 'geS', 'geU'] as const;

/** The functions of a module by name, each of which gets two numbers. */
function functions(type: 'i32' | 'i64'): (name: string, a: number | bigint, b: number | bigint) => unknown {
  const m = new ModuleBuilder();
  const t = ValType[type];
  for (const op of [...WORDS, ...TESTS]) {
    const result = type === 'i64' && (WORDS as readonly string[]).includes(op) ? ValType.i64 : ValType.i32;
    const fn = m.function(op, [t, t], result, (c) => {
      const [a, b] = [c.param(t, 0), c.param(t, 1)];
      if (a instanceof I32 && b instanceof I32) c.return(a[op](b));
      if (a instanceof I64 && b instanceof I64) c.return(a[op](b));
      c.unreachable();
    });
    m.export(op, fn);
  }
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory } });
  return (name, a, b) => (exports[name] as (a: number | bigint, b: number | bigint) => unknown)(a, b);
}

describe('operations on constants', () => {
  it('give at generation what WebAssembly computes from 32-bit numbers', () => {
    const run = functions('i32');
    for (const op of [...WORDS, ...TESTS])
      for (const a of NUMBERS)
        for (const b of NUMBERS) {
          const folded = I32.of(a)[op](I32.of(b)).known;
          assert.equal(folded, run(op, a, b), `${a} ${op} ${b}`);
        }
  });

  it('give at generation what WebAssembly computes from 64-bit numbers', () => {
    const run = functions('i64');
    for (const op of [...WORDS, ...TESTS])
      for (const a of LONG)
        for (const b of LONG) {
          const folded = I64.of(a)[op](I64.of(b)).known;
          assert.equal(folded, run(op, a, b), `${a} ${op} ${b}`);
        }
  });

  it('choose and extend', () => {
    assert.equal(I32.of(1).select(I32.of(5), I32.of(6)).known, 5);
    assert.equal(I32.of(0).select(I32.of(5), I32.of(6)).known, 6);
    assert.equal(I32.of(-1).extendU().known, 0xffff_ffffn);
    assert.equal(I32.of(-1).extendS().known, -1n);
    assert.equal(I64.of(0x1_0000_0002n).wrap().known, 2);
  });
});
