import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MMU, MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { MACH2PHYS_VIRT_START } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import { PGT } from './page-type.ts';
import { PvGuest, RAM, frames, va } from './testing/pv-guest.ts';

const RO = PTE.P | PTE.A;
const RW = RO | PTE.RW;
const mapping = (frame: number, flags: number): number => frame * 4096 + flags;

/** Everything page_info knows, to compare before and after. */
function counts(guest: PvGuest): string {
  const { types } = guest;
  // Stamps of writable frames out of use are TLB times, no counts.
  return Array.from(
    { length: RAM },
    (_, mfn) =>
      `${mfn}:${types.typeCount(mfn) === 0 ? '-' : types.type(mfn)}/${types.typeCount(mfn)}/${types.count(mfn)}`,
  ).join(' ');
}

describe('page tables of a PV domain', () => {
  it('are typed from the pinned L4 down', () => {
    const { types } = new PvGuest().ready();
    assert.deepEqual(
      [frames.l4, frames.l3, frames.l2, frames.l1, frames.data].map((mfn) => types.type(mfn)),
      [PGT.l4_page_table, PGT.l3_page_table, PGT.l2_page_table, PGT.l1_page_table, PGT.writable_page],
    );
    assert.equal(types.isPinned(frames.l4), true);
    assert.equal(types.isPinned(frames.l1), false);
  });

  it('mark kernel mappings with US and bit 52, and make user mappings global', () => {
    const guest = new PvGuest().ready();
    assert.equal(guest.l1Entry(frames.data), '0010000000014027');
    assert.equal(guest.l1Entry(frames.l4), '0010000000001025');
    assert.equal(guest.l1Entry(frames.userCode), '0000000000012127');
  });

  it('show the M2P, and ~0 for all frames that do not exist', () => {
    const { vcpu, domain } = new PvGuest().ready();
    const entry = (mfn: number): number[] | undefined => {
      const view = domain.view;
      const at = vcpu.processor.translate(MACH2PHYS_VIRT_START + mfn * 8, 'read');
      return at === 0 ? undefined : [view.getUint32(at, true), view.getUint32(at + 4, true)];
    };
    const ones = [0xffffffff, 0xffffffff];
    assert.deepEqual([5, RAM - 1, RAM, 100_000, 0x7ff_ffff, 0x7ff_ffff * 255].map(entry), [
      [5, 0],
      [RAM - 1, 0],
      ones,
      ones,
      ones,
      ones,
    ]);
    assert.equal(vcpu.processor.translate(MACH2PHYS_VIRT_START, 'write'), 0);
  });

  it('cannot be mapped writable, and writable frames cannot become tables', () => {
    const guest = new PvGuest().ready();
    assert.equal(guest.remap(frames.l1, mapping(frames.l1, RW)), Errno.EBUSY);
    assert.equal(guest.remap(frames.spare, mapping(frames.l1, RO)), 0);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, frames.data), Errno.EINVAL);
  });

  it('are pinned once and unpinned once', () => {
    const guest = new PvGuest().ready();
    const before = counts(guest);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, frames.l1), 0);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, frames.l1), Errno.EINVAL);
    assert.equal(guest.mmuext(MMUEXT.PIN_L2_TABLE, frames.l1), Errno.EINVAL);
    assert.equal(guest.mmuext(MMUEXT.UNPIN_TABLE, frames.l1), 0);
    assert.equal(guest.mmuext(MMUEXT.UNPIN_TABLE, frames.l1), Errno.EINVAL);
    assert.equal(guest.mmuext(MMUEXT.UNPIN_TABLE, 1 << 20), Errno.EINVAL);
    assert.equal(counts(guest), before);
  });

  it('let go of everything when they are unpinned', () => {
    const guest = new PvGuest().ready();
    // A second tree: frame 24 an L2 that points to the L1 in frame 25, which maps two frames.
    assert.equal(guest.remap(frames.spare, mapping(frames.spare, RW)), 0);
    guest.words(24, 0, [mapping(25, RW), 0]);
    guest.words(25, 0, [mapping(26, RW), 0, mapping(27, RO), 0]);
    const before = counts(guest);
    for (const frame of [24, 25]) assert.equal(guest.remap(frame, mapping(frame, RO)), 0);
    assert.equal(guest.mmuext(MMUEXT.PIN_L2_TABLE, 24), 0);
    assert.equal(guest.types.type(25), PGT.l1_page_table);
    assert.equal(guest.remap(25, mapping(25, RW)), Errno.EBUSY);
    assert.equal(guest.mmuext(MMUEXT.UNPIN_TABLE, 24), 0);
    for (const frame of [24, 25]) assert.equal(guest.remap(frame, mapping(frame, RW)), 0);
    assert.equal(counts(guest), before);
  });

  it('that cannot be validated leave nothing behind', () => {
    const bad: readonly (readonly [string, number, number])[] = [
      ['a large page', mapping(26, RW | PTE.PSE), 0],
      ['another L1 in its place', mapping(frames.data, RO), 0],
      ['a frame beyond memory', 0xfffff000 | RO, 0],
      ['a frame beyond 4 GiB', mapping(26, RO), 1],
    ];
    for (const [what, lo, hi] of bad) {
      const guest = new PvGuest().ready();
      for (const frame of [24, 25]) assert.equal(guest.remap(frame, mapping(frame, RO)), 0);
      guest.words(25, 0, [mapping(26, RW), 0]);
      guest.words(24, 0, [mapping(25, RO), 0, lo, hi]);
      const before = counts(guest);
      assert.equal(guest.mmuext(MMUEXT.PIN_L2_TABLE, 24), Errno.EINVAL, what);
      assert.equal(counts(guest), before, what);
    }
  });

  it('refuse entries that a domain without devices may not have', () => {
    const guest = new PvGuest().ready();
    const { totalFrames, m2pMfn, sharedInfoMfn } = guest.domain.layout;
    assert.equal(guest.remap(40, mapping(40, RW | PTE.PCD)), Errno.EINVAL);
    assert.equal(guest.remap(40, mapping(totalFrames, RW)), Errno.EPERM);
    assert.equal(guest.remap(40, mapping(m2pMfn, RO)), Errno.EBUSY);
    assert.equal(guest.remap(40, mapping(sharedInfoMfn, RW)), 0);
    assert.equal(guest.call(14, 0x7f00_0000_0000, [0, 0], 0), Errno.EINVAL);
    assert.equal(guest.call(14, MACH2PHYS_VIRT_START, [0, 0], 0), Errno.EINVAL);
  });
});

