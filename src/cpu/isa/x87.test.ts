import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { cpuRegionSize, Exit, Processor, processorModule } from '../index.ts';

/** One page of code and one of data, both at fixed addresses. */
const FRAMES = 8;
const REGION = 0x1_0000;
const CODE = 0x40_0000;
const DATA = 0x40_1000;
const CODE_FRAME = 5;
const framesAt = (REGION + cpuRegionSize(FRAMES) + 4095) & ~4095;
const pages = Math.ceil((framesAt + FRAMES * 4096) / 0x1_0000);
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
const view = new DataView(memory.buffer);
const frame = (n: number): number => framesAt + n * 4096;
const data = frame(CODE_FRAME + 1);
const processor = new Processor({
  memory,
  module: processorModule(),
  regionAt: REGION,
  framesAt,
  frameCount: FRAMES,
  now: () => 0,
  random: () => 0x5eed,
});
for (const [table, index, next] of [
  [1, 0, 2],
  [2, 0, 3],
  [3, 2, 4],
  [4, 0, CODE_FRAME],
  [4, 1, CODE_FRAME + 1],
] as const)
  view.setUint32(frame(table) + index * 8, next * 4096 + 7, true);
processor.setRoot(0, 1);

const UD2 = [0x0f, 0x0b];
const FNINIT = [0xdb, 0xe3];
const FLD1 = [0xd9, 0xe8];
const FLDZ = [0xd9, 0xee];
const FADDP = [0xde, 0xc1];
const FDIVP = [0xde, 0xf9];
/** [rbx + displacement], rbx = DATA */
const FLDCW = [0xd9, 0x6b, 0x00];
const FNSTSW_AX = [0xdf, 0xe0];
const FSTP_DOUBLE = [0xdd, 0x5b, 0x10];
const DIVIDE_ONE_BY_ZERO = [...FLD1, ...FLDZ, ...FDIVP];

/** Runs up to UD2 or a fault; gives the vector and the offset of the instruction it happened at. */
function run(...code: readonly number[][]): { vector: number; at: number } {
  const bytes = [...code.flat(), ...UD2];
  new Uint8Array(memory.buffer).set(bytes, frame(CODE_FRAME));
  processor.frameWritten(CODE_FRAME, 0, bytes.length);
  processor.state.rip = CODE;
  assert.equal(processor.run(1000), Exit.Exception);
  return { vector: processor.state.vector, at: processor.state.rip - CODE };
}
const ax = (): number => processor.state.lo(0) & 0xffff;

describe('the x87 stack and its exceptions', () => {
  beforeEach(() => {
    processor.state.reset();
    processor.state.set(3, DATA);
    view.setUint16(data, 0x340, true); // nothing masked
  });

  it('adds two numbers and stores the sum', () => {
    assert.equal(run(FNINIT, FLD1, FLD1, FADDP, FSTP_DOUBLE).vector, 6);
    assert.equal(view.getFloat64(data + 0x10, true), 2);
  });

  it('divides by zero to infinity when that is masked', () => {
    run(FNINIT, DIVIDE_ONE_BY_ZERO, FSTP_DOUBLE, FNSTSW_AX);
    assert.equal(view.getFloat64(data + 0x10, true), Infinity);
    assert.equal(ax() & 0xff, 0x04);
  });

  it('raises #MF at the next waiting instruction after an unmasked exception', () => {
    const { vector, at } = run(FNINIT, FLDCW, DIVIDE_ONE_BY_ZERO, FNSTSW_AX, FLD1);
    assert.deepEqual({ vector, at }, { vector: 16, at: 13 }); // FNSTSW at 11 did not wait
    assert.equal(ax() & 0x80ff, 0x8084);
  });

  it('makes an exception pending that FLDCW unmasks', () => {
    assert.deepEqual(run(FNINIT, DIVIDE_ONE_BY_ZERO, FLDCW, FLD1), { vector: 16, at: 11 });
  });

  it('tells stack overflow from underflow by C1', () => {
    run(FNINIT, ...Array.from({ length: 9 }, () => FLD1), FNSTSW_AX);
    assert.equal(ax() & 0x0241, 0x0241);
    run(FNINIT, FADDP, FNSTSW_AX);
    assert.equal(ax() & 0x0241, 0x0041);
  });

  it('raises #NM for every x87 instruction while CR0.TS is set', () => {
    processor.state.taskSwitched = true;
    assert.deepEqual(run(FNSTSW_AX), { vector: 7, at: 0 });
  });

  it('leaves memory and stack as they are when a store faults', () => {
    assert.equal(run(FNINIT, FLD1, [0xdd, 0x1c, 0x25, 0, 0, 0, 0]).vector, 14); // fstp qword [0]
    assert.equal(run(FSTP_DOUBLE).vector, 6);
    assert.equal(view.getFloat64(data + 0x10, true), 1);
  });
});
