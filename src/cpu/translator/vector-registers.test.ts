import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exit, Vector } from '../exits.ts';
import { CODE, DATA, Machine } from '../testing/machine.ts';

const UD2 = '0f 0b';
const RCX = 1;
const RBX = 3;
const XMM_AREA = 160;

/** Runs code with these vectors' low halves in xmm0 and up; gives the low halves of all sixteen. */
function run(code: string, values: readonly bigint[], vector: number): bigint[] {
  const machine = new Machine('eager');
  const { state } = machine.processor;
  machine.code(code);
  machine.map(3, 31, 0);
  state.rip = CODE;
  state.set(RBX, DATA);
  state.set(RCX, 5);
  const area = new DataView(new ArrayBuffer(512));
  state.saveFpu(area, 0);
  values.forEach((value, n) => area.setBigUint64(XMM_AREA + 16 * n, value, true));
  state.loadFpu(area, 0);
  assert.equal(machine.processor.run(100_000), Exit.Exception);
  assert.equal(state.vector, vector);
  state.saveFpu(area, 0);
  return Array.from({ length: 16 }, (_, n) => area.getBigUint64(XMM_AREA + 16 * n, true));
}

describe('vector registers of a translated region', () => {
  it('are in the state after a fault in the middle', () => {
    // paddq xmm0,xmm1; movq xmm15,xmm0; mov eax,[rbx+0x1000]; paddq xmm0,xmm1
    const after = run(`66 0f d4 c1 f3 44 0f 7e f8 8b 83 00 10 00 00 66 0f d4 c1 ${UD2}`, [40n, 2n], Vector.PF);
    assert.deepEqual([after[0], after[1], after[15]], [42n, 2n, 42n]);
  });

  it('keep what a loop made of them', () => {
    // again: paddq xmm0,xmm1; paddq xmm14,xmm0; sub ecx,1; jnz again
    const after = run(`66 0f d4 c1 66 44 0f d4 f0 83 e9 01 75 f2 ${UD2}`, [0n, 3n], Vector.UD);
    assert.deepEqual([after[0], after[14]], [15n, 45n]);
  });

  it('are those that FXRSTOR loaded', () => {
    // fxsave [rbx]; paddq xmm13,xmm1; paddq xmm0,xmm1; fxrstor [rbx]; paddq xmm0,xmm1
    const after = run(`0f ae 03 66 44 0f d4 e9 66 0f d4 c1 0f ae 0b 66 0f d4 c1 ${UD2}`, [1n, 7n], Vector.UD);
    assert.deepEqual([after[0], after[13]], [8n, 0n]);
  });

  it('change by lanes', () => {
    // pinsrw xmm0,ecx,3; pextrw ecx,xmm1,0; pinsrb xmm2,ecx,0; movss xmm1,xmm0
    const code = `66 0f c4 c1 03 66 0f c5 c9 00 66 0f 3a 20 d1 00 f3 0f 10 c8 ${UD2}`;
    const after = run(code, [0x1111_2222_3333_4444n, 0xaaaa_bbbb_cccc_ddddn, 0n], Vector.UD);
    assert.deepEqual(after.slice(0, 3), [0x0005_2222_3333_4444n, 0xaaaa_bbbb_3333_4444n, 0xddn]);
  });

  it('follow MXCSR when it changes in the middle', () => {
    // ldmxcsr [rbx] (round up); addsd xmm0,xmm1; ldmxcsr [rbx+4] (nearest); addsd xmm2,xmm1
    const machine = new Machine('eager');
    const { state } = machine.processor;
    machine.code(`0f ae 13 f2 0f 58 c1 0f ae 53 04 f2 0f 58 d1 ${UD2}`);
    state.set(RBX, DATA);
    const data = machine.frameAt(18);
    machine.view.setUint32(data, 0x5fa0, true);
    machine.view.setUint32(data + 4, 0x1fa0, true);
    const area = new DataView(new ArrayBuffer(512));
    state.saveFpu(area, 0);
    for (const [n, value] of [1, 2 ** -60, 1].entries()) area.setFloat64(XMM_AREA + 16 * n, value, true);
    state.loadFpu(area, 0);
    machine.processor.run(100_000);
    state.saveFpu(area, 0);
    assert.equal(state.vector, Vector.UD);
    assert.deepEqual(
      [0, 2].map((n) => area.getFloat64(XMM_AREA + 16 * n, true)),
      [1 + 2 ** -52, 1],
    );
  });
});
