import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { VcpuState } from '../state.ts';
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

  it('are left out when the TLB was emptied after the last writable mapping went', () => {
    const guest = new PvGuest().ready();
    const { processor } = guest.vcpu;
    assert.equal(guest.remap(25, 25 * 4096 + PTE.P), 0);
    assert.equal(guest.mmuext(MMUEXT.TLB_FLUSH_LOCAL), 0);
    assert.notEqual(processor.translate(va(40), 'read'), 0);
    let flushes = 0;
    const { flushTlb } = processor;
    processor.flushTlb = () => {
      flushes++;
      flushTlb.call(processor);
    };
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, 25), 0);
    assert.equal(flushes, 0);
    assert.equal(guest.remap(26, 26 * 4096 + PTE.P), 0);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, 26), 0);
    assert.equal(flushes, 1);
  });
});
