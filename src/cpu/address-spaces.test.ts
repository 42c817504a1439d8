import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TableChanges } from './address-spaces.ts';
import { Gpr } from './index.ts';
import { ADDRESS_SPACES, Mode } from './state-layout.ts';
import { CODE, CODE_FRAME, DATA, DATA_FRAME, Machine } from './testing/machine.ts';

const UD2 = '0f 0b';

const FLAGS = 7;
/** Frames of the second space's tables, and where the first page of code lies in it. */
const other = { l4: 5, l3: 6, l2: 7, l1: 8, code: 24 } as const;

/** A machine with a second address space, whose first page is another frame; both load EAX with a number of their own. */
function machine(engine: 'interpreter' | 'eager'): Machine {
  const m = new Machine(engine);
  m.entry(other.l4, 0, other.l3, FLAGS);
  m.entry(other.l3, 0, other.l2, FLAGS);
  m.entry(other.l2, 2, other.l1, FLAGS);
  for (let page = 0; page < 16; page++) m.entry(other.l1, page, page === 0 ? other.code : 16 + page, FLAGS);
  m.code(`b8 11 11 11 11 ${UD2}`);
  m.code(`b8 22 22 22 22 ${UD2}`, 0, other.code);
  return m;
}

const FIRST = 1;

/** The page tables at a version; of changes since another one, these frames are known, or nothing. */
const tables = (version: number, frames?: readonly number[]): TableChanges => ({
  version,
  since: () => frames !== undefined,
  frames: Int32Array.from(frames ?? []),
  count: frames?.length ?? 0,
});

function eax(m: Machine, rip = CODE): number {
  m.processor.state.rip = rip;
  m.processor.run(100);
  return m.processor.state.lo(Gpr.rax);
}

