import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Engine, Exit, Gpr } from './index.ts';
import { readProfile } from './profile.ts';
import { Region } from './state-layout.ts';
import { CODE, CODE_FRAME, Machine, REGION_AT } from './testing/machine.ts';

const TURNS = 1000;
const UD2 = '0f 0b';
/** Of an instruction that lies in two pages, the byte that its last one is. */
const ACROSS = 0x0ffe;

/** mov ecx, 1000; then add eax, 3; dec ecx; jnz; jump to an instruction across pages, mov ebx, 0x01010101; ud2 */
function machine(engine: Engine): Machine {
  const m = new Machine(engine);
  m.code('b9 e8 03 00 00 83 c0 03 ff c9 75 f9 e9 ed 0f 00 00');
  m.code('bb 01', ACROSS);
  m.code(`01 01 01 ${UD2}`, 0, CODE_FRAME + 1);
  return m;
}

function run(m: Machine): readonly [eax: number, ebx: number] {
  const { processor } = m;
  for (const register of [Gpr.rax, Gpr.rbx, Gpr.rcx]) processor.state.set(register, 0);
  processor.state.rip = CODE;
  while (processor.run(100_000) !== Exit.Exception);
  return [processor.state.lo(Gpr.rax), processor.state.lo(Gpr.rbx)];
}

const decoded = (m: Machine): number =>
  readProfile(m.memory.buffer as SharedArrayBuffer, REGION_AT + Region.profileAt).exits[Exit.Decode] ?? 0;

for (const [before, after] of [
  ['interpreter', 'interpreter'],
  ['eager', 'interpreter'],
  ['eager', 'eager'],
] as const)
  describe(`a processor in a copy of another one's memory (${before}, then ${after})`, () => {
    const result = [3 * TURNS, 0x01010101];
    const parent = machine(before);
    assert.deepEqual(run(parent), result);
    const clone = (of = parent): Machine => new Machine(after, {}, of);

    it('executes what that one had decoded', () => {
      const one = clone();
      assert.deepEqual(run(one), result);
      // A region goes through blocks that have not been met otherwise.
      assert.ok(decoded(one) <= (before === 'eager' ? 1 : 0), `${decoded(one)} blocks decoded again`);
      assert.ok(decoded(one) < decoded(parent));
    });

    it('goes on decoding where that one stopped, and so does a copy of the copy', () => {
      const one = clone();
      one.code(`b0 07 ${UD2}`, 0x200);
      one.processor.state.rip = CODE + 0x200;
      one.processor.run(100);
      assert.deepEqual(run(one), result);
      const two = clone(one);
      assert.deepEqual(run(two), result);
      two.processor.state.rip = CODE + 0x200;
      two.processor.run(100);
      assert.equal(two.processor.state.lo(Gpr.rax) & 0xff, 7);
      assert.deepEqual([decoded(one) > 0, decoded(two)], [true, 0]);
    });

    it('sees code change, on both pages of an instruction', () => {
      const one = clone();
      one.code('05', 7); // add eax, 5
      one.processor.frameWritten(CODE_FRAME, 7, 1);
      assert.deepEqual(run(one), [5 * TURNS, 0x01010101]);
      one.code('02', 2, CODE_FRAME + 1);
      one.processor.frameWritten(CODE_FRAME + 1, 2, 1);
      assert.deepEqual(run(one), [5 * TURNS, 0x02010101]);
      assert.deepEqual(run(parent), result);
    });

    it('sees code change that the guest itself writes', () => {
      const one = clone();
      one.code(`c6 06 05 ${UD2}`, 0x300); // mov byte [rsi], 5
      one.processor.state.set(Gpr.rsi, CODE + 7);
      one.processor.state.rip = CODE + 0x300;
      one.processor.run(100);
      assert.deepEqual(run(one), [5 * TURNS, 0x01010101]);
    });
  });
