import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exit, Gpr, Vector } from '../index.ts';
import { CODE, DATA, DATA_FRAME, Machine } from '../testing/machine.ts';

const UD2 = '0f 0b';
const Fx = { status: 2, tags: 4, mxcsr: 24, st: 32, xmm: 160 } as const;
const MASKED = 0x1f80;
const Flag = { IE: 1, DE: 2, ZE: 4, OE: 8, UE: 16, PE: 32 } as const;
const Rounding = { nearest: 0, down: 0x2000, up: 0x4000, zero: 0x6000 } as const;

/** A machine whose x87/SSE state can be set before and looked at after a piece of code. */
class Bench {
  readonly machine = new Machine();
  readonly fx = new DataView(new ArrayBuffer(512));

  constructor() {
    this.fx.setUint16(0, 0x37f, true);
    this.fx.setUint32(Fx.mxcsr, MASKED, true);
  }
  bytes(xmm: number): Uint8Array {
    return new Uint8Array(this.fx.buffer, Fx.xmm + 16 * xmm, 16);
  }
  hex(xmm: number): string {
    return Buffer.from(this.bytes(xmm)).toString('hex');
  }
  setHex(xmm: number, text: string): void {
    this.bytes(xmm).set(Buffer.from(text.replaceAll(' ', ''), 'hex'));
  }
  double(xmm: number): number {
    return this.fx.getFloat64(Fx.xmm + 16 * xmm, true);
  }
  setDouble(xmm: number, value: number): void {
    this.fx.setFloat64(Fx.xmm + 16 * xmm, value, true);
  }
  get mxcsr(): number {
    return this.fx.getUint32(Fx.mxcsr, true);
  }
  set mxcsr(value: number) {
    this.fx.setUint32(Fx.mxcsr, value, true);
  }
  /** Runs to the end of the code; gives the vector that ended it: #UD after all of it. */
  run(code: string): number {
    const { machine, fx } = this;
    const { processor } = machine;
    machine.code(`${code} ${UD2}`);
    processor.frameWritten(16, 0, 4096);
    processor.state.rip = CODE;
    processor.state.loadFpu(fx, 0);
    assert.equal(processor.run(100_000), Exit.Exception);
    processor.state.saveFpu(fx, 0);
    return processor.state.vector;
  }
}

const ADDSD = 'f2 0f 58 c1'; // xmm0, xmm1
const MULSD = 'f2 0f 59 c1';
const SUBSD = 'f2 0f 5c c1';
const DIVSD = 'f2 0f 5e c1';
const SQRTSD = 'f2 0f 51 c1';