for (const engine of ['interpreter', 'eager'] as const)
  describe(`address spaces (${engine})`, () => {
    it('have translations of their own', () => {
      const m = machine(engine);
      for (let round = 0; round < 3; round++) {
        m.processor.setRoot(0, FIRST, tables(1));
        assert.equal(eax(m), 0x11111111);
        m.processor.setRoot(0, other.l4, tables(1));
        assert.equal(eax(m), 0x22222222);
      }
    });

    it('keep them as long as the version is the same, and no longer', () => {
      const m = machine(engine);
      m.processor.setRoot(0, FIRST, tables(1));
      assert.equal(eax(m), 0x11111111);
      m.map(0, other.code);
      m.processor.setRoot(0, other.l4, tables(1));
      m.processor.setRoot(0, FIRST, tables(1));
      assert.equal(eax(m), 0x11111111, 'a version that does not tell of the change');
      m.processor.setRoot(0, other.l4, tables(1));
      m.processor.setRoot(0, FIRST, tables(2));
      assert.equal(eax(m), 0x22222222);
      m.map(0, CODE_FRAME);
      m.processor.setRoot(0, FIRST);
      assert.equal(eax(m), 0x11111111, 'no version');
    });

    it('lose those of frames whose mappings have changed, and the jumps to them', () => {
      const m = machine(engine);
      m.processor.setRoot(0, FIRST, tables(1));
      assert.equal(eax(m), 0x11111111);
      m.map(0, other.code);
      const translated = m.processor.translate(DATA, 'write');
      m.map(2, 0, 0);
      m.processor.refreshTlb(tables(2, [20]));
      assert.equal(eax(m), 0x11111111, 'changes of other frames only');
      m.processor.refreshTlb(tables(3, [CODE_FRAME]));
      assert.equal(eax(m), 0x22222222);
      assert.equal(m.processor.translate(DATA, 'write'), translated, 'another translation stays');
      m.processor.setRoot(0, other.l4, tables(3));
      m.processor.setRoot(0, FIRST, tables(4, [DATA_FRAME, 1 << 20]));
      assert.equal(m.processor.translate(DATA, 'write'), 0);
    });

    it('take over what equal entries of the top table lead to in the upper half, and nothing else', () => {
      const m = machine(engine);
      // Pages 2, 3 and 4, since the TLB has one place for addresses that differ in the slot alone.
      const kept = -(2 ** 47) + 44 * 2 ** 39 + CODE + 2 * 4096;
      const changed = -(2 ** 47) + 45 * 2 ** 39 + CODE + 3 * 4096;
      const low = CODE + 4 * 4096;
      for (const slot of [300, 301]) m.entry(FIRST, slot, 2, FLAGS);
      m.entry(other.l4, 300, 2, FLAGS);
      m.entry(other.l4, 301, other.l3, FLAGS);
      for (const page of [3, 4]) m.entry(other.l1, page, 30, FLAGS);
      const frames = (): number[] =>
        [kept, changed, low].map((va) => (m.processor.translate(va, 'read') - m.frameAt(0)) / 4096);
      m.processor.setRoot(0, FIRST, tables(1));
      assert.deepEqual(frames(), [18, 19, 20]);
      // Behind the processor's back, so that a translation of before is told from a new one.
      m.map(2, 31);
      m.processor.setRoot(0, other.l4, tables(1));
      assert.deepEqual(frames(), [18, 30, 30]);
      assert.equal(m.entryOf(other.l4, 300) & 0x20, 0x20);
      // What had to be dropped there is not taken over.
      m.entry(33, 300, 2, FLAGS);
      m.processor.setRoot(0, 33, tables(2, [18]));
      assert.equal(frames()[0], 31);
    });

    it('lose them all with a flush', () => {
      const m = machine(engine);
      m.processor.setRoot(0, FIRST, tables(1));
      assert.equal(eax(m), 0x11111111);
      m.map(0, other.code);
      m.processor.setRoot(0, other.l4, tables(1));
      m.processor.flushTlb();
      m.processor.setRoot(0, FIRST, tables(1));
      assert.equal(eax(m), 0x22222222);
    });

    it('are more than are kept', () => {
      const m = machine(engine);
      for (let round = 0; round < 2; round++)
        for (let n = 0; n < ADDRESS_SPACES + 2; n++) {
          const l4 = 32 + n;
          m.entry(l4, 0, n % 2 === 0 ? 2 : other.l3, FLAGS);
          m.processor.setRoot(0, l4, tables(1));
          assert.equal(eax(m), n % 2 === 0 ? 0x11111111 : 0x22222222);
        }
    });

    it('notice that code was found meanwhile in a page that they write to', () => {
      const m = machine(engine);
      m.code(`c6 06 33 ${UD2}`, 0x100); // mov byte [rsi],0x33
      m.code(`b0 44 ${UD2}`, 0, DATA_FRAME);
      const write = (to: number): void => {
        m.processor.state.set(Gpr.rsi, to);
        eax(m, CODE + 0x100);
      };
      m.processor.setRoot(0, FIRST, tables(1));
      write(DATA + 0x800);
      m.processor.setRoot(0, other.l4, tables(1));
      assert.equal(eax(m, DATA) & 0xff, 0x44);
      m.processor.setRoot(0, FIRST, tables(1));
      write(DATA + 1);
      assert.equal(eax(m, DATA) & 0xff, 0x33);
    });

    it('of two modes do not mix their code', () => {
      const m = machine(engine);
      // inc eax; dec eax in compatibility mode is a REX prefix for what follows in 64-bit mode.
      m.code(`40 ff c0 ${UD2}`, 0x200);
      const run = (long64: boolean): number => {
        m.processor.state.long64 = long64;
        m.processor.state.set(Gpr.rax, 0);
        return eax(m, CODE + 0x200);
      };
      for (let round = 0; round < 2; round++) {
        m.processor.setRoot(0, FIRST, tables(1));
        assert.equal(run(true), 1);
        m.processor.setRoot(0, 1, tables(1));
        assert.equal(run(false), 2);
        assert.equal(m.processor.state.mode, Mode.compat32);
      }
    });
  });
