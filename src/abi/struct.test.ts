import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { array, bytes, guestHandle, s16, struct, u16, u32, u64, u64lohi, u8 } from './struct.ts';

describe('a declared structure', () => {
  const Inner = struct('inner', { a: u8, b: u32 }, 8);
  const Outer = struct(
    'outer',
    {
      tag: u16,
      inner: Inner,
      list: array(u16, 3),
      big: u64,
      pte: u64lohi,
      va: guestHandle,
      status: s16,
      raw: bytes(3),
    },
    56,
  );

  it('has the offsets that a C compiler gives it', () => {
    assert.deepEqual(Outer.at, { tag: 0, inner: 4, list: 12, big: 24, pte: 32, va: 40, status: 48, raw: 50 });
  });

  it('is refused when its size is not the one of the header', () => {
    assert.throws(() => struct('wrong', { a: u8, b: u32 }, 5), /laid out in 8 bytes, the header has 5/);
  });

  it('follows each field directly when packed', () => {
    assert.deepEqual(struct('e820entry', { addr: u64, size: u64, type: u32 }, 20, { packed: true }).at, {
      addr: 0,
      size: 8,
      type: 16,
    });
  });

  it('reads back what was written, 64-bit values and negative addresses included', () => {
    const view = new DataView(new ArrayBuffer(64));
    const value = {
      tag: 7,
      inner: { a: 1, b: 0xffffffff },
      list: [1, 2, 3],
      big: 2 ** 40 + 5,
      pte: { lo: 0x63, hi: 0x80000000 },
      va: -0x7f000000,
      status: -2,
      raw: new Uint8Array([1, 2, 3]),
    };
    Outer.write(view, 4, value);
    assert.deepEqual(Outer.read(view, 4), value);
    assert.equal(view.getBigUint64(4 + Outer.at.va, true), 0xffffffff81000000n);
  });

  it('keeps the fields that a partial write does not name', () => {
    const view = new DataView(new ArrayBuffer(8));
    Inner.write(view, 0, { a: 9, b: 10 });
    Inner.write(view, 0, { b: 11 });
    assert.deepEqual(Inner.read(view, 0), { a: 9, b: 11 });
  });
});
