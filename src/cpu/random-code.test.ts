/**
 * The processor has to survive whatever bytes it is told to execute, in whatever state: it ends in an exit, within its budget, and touches nothing but its
 * own state and the domain's frames.
 *
 *   RANDOM_CODE_ROUNDS=1000000 RANDOM_CODE_SEED=7 node --test src/cpu/random-code.test.ts
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Exit } from './index.ts';
import { Random } from './oracle/random.ts';
import { CODE, Machine } from './testing/machine.ts';
import { GuardedMachine } from './testing/guarded-machine.ts';
import { randomCode } from './testing/random-bytes.ts';

const ROUNDS = Number(process.env['RANDOM_CODE_ROUNDS'] ?? 4000);
const SEED = Number(process.env['RANDOM_CODE_SEED'] ?? 1);
/** Rounds between two looks at all that must not have changed. */
const CHECK_EVERY = 50;
const RUNS = 12;
const BUDGET = 300;
/** A turn takes microseconds, one with translations milliseconds; this much of a processor is one that does not come back. */
const LONGEST_MS = 10_000;

const internal: ReadonlySet<number> = new Set([Exit.Decode, Exit.Segment, Exit.Step, Exit.Check]);
const exits: ReadonlySet<number> = new Set(Object.values(Exit).filter((exit) => !internal.has(exit)));

function turn(machine: GuardedMachine, random: Random): number {
  const { processor } = machine;
  switch (random.below(12)) {
    case 0:
      return processor.step();
    case 1:
      return processor.stepWithWritableFrame(random.below(64));
    case 2:
      processor.state.exitRequest = 1;
      return processor.run(BUDGET);
    default:
      return processor.run(BUDGET);
  }
}

/** Where to go on after an exit: past it, or somewhere else. */
function proceed(machine: GuardedMachine, random: Random): void {
  const { state } = machine.processor;
  state.exitRequest = 0;
  if (random.chance(0.7))
    state.rip = state.long64 ? state.rip + random.between(1, 4) : (state.rip + random.between(1, 4)) >>> 0;
  else state.rip = CODE + random.below(65536);
}

function round(machine: GuardedMachine, random: Random): number {
  const { processor } = machine;
  machine.scramble(random);
  const from = random.below(machine.code.length - 512);
  machine.code.set(randomCode(random, 512, processor.state.long64), from);
  machine.codeChanged();
  if (random.chance(0.9)) processor.state.rip = CODE + from;
  const before = processor.state.instructionsRetired;
  for (let run = 0; run < RUNS; run++) {
    const start = process.threadCpuUsage();
    const exit = turn(machine, random);
    assert.ok(exits.has(exit), `exit ${exit}`);
    const { user, system } = process.threadCpuUsage(start);
    assert.ok((user + system) / 1000 < LONGEST_MS, `a turn took ${(user + system) / 1000} ms`);
    proceed(machine, random);
  }
  return processor.state.instructionsRetired - before;
}

describe('a processor that is given random code', () => {
  // Eager: whatever is decoded is translated too, so that regions come and go all the time.
  for (const [engine, rounds] of [
    ['interpreter', ROUNDS],
    ['eager', Math.ceil(ROUNDS / 32)],
    ['check', Math.ceil(ROUNDS / 32)],
  ] as const) {
    it(`ends every turn with an exit and leaves no trace elsewhere (${engine}, ${rounds} programs, seed ${SEED})`, () => {
      const random = new Random(SEED);
      const machine = new GuardedMachine(random, engine);
      let retired = 0;
      for (let n = 0; n < rounds; n++) {
        try {
          retired += round(machine, random);
          if (n % CHECK_EVERY === 0) machine.check();
        } catch (error) {
          const { state } = machine.processor;
          throw new Error(`program ${n} of seed ${SEED}, at RIP ${state.rip.toString(16)}`, { cause: error });
        }
      }
      machine.check();
      // Otherwise the programs are too poor to show anything.
      assert.ok(retired > 5 * rounds, `${retired} instructions in ${rounds} programs`);
    });
  }

  it('interrupts a repeated instruction whose count no memory could satisfy', () => {
    const m = new Machine();
    // rep lodsb with a step of 0 would be ideal; 128 KiB of wrapping address space do: the 32-bit form repeats 2^32 times at most.
    m.entry(3, 2, 4, 7);
    m.code('f3 a4 eb fc'); // rep movsb; jmp back
    for (let page = 0; page < 512; page++) m.map(page, 20);
    for (let slot = 0; slot < 512; slot++) {
      m.entry(3, slot, 4, 7);
      m.entry(2, slot, 3, 7);
      m.entry(1, slot, 2, 7);
    }
    m.map(0, 16);
    m.processor.flushTlb();
    m.processor.state.set(6, 0x1000);
    m.processor.state.set(7, 0x3800);
    m.processor.state.set(1, 2 ** 46);
    assert.equal(m.processor.run(1000), Exit.Budget);
    assert.equal(m.processor.state.rip, CODE);
    assert.ok(m.processor.state.num(1) < 2 ** 46);
    assert.equal(m.processor.step(), Exit.Budget);
  });

  it('counts far jumps, which the processor completes outside of its loop', () => {
    const m = new Machine();
    m.code('48 ff 2e'); // ljmp *(%rsi), to itself
    const at = m.frameAt(18);
    m.view.setUint32(at, CODE, true);
    m.view.setUint16(at + 8, 0x0b, true);
    m.view.setUint32(m.frameAt(19) + 8, 0, true);
    m.view.setUint32(m.frameAt(19) + 12, 0x00affb00, true);
    m.processor.state.setGdtPage(0, m.frameAt(19));
    m.processor.state.gdtLimit = 0xfff;
    m.processor.state.set(6, CODE + 0x2000);
    assert.equal(m.processor.run(1000), Exit.Budget);
    assert.equal(m.processor.state.instructionsRetired, 1000);
  });
});
