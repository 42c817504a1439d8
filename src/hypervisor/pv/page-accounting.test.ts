/** Whatever a guest does to its page tables, the counts in page_info are what a fresh count of all entries gives. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MMU, MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { ENTRIES, FIRST_XEN_SLOT, LAST_XEN_SLOT, PTE } from '../../abi/arch-x86/page-table.ts';
import { PGC_count_mask } from '../state.ts';
import { PGT } from './page-type.ts';
import { PvGuest, RAM } from './testing/pv-guest.ts';

/** Frames that the random guest plays with: few, so that it often hits the same ones. */
const PLAY = { first: 24, count: 10 } as const;

function random(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Uses and references as the tables, pins and base pointers give them. */
function recount(guest: PvGuest): string[] {
  const { types, domain } = guest;
  const uses = new Array<number>(RAM).fill(0);
  const references = new Array<number>(RAM).fill(0);
  const use = (mfn: number, typed: boolean): void => {
    if (mfn >= RAM) return;
    references[mfn] = (references[mfn] ?? 0) + 1;
    if (typed) uses[mfn] = (uses[mfn] ?? 0) + 1;
  };
  for (let mfn = 0; mfn < RAM; mfn++) {
    const level = types.typeInUse(mfn);
    if (types.isPinned(mfn)) use(mfn, true);
    if (level === PGT.none || level > PGT.l4_page_table) continue;
    for (let slot = 0; slot < ENTRIES; slot++) {
      if (level === PGT.l4_page_table && slot >= FIRST_XEN_SLOT && slot <= LAST_XEN_SLOT) continue;
      const lo = domain.u32[(domain.frameAt(mfn) + slot * 8) / 4] ?? 0;
      if ((lo & PTE.P) === 0) continue;
      const target = lo >>> 12;
      if (level === PGT.l1_page_table) use(target, (lo & PTE.RW) !== 0);
      else if (target !== mfn) use(target, true);
    }
  }
  const state = guest.pvState;
  use(state.word('cr3'), true);
  if (state.word('userCr3') !== 0) use(state.word('userCr3'), true);
  return uses.map((n, mfn) => `${mfn}: ${n} uses, ${references[mfn] ?? 0} references`);
}

function counted(guest: PvGuest): string[] {
  const { types } = guest;
  return Array.from(
    { length: RAM },
    (_, mfn) => `${mfn}: ${types.typeCount(mfn)} uses, ${types.count(mfn) & PGC_count_mask} references`,
  );
}

function randomStep(guest: PvGuest, next: (below: number) => number): number {
  const frame = (): number => (next(12) === 0 ? next(RAM + 4) : PLAY.first + next(PLAY.count));
  const flags = (): number => PTE.P | (next(2) ? PTE.RW : 0) | (next(2) ? PTE.US : 0) | (next(20) === 0 ? PTE.PSE : 0);
  const entry = (): number => (next(5) === 0 ? 0 : frame() * 4096 + flags());
  switch (next(8)) {
    case 0:
      return guest.remap(frame() % RAM, entry());
    case 1:
      return guest.mmuext(MMUEXT.PIN_L1_TABLE + next(4), frame());
    case 2:
      return guest.mmuext(MMUEXT.UNPIN_TABLE, frame());
    case 3:
      return guest.mmuext(MMUEXT.NEW_USER_BASEPTR, next(3) === 0 ? 0 : frame());
    case 4: {
      // The guest's own store, where the frame is data.
      const mfn = PLAY.first + next(PLAY.count);
      const type = guest.types.typeInUse(mfn);
      if (type === PGT.none || type === PGT.writable_page) guest.words(mfn, next(4) * 8, [entry(), 0]);
      return 0;
    }
    case 5:
      return guest.mmuext(MMUEXT.CLEAR_PAGE, frame());
    default: {
      const cmd = next(4) === 0 ? MMU.PT_UPDATE_PRESERVE_AD : MMU.NORMAL_PT_UPDATE;
      return guest.mmuUpdate(
        { ptr: (frame() * 4096 + next(6) * 8) | cmd, lo: entry() },
        { ptr: frame() * 4096 + next(6) * 8, lo: entry() },
      );
    }
  }
}

describe('page accounting', () => {
  for (const seed of [1, 20, 300, 4000, 50_000]) {
    it(`agrees with a recount after every step of a random guest (seed ${seed})`, () => {
      const guest = new PvGuest().ready();
      const next = random(seed);
      // Most of the play frames start read-only, so that tables can be made of them.
      for (let i = 0; i < PLAY.count; i++)
        assert.equal(guest.remap(PLAY.first + i, next(4) === 0 ? 0 : (PLAY.first + i) * 4096 + PTE.P), 0);
      let succeeded = 0;
      for (let step = 0; step < 400; step++) {
        if (randomStep(guest, next) === 0) succeeded++;
        if (step % 10 === 0) assert.deepEqual(counted(guest), recount(guest), `step ${step}`);
      }
      assert.deepEqual(counted(guest), recount(guest));
      assert.ok(succeeded > 50, `only ${succeeded} steps succeeded`);
    });
  }
});