describe('SSE arithmetic', () => {
  it('sets the precision flag for an inexact quotient only', () => {
    const b = new Bench();
    b.setDouble(0, 1);
    b.setDouble(1, 4);
    assert.equal(b.run(DIVSD), Vector.UD);
    assert.deepEqual([b.double(0), b.mxcsr], [0.25, MASKED]);
    b.setDouble(1, 3);
    b.run(DIVSD);
    assert.equal(b.mxcsr, MASKED | Flag.PE);
  });

  it('rounds as MXCSR says', () => {
    const quotient = (rounding: number): number => {
      const b = new Bench();
      b.mxcsr = MASKED | rounding;
      b.setDouble(0, 1);
      b.setDouble(1, 3);
      b.run(DIVSD);
      return b.double(0);
    };
    const ulp = 2 ** -54;
    assert.equal(quotient(Rounding.nearest), 1 / 3);
    assert.equal(quotient(Rounding.down), 1 / 3);
    assert.equal(quotient(Rounding.zero), 1 / 3);
    assert.equal(quotient(Rounding.up), 1 / 3 + ulp);
  });

  it('raises #XM before the destination changes when the exception is unmasked', () => {
    const b = new Bench();
    b.mxcsr = MASKED & ~(Flag.ZE << 7);
    b.setDouble(0, 7);
    b.setDouble(1, 0);
    assert.equal(b.run(DIVSD), Vector.XM);
    assert.deepEqual([b.double(0), b.mxcsr & 0x3f], [7, Flag.ZE]);
    assert.equal(b.machine.processor.state.rip, CODE);
  });

  it('gives the default NaN for 0 × ∞ and keeps the first NaN operand otherwise', () => {
    const b = new Bench();
    b.setDouble(0, 0);
    b.setDouble(1, Infinity);
    b.run(MULSD);
    assert.equal(b.hex(0).slice(0, 16), '000000000000f8ff');
    assert.equal(b.mxcsr, MASKED | Flag.IE);
    b.setHex(0, '010000000000f07f 0000000000000000'); // signaling
    b.setHex(1, '020000000000f8ff 0000000000000000');
    b.run(ADDSD);
    assert.equal(b.hex(0).slice(0, 16), '010000000000f87f');
  });

  it('reports denormal operands, underflow and overflow, and flushes to zero on demand', () => {
    const tiny = 2 ** -1074;
    const b = new Bench();
    b.setDouble(0, tiny);
    b.setDouble(1, 0.5);
    b.run(MULSD);
    assert.deepEqual([b.double(0), b.mxcsr], [0, MASKED | Flag.DE | Flag.UE | Flag.PE]);
    b.mxcsr = MASKED;
    b.setDouble(0, Number.MAX_VALUE);
    b.setDouble(1, 2);
    b.run(MULSD);
    assert.deepEqual([b.double(0), b.mxcsr], [Infinity, MASKED | Flag.OE | Flag.PE]);
    b.mxcsr = MASKED | 0x8000;
    b.setDouble(0, 2 ** -1022);
    b.setDouble(1, 0.5);
    b.run(MULSD);
    assert.deepEqual([b.double(0), b.mxcsr], [0, MASKED | 0x8000 | Flag.UE | Flag.PE]);
    b.mxcsr = MASKED | 0x40;
    b.setDouble(0, tiny);
    b.setDouble(1, 3);
    b.run(ADDSD);
    assert.deepEqual([b.double(0), b.mxcsr], [3, MASKED | 0x40]);
  });

  it('agrees with the host on ordinary numbers, whether or not the precision flag is set already', () => {
    let seed = 12345;
    const random = (): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
    const number = (): number => (random() - 0.5) * 2 ** Math.floor(random() * 60 - 30);
    const b = new Bench();
    for (let i = 0; i < 50; i++) {
      const [x, y] = [number(), number()];
      const rows: [string, number][] = [
        [ADDSD, x + y],
        [SUBSD, x - y],
        [MULSD, x * y],
        [DIVSD, x / y],
        [SQRTSD, Math.sqrt(Math.abs(y))],
      ];
      for (const [code, expected] of rows) {
        for (const flags of [0, Flag.PE]) {
          b.mxcsr = MASKED | flags;
          b.setDouble(0, x);
          b.setDouble(1, code === SQRTSD ? Math.abs(y) : y);
          b.run(code);
          assert.equal(b.double(0), expected);
        }
      }
    }
  });

  it('gives the integer indefinite for what does not fit', () => {
    const b = new Bench();
    b.setDouble(0, 2 ** 31);
    b.run('f2 0f 2c c0'); // cvttsd2si eax,xmm0
    assert.equal(b.machine.processor.state.num(Gpr.rax), 0x8000_0000);
    assert.equal(b.mxcsr, MASKED | Flag.IE);
  });
});

