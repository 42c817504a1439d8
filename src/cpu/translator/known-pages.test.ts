import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Engine, Exit, Gpr } from '../index.ts';
import { CODE, Machine } from '../testing/machine.ts';

/**
 * Accesses of all widths through two registers whose distance is known:
 * mov rax,[rbx]; mov [rbx-16],rax; mov ecx,[rbx+32]; mov [rbx+6],cx; add [rbx+64],rax; push rax; push rcx; lea rdx,[rbx+256]; mov [rdx-144],cl;
 * sub rbx,24; movups xmm0,[rbx+8]; movups [rbx],xmm0; pop rsi; pop rdi; hlt
 */
const ACCESSES =
  '48 8b 03 48 89 43 f0 8b 4b 20 66 89 4b 06 48 01 43 40 50 51 48 8d 93 00 01 00 00 88 8a 70 ff ff ff ' +
  '48 83 eb 18 0f 10 43 08 0f 11 03 5e 5f f4';

const PAGE = 4096;
/** In the middle of the pages that a machine maps, so that there are pages on both sides; the frames behind them are not neighbours. */
const EDGE = 0x405000;
const FRAMES = [40, 21, 50, 30] as const;
const STACK_EDGE = 0x409000;

interface Outcome {
  readonly exit: Exit;
  readonly rip: number;
  readonly fault: number;
  readonly registers: readonly number[];
  readonly pages: readonly Buffer[];
}

function machine(engine: Engine): Machine {
  const m = new Machine(engine);
  m.code(ACCESSES);
  return m;
}

const interpreted = machine('interpreter');
const translated = machine('eager');

function outcome(m: Machine, rbx: number, rsp: number, prepare: (m: Machine) => void): Outcome {
  for (const [n, frame] of FRAMES.entries()) {
    m.map(4 + n, frame);
    const bytes = Buffer.from(m.memory.buffer, m.frameAt(frame), PAGE);
    for (const at of bytes.keys()) bytes[at] = (at * 7 + frame) & 0xff;
  }
  const { state } = m.processor;
  for (let n = 0; n < 16; n++) state.set(n, n);
  state.set(Gpr.rbx, rbx);
  state.set(Gpr.rsp, rsp);
  state.rflags = 2;
  state.rip = CODE;
  prepare(m);
  m.processor.flushTlb();
  const exit = m.processor.run(1000);
  return {
    exit,
    rip: state.rip - CODE,
    fault: exit === Exit.Exception ? state.faultAddress : 0,
    registers: [...Array(16).keys()].flatMap((n) => [state.lo(n), state.hi(n)]),
    pages: [...FRAMES, 24, 25].map((frame) =>
      Buffer.from(m.memory.buffer.slice(m.frameAt(frame), m.frameAt(frame + 1))),
    ),
  };
}

function compare(rbx: number, rsp = STACK_EDGE + 128, prepare: (m: Machine) => void = () => undefined): Outcome {
  const expected = outcome(interpreted, rbx, rsp, prepare);
  assert.deepEqual(
    outcome(translated, rbx, rsp, prepare),
    expected,
    `rbx ${rbx.toString(16)}, rsp ${rsp.toString(16)}`,
  );
  return expected;
}

describe('accesses beside one another in translated code', () => {
  it('lie in the page that they lie in, wherever it ends', () => {
    for (let by = -300; by <= 40; by++) assert.equal(compare(EDGE + by).exit, Exit.Privileged);
  });

  it('push and pop over the end of a page', () => {
    for (let by = -1; by <= 17; by++) assert.equal(compare(EDGE + 1024, STACK_EDGE + by).exit, Exit.Privileged);
  });

  it('fault at the address and instruction that they fault at', () => {
    const faults = new Set<number>();
    for (const present of [0, 1])
      for (let by = -280; by <= 30; by++) {
        const { exit, rip } = compare(EDGE + by, STACK_EDGE + 128, (m) => m.map(present === 0 ? 5 : 4, 0, 0));
        if (exit === Exit.Exception) faults.add(rip);
      }
    assert.ok(faults.size > 4, `faults at ${faults.size} instructions`);
  });

  it('write no page that may only be read', () => {
    for (let by = -280; by <= 30; by++) compare(EDGE + by, STACK_EDGE + 128, (m) => m.map(4, FRAMES[0], 5));
  });
});