describe('mmu_update', () => {
  const entry = (frame: number): number => frames.l1 * 4096 + frame * 8;

  it('stops at the first error and says how many were done', () => {
    const guest = new PvGuest().ready();
    const error = guest.mmuUpdate(
      { ptr: entry(40), lo: mapping(41, RW) },
      { ptr: entry(42), lo: mapping(frames.l4, RW) },
      { ptr: entry(43), lo: 0 },
    );
    assert.deepEqual(
      [error, guest.done, guest.l1Entry(40), guest.l1Entry(42)],
      [Errno.EBUSY, 1, '0010000000029027', '001000000002a027'],
    );
  });

  it('keeps accessed and dirty bits when asked to', () => {
    const guest = new PvGuest().ready();
    guest.words(frames.l1, 40 * 8, [mapping(40, RW | PTE.US | PTE.D), 0x100000]);
    assert.equal(guest.mmuUpdate({ ptr: entry(40) | MMU.PT_UPDATE_PRESERVE_AD, lo: mapping(40, PTE.P) }), 0);
    assert.equal(guest.l1Entry(40), '0010000000028065');
    assert.equal(guest.mmuUpdate({ ptr: entry(40), lo: mapping(40, PTE.P) }), 0);
    assert.equal(guest.l1Entry(40), '0010000000028005');
  });

  it('writes into ordinary frames, not into descriptor pages', () => {
    const guest = new PvGuest().ready();
    assert.equal(guest.mmuUpdate({ ptr: 40 * 4096 + 16, lo: 0x1234, hi: 5 }), 0);
    assert.equal(guest.read64(40, 16), '0000000500001234');
    assert.equal(guest.remap(41, mapping(41, RO)), 0);
    guest.words(frames.data, 0x100, [41, 0]);
    assert.equal(guest.call(2, va(frames.data) + 0x100, 512), 0);
    assert.equal(guest.mmuUpdate({ ptr: 41 * 4096, lo: 0 }), Errno.EINVAL);
  });

  it('changes the M2P', () => {
    const guest = new PvGuest().ready();
    assert.equal(guest.mmuUpdate({ ptr: 40 * 4096 + MMU.MACHPHYS_UPDATE, lo: 77 }), 0);
    assert.equal(guest.domain.u32[(guest.domain.frameAt(guest.domain.layout.m2pMfn) + 40 * 8) / 4], 77);
    assert.equal(
      guest.mmuUpdate({ ptr: guest.domain.layout.m2pMfn * 4096 + MMU.MACHPHYS_UPDATE, lo: 0 }),
      Errno.EINVAL,
    );
  });

  it('refuses unknown commands, foreign domains and Xen’s own L4 slots', () => {
    const guest = new PvGuest().ready();
    assert.equal(guest.mmuUpdate({ ptr: entry(40) | 4, lo: 0 }), Errno.ENOSYS);
    assert.equal(guest.mmuUpdate({ ptr: frames.l4 * 4096 + 256 * 8, lo: 0 }), Errno.EINVAL);
    assert.equal(guest.call(1, va(frames.data), 1, 0, 0), Errno.EPERM);
    assert.equal(guest.call(1, va(frames.data), 1, 0, 99), Errno.ESRCH);
    assert.equal(guest.call(1, va(frames.data), 1, 0, guest.control.domid), Errno.ESRCH);
    assert.equal(guest.call(1, 0x7f00_0000_0000, 1, 0, 0x7ff0), Errno.EFAULT);
  });

  it('makes a new table visible at once and takes an old one away from the TLB', () => {
    const guest = new PvGuest().ready();
    const { processor } = guest.vcpu;
    guest.words(25, 0, [mapping(26, RW), 0]);
    assert.equal(guest.remap(25, mapping(25, RO)), 0);
    const l2Entry = frames.l2 * 4096 + 8 * 8;
    assert.equal(guest.mmuUpdate({ ptr: l2Entry, lo: mapping(25, RW) }), 0);
    assert.equal(processor.translate(0x1000000, 'write'), guest.domain.frameAt(26));
    assert.equal(guest.mmuUpdate({ ptr: l2Entry, lo: 0 }), 0);
    assert.equal(processor.translate(0x1000000, 'read'), 0);
  });
});

describe('a frame that changes its type', () => {
  it('is no longer writable through the TLB once it is a page table', () => {
    const guest = new PvGuest().ready();
    const { processor } = guest.vcpu;
    assert.notEqual(processor.translate(va(25), 'write'), 0);
    // The guest leaves the flush out, as Linux does: it relies on Xen's when it pins.
    assert.equal(guest.remap(25, mapping(25, RO)), 0);
    assert.equal(guest.mmuext(MMUEXT.PIN_L1_TABLE, 25), 0);
    assert.equal(processor.translate(va(25), 'write'), 0);
  });

  it('can be given back only by its owner and comes back later', () => {
    const guest = new PvGuest().ready();
    const { kind } = guest.vcpu.platform;
    const { domain } = guest;
    assert.equal(guest.remap(40, 0), 0);
    assert.equal(kind.release(domain, 40), true);
    assert.equal(kind.release(domain, 40), false);
    assert.equal(domain.countOf(40), 0);
    assert.equal(guest.remap(41, mapping(40, RW)), Errno.EBUSY);
    kind.assign(domain, 40, 40);
    assert.equal(guest.remap(41, mapping(40, RW)), 0);
    assert.equal(kind.release(domain, guest.domain.layout.sharedInfoMfn), false);
  });
});