describe('SSE and MMX state', () => {
  it('enters MMX state with a write to an MMX register and leaves it with EMMS', () => {
    const b = new Bench();
    b.fx.setUint16(Fx.status, 3 << 11, true);
    b.machine.processor.state.set(Gpr.rax, 0x1234);
    b.run('0f 6e c0'); // movd mm0,eax
    assert.deepEqual([b.fx.getUint16(Fx.status, true), b.fx.getUint8(Fx.tags)], [0, 0xff]);
    assert.equal(b.fx.getUint16(Fx.st, true), 0x1234);
    assert.equal(b.fx.getUint16(Fx.st + 8, true), 0xffff);
    b.run('0f 77'); // emms
    assert.equal(b.fx.getUint8(Fx.tags), 0);
  });

  it('saves with FXSAVE what FXRSTOR loads, and wants its area aligned', () => {
    const b = new Bench();
    b.machine.processor.state.set(Gpr.rbx, DATA);
    b.setHex(5, '00112233445566778899aabbccddeeff');
    b.run('0f ae 03 66 0f ef ed 0f ae 0b'); // fxsave [rbx]; pxor xmm5,xmm5; fxrstor [rbx]
    assert.equal(b.hex(5), '00112233445566778899aabbccddeeff');
    b.machine.processor.state.set(Gpr.rbx, DATA + 8);
    assert.equal(b.run('0f ae 03'), Vector.GP);
  });

  it('refuses unaligned operands of PADDB, not of MOVDQU', () => {
    const b = new Bench();
    b.machine.processor.state.set(Gpr.rbx, DATA + 1);
    assert.equal(b.run('f3 0f 6f 03'), Vector.UD); // movdqu xmm0,[rbx]
    assert.equal(b.run('66 0f fc 03'), Vector.GP); // paddb xmm0,[rbx]
  });

  it('writes with MASKMOVDQU only the bytes that the mask names', () => {
    const b = new Bench();
    const page = b.machine.frameAt(DATA_FRAME);
    const memory = new Uint8Array(b.machine.memory.buffer, page, 16);
    memory.fill(0xee);
    b.machine.processor.state.set(Gpr.rdi, DATA);
    b.setHex(0, '000102030405060708090a0b0c0d0e0f');
    b.setHex(1, '80000000000000000000000000000080');
    b.run('66 0f f7 c1');
    assert.equal(Buffer.from(memory).toString('hex'), '00eeeeeeeeeeeeeeeeeeeeeeeeeeee0f');
  });
});

describe('string and cryptography instructions', () => {
  it('find a substring with PCMPISTRI', () => {
    const b = new Bench();
    b.bytes(0).set(Buffer.from('needle'));
    b.bytes(1).set(Buffer.from('hay needle hay'));
    b.run('66 0f 3a 63 c1 0c'); // equal ordered, bytes, least index
    assert.equal(b.machine.processor.state.num(Gpr.rcx), 4);
  });

  it('compute the check value of CRC-32C', () => {
    const b = new Bench();
    const { state } = b.machine.processor;
    state.setLoHi(Gpr.rax, 0xffff_ffff, 0);
    state.setLoHi(Gpr.rbx, 0x3433_3231, 0x3837_3635); // "12345678"
    state.set(Gpr.rdx, 0x39); // "9"
    b.run('f2 48 0f 38 f1 c3 f2 0f 38 f0 c2'); // crc32 rax,rbx; crc32 eax,dl
    assert.equal((~state.lo(Gpr.rax) >>> 0).toString(16), 'e3069283');
  });

  it('do a round of the example in FIPS 197, appendix B', () => {
    const b = new Bench();
    b.setHex(0, '193de3bea0f4e22b9ac68d2ae9f84808');
    b.setHex(1, 'a0fafe1788542cb123a339392a6c7605');
    b.run('66 0f 38 dc c1'); // aesenc xmm0,xmm1
    assert.equal(b.hex(0), 'a49c7ff2689f352b6b5bea43026a5049');
  });

  it('do two rounds of the example in FIPS 180-2, appendix B.1', () => {
    const b = new Bench();
    const words = (xmm: number, list: readonly number[]): void =>
      list.forEach((w, i) => b.fx.setUint32(Fx.xmm + 16 * xmm + 4 * (3 - i), w, true));
    words(0, [0, 0, 0x7137_4491, (0x428a_2f98 + 0x6162_6380) >>> 0]);
    words(1, [0x3c6e_f372, 0xa54f_f53a, 0x1f83_d9ab, 0x5be0_cd19]); // C D G H
    words(2, [0x6a09_e667, 0xbb67_ae85, 0x510e_527f, 0x9b05_688c]); // A B E F
    b.run('0f 38 cb ca'); // sha256rnds2 xmm1,xmm2
    const result = [3, 2, 1, 0].map((i) => b.fx.getUint32(Fx.xmm + 16 + 4 * i, true).toString(16));
    assert.deepEqual(result, ['5a6ad9ad', '5d6aebcd', '78ce7989', 'fa2a4622']);
  });

  it('multiply without carries', () => {
    const b = new Bench();
    b.setHex(0, 'ffffffffffffffff 0300000000000000');
    b.setHex(1, 'ffffffffffffffff 0000000000000000');
    b.run('66 0f 3a 44 c1 00'); // pclmulqdq xmm0,xmm1,0: a square has its bits at every second place
    assert.equal(b.hex(0), '55'.repeat(16).slice(0, 32));
  });
});
