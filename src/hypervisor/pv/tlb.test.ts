import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { VcpuState } from '../state.ts';
import { RECORDED_CHANGES } from './pv-domain.ts';
import { PvGuest, frames, va } from './testing/pv-guest.ts';

const word = (guest: PvGuest, vcpu: number, field: 'tlbFlush' | 'running'): number =>
  (guest.domain.vcpuAt(vcpu) + VcpuState.at[field]) >>> 2;
const asked = (guest: PvGuest, vcpu: number): boolean =>
  Atomics.load(guest.domain.i32, word(guest, vcpu, 'tlbFlush')) !== 0;

describe('TLB flushes of other vCPUs', () => {
  it('are asked for, and not waited for while a vCPU is out of the guest', () => {
    const guest = new PvGuest({ vcpus: 3 }).ready();
    guest.words(frames.data, 0x80, [0b100, 0]);
    assert.equal(guest.mmuext(MMUEXT.TLB_FLUSH_MULTI, 0, va(frames.data) + 0x80), 0);
    assert.deepEqual(
      [0, 1, 2].map((vcpu) => asked(guest, vcpu)),
      [false, false, true],
    );
  });

  it('come with a change above L1, and with a frame that turns from data to table', () => {
    const guest = new PvGuest({ vcpus: 2 }).ready();
    const clear = (): void => Atomics.store(guest.domain.i32, word(guest, 1, 'tlbFlush'), 0) as unknown as void;
    assert.equal(guest.remap(25, 25 * 4096 + PTE.P), 0);
    clear();
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, 25), 0);
    assert.equal(asked(guest, 1), true);
    clear();
    // Linking a table where none was needs no flush; taking it away does.
    const entry = frames.l2 * 4096 + 9 * 8;
    assert.equal(guest.mmuUpdate({ ptr: entry, lo: 25 * 4096 + PTE.P + PTE.RW }), 0);
    assert.equal(asked(guest, 1), false);
    assert.equal(guest.mmuUpdate({ ptr: entry, lo: 0 }), 0);
    assert.equal(asked(guest, 1), true);
  });

  it('drop here what was changed, once for all frames that were writable before', () => {
    const guest = new PvGuest().ready();
    const { processor } = guest.vcpu;
    let refreshes = 0;
    const { refreshTlb } = processor;
    processor.refreshTlb = (tables) => {
      refreshes++;
      refreshTlb.call(processor, tables);
    };
    processor.flushTlb = () => assert.fail('all translations are dropped');
    assert.equal(guest.remap(25, 25 * 4096 + PTE.P), 0);
    assert.equal(guest.mmuext(MMUEXT.TLB_FLUSH_LOCAL), 0);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, 25), 0);
    assert.equal(refreshes, 1, 'the TLB was emptied after the last writable mapping went');
    assert.notEqual(processor.translate(va(40), 'read'), 0);
    for (const frame of [26, 27]) {
      assert.notEqual(processor.translate(va(frame), 'write'), 0);
      assert.equal(guest.remap(frame, frame * 4096 + PTE.P), 0);
    }
    // Behind the processor's back: a translation that nothing was said of stays.
    guest.words(frames.l1, 40 * 8, [0, 0]);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, 26), 0);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, 27), 0);
    assert.equal(refreshes, 2);
    for (const frame of [26, 27]) assert.equal(processor.translate(va(frame), 'write'), 0);
    assert.notEqual(processor.translate(va(40), 'read'), 0);
  });
});

describe('a load of the base pointer', () => {
  /** Whether `va(40)` is translated as before, although its entry was changed behind the processor's back. */
  function keeps(change: (guest: PvGuest) => void): boolean {
    const guest = new PvGuest({ user: true }).ready();
    const { processor, domain } = guest.vcpu;
    const load = (l4: number): void => assert.equal(guest.mmuext(MMUEXT.NEW_BASEPTR, l4), 0);
    // Pinned, so that it stays a table while it is not in use.
    assert.equal(guest.mmuext(MMUEXT.PIN_L4_TABLE, frames.userL4), 0);
    load(frames.userL4);
    load(frames.l4);
    const before = processor.translate(va(40), 'read');
    change(guest);
    domain.i32[(domain.frameAt(frames.l1) + 40 * 8) >>> 2] = 41 * 4096 + PTE.P;
    load(frames.userL4);
    load(frames.l4);
    return processor.translate(va(40), 'read') === before;
  }

  it('brings back the translations of its address space while no table changes', () => {
    assert.ok(keeps(() => undefined));
  });

  it('drops those whose entries were changed, and no others', () => {
    assert.ok(!keeps((guest) => assert.equal(guest.remap(40, 0), 0)));
    assert.ok(keeps((guest) => assert.equal(guest.remap(50, 0), 0)));
  });

  it('drops them all after a change above L1, or too many changes', () => {
    const update = { ptr: frames.l2 * 4096 + 2 * 8, lo: frames.l1 * 4096 + PTE.P + PTE.RW + PTE.US };
    assert.ok(!keeps((guest) => assert.equal(guest.mmuUpdate(update), 0)));
    const many = (count: number) => (guest: PvGuest) => {
      for (let n = 0; n < count; n++) guest.remap(50, (50 + (n & 1)) * 4096 + PTE.P);
    };
    assert.ok(keeps(many(RECORDED_CHANGES - 2)));
    assert.ok(!keeps(many(RECORDED_CHANGES + 2)));
  });

  it('drops those of a table that was none for a while', () => {
    const reused = (guest: PvGuest): void => {
      guest.mmuext(MMUEXT.NEW_BASEPTR, frames.userL4);
      assert.equal(guest.mmuext(MMUEXT.UNPIN_TABLE, frames.l4), 0);
      assert.equal(guest.mmuext(MMUEXT.PIN_L4_TABLE, frames.l4), 0);
    };
    assert.ok(!keeps(reused));
  });
});
