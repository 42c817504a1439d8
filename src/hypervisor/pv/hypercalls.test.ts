import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TrapInfo } from '../../abi/arch-x86.ts';
import { MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { Errno } from '../../abi/errno.ts';
import { PvGuest, frames, va } from './testing/pv-guest.ts';

const data = va(frames.data);
const NON_CANONICAL = 0x8000_0000_0000;
const XEN = -0x8000_0000_0000;
const nr = {
  set_trap_table: 0,
  set_gdt: 2,
  stack_switch: 3,
  set_debugreg: 8,
  get_debugreg: 9,
  update_descriptor: 10,
  vm_assist: 21,
  set_segment_base: 25,
  nmi_op: 28,
  callback_op: 30,
} as const;

describe('set_trap_table', () => {
  it('changes only the vectors it lists, until a null pointer clears all', () => {
    const guest = new PvGuest().ready();
    const { dataView, base } = guest.control.frames;
    const at = base + frames.data * 4096;
    TrapInfo.write(dataView, at, { vector: 14, flags: 4, cs: 0xe033, address: va(30) });
    assert.equal(guest.call(nr.set_trap_table, data), 0);
    TrapInfo.write(dataView, at, { vector: 13, flags: 0, cs: 0xe033, address: va(31) });
    assert.equal(guest.call(nr.set_trap_table, data), 0);
    const handlers = (): number[] => [13, 14].map((vector) => guest.pvState.trapHandler(vector));
    assert.deepEqual(handlers(), [va(31), va(30)]);
    assert.equal(guest.call(nr.set_trap_table, 0), 0);
    assert.deepEqual(handlers(), [0, 0]);
  });

  it('refuses handlers that are no addresses, and tables that are not there', () => {
    const guest = new PvGuest().ready();
    guest.words(frames.data, 0, [13, 0, 0, 0x8000]);
    assert.equal(guest.call(nr.set_trap_table, data), Errno.EINVAL);
    assert.equal(guest.call(nr.set_trap_table, 0x1000), Errno.EFAULT);
  });
});

describe('callback_op', () => {
  const register = (guest: PvGuest, type: number, address: readonly [number, number] = [va(30), 0]): number => {
    guest.words(frames.data, 0, [type, 0, ...address]);
    return guest.call(nr.callback_op, 0, data);
  };

  it('knows the callbacks of a 64-bit guest', () => {
    const guest = new PvGuest().ready();
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 6, 7, 8].map((type) => register(guest, type)),
      [0, 0, 0, Errno.ENOSYS, 0, 0, Errno.ENOSYS, 0, Errno.ENOSYS],
    );
    assert.equal(register(guest, 0, [0, 0x8000]), Errno.EINVAL);
    assert.equal(guest.call(nr.callback_op, 2, data), Errno.ENOSYS);
  });

  it('unregisters the NMI callback only', () => {
    const guest = new PvGuest().ready();
    const unregister = (type: number): number => {
      guest.words(frames.data, 0, [type]);
      return guest.call(nr.callback_op, 1, data);
    };
    assert.deepEqual([0, 2, 4, 9].map(unregister), [Errno.EINVAL, Errno.EINVAL, 0, Errno.ENOSYS]);
  });
});

describe('descriptor tables', () => {
  /** The GDT's future frame, mapped read-only. */
  const gdt = 41;
  const prepared = (): PvGuest => {
    const guest = new PvGuest().ready();
    assert.equal(guest.remap(gdt, gdt * 4096 + 1), 0);
    guest.words(frames.data, 0, [gdt, 0]);
    return guest;
  };

  it('have their privilege levels raised, and take no system segments', () => {
    const guest = prepared();
    guest.words(gdt, 8, [0x0000ffff, 0x00af9a00, 0x0000ffff, 0x00cf9200]);
    assert.equal(guest.call(nr.set_gdt, data, 16), 0);
    assert.deepEqual([guest.read64(gdt, 8), guest.read64(gdt, 16)], ['00affa000000ffff', '00cff2000000ffff']);
    const update = (lo: number, hi: number): number => guest.call(nr.update_descriptor, gdt * 4096 + 24, [lo, hi]);
    assert.equal(update(0x0000ffff, 0x00cf9200), 0);
    assert.equal(guest.read64(gdt, 24), '00cff2000000ffff');
    assert.equal(update(0, 0x00008900), Errno.EINVAL, 'a task state segment');
    assert.equal(update(0, 0), 0);
    assert.equal(guest.call(nr.update_descriptor, gdt * 4096 + 25, [0, 0]), Errno.EINVAL);
  });

  it('cannot be mapped writable while they are in use', () => {
    const guest = prepared();
    assert.equal(guest.call(nr.set_gdt, data, 16), 0);
    assert.equal(guest.remap(gdt, gdt * 4096 + 3), Errno.EBUSY);
    assert.equal(guest.call(nr.set_gdt, data, 0), 0);
    assert.equal(guest.remap(gdt, gdt * 4096 + 3), 0);
  });

  it('are refused with too many entries, writable frames or an unreadable list', () => {
    const guest = prepared();
    guest.words(frames.data, 8, [42, 0]);
    assert.equal(guest.call(nr.set_gdt, data, 1024), Errno.EINVAL);
    assert.equal(guest.types.typeCount(gdt), 0);
    assert.equal(guest.call(nr.set_gdt, data, 14 * 512 + 1), Errno.EINVAL);
    assert.equal(guest.call(nr.set_gdt, 0x1000, 16), Errno.EFAULT);
  });

  it('of the LDT kind are page-aligned', () => {
    const guest = new PvGuest().ready();
    assert.equal(guest.mmuext(MMUEXT.SET_LDT, va(42), 16), 0);
    assert.equal(guest.vcpu.processor.state.ldtLimit, 127);
    assert.equal(guest.mmuext(MMUEXT.SET_LDT, va(42) + 8, 16), Errno.EINVAL);
    assert.equal(guest.mmuext(MMUEXT.SET_LDT, va(42), 8193), Errno.EINVAL);
    assert.equal(guest.mmuext(MMUEXT.SET_LDT, 0, 0), 0);
  });
});

describe('set_segment_base', () => {
  it('sets the active and the inactive bases', () => {
    const guest = new PvGuest().ready();
    const { state } = guest.vcpu.processor;
    assert.deepEqual(
      [0, 1, 2].map((which) => guest.call(nr.set_segment_base, which, va(20 + which))),
      [0, 0, 0],
    );
    assert.deepEqual([state.fsBase, guest.pvState.address('gsInactive'), state.gsBase], [va(20), va(21), va(22)]);
    assert.equal(guest.call(nr.set_segment_base, 0, NON_CANONICAL), Errno.EINVAL);
    assert.equal(guest.call(nr.set_segment_base, 4, 0), Errno.EINVAL);
  });

  it('takes any selector for the user’s GS, and gives a bad one base 0', () => {
    const guest = new PvGuest().ready();
    guest.call(nr.set_segment_base, 1, va(21));
    for (const selector of [0xe02b, 0, 0x63, 0xfffc]) {
      assert.equal(guest.call(nr.set_segment_base, 3, selector), 0);
      assert.equal(guest.pvState.address('gsInactive'), 0);
    }
  });
});

describe('debug registers', () => {
  const set = (guest: PvGuest, register: number, value: number): number => guest.call(nr.set_debugreg, register, value);
  const get = (guest: PvGuest, register: number): number => guest.call(nr.get_debugreg, register);

  it('keep what may be set and fix reserved bits', () => {
    const guest = new PvGuest().ready();
    assert.deepEqual([set(guest, 0, va(30)), set(guest, 6, 0), set(guest, 7, 1)], [0, 0, 0]);
    assert.deepEqual(
      [get(guest, 0), get(guest, 6), get(guest, 7), get(guest, 4), get(guest, 5)],
      [va(30), 0xffff0ff0, 0x401, 0xffff0ff0, 0x401],
    );
  });

  it('refuse Xen’s addresses, general detect, and I/O breakpoints without CR4.DE', () => {
    const guest = new PvGuest().ready();
    assert.deepEqual(
      [
        set(guest, 0, XEN),
        set(guest, 0, NON_CANONICAL),
        set(guest, 7, 0x2000),
        set(guest, 7, 0x20001),
        set(guest, 6, 2 ** 32),
        set(guest, 8, 0),
        get(guest, 8),
      ],
      [Errno.EPERM, Errno.EPERM, Errno.EPERM, Errno.EPERM, Errno.EINVAL, Errno.ENODEV, Errno.ENODEV],
    );
  });
});

describe('vm_assist', () => {
  it('takes the types it knows', () => {
    const guest = new PvGuest().ready();
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 32, 6, 33].map((type) => guest.call(nr.vm_assist, 0, type)),
      [0, 0, 0, 0, 0, 0, 0, Errno.EINVAL, Errno.EINVAL],
    );
    assert.equal(guest.domain.get('vmAssist'), 0x3f);
    assert.equal(guest.call(nr.vm_assist, 1, 2), 0);
    assert.equal(guest.domain.get('vmAssist'), 0x3b);
    assert.equal(guest.call(nr.vm_assist, 2, 2), Errno.ENOSYS);
  });
});

describe('mmuext_op', () => {
  it('switches base pointers, and takes none for the user’s', () => {
    const guest = new PvGuest({ user: true }).ready();
    assert.equal(guest.mmuext(MMUEXT.NEW_USER_BASEPTR, frames.userL4), 0);
    assert.equal(guest.types.type(frames.userL4), 4);
    assert.equal(guest.mmuext(MMUEXT.NEW_USER_BASEPTR, 0), 0);
    assert.equal(guest.types.typeCount(frames.userL4), 0);
    assert.equal(guest.mmuext(MMUEXT.NEW_BASEPTR, frames.userL4), 0);
    assert.equal(guest.vcpu.platform.controlRegisters().cr3, frames.userL4 * 4096);
    assert.equal(guest.mmuext(MMUEXT.NEW_BASEPTR, frames.l3), Errno.EINVAL);
    assert.equal(guest.mmuext(MMUEXT.NEW_BASEPTR, frames.l4), 0);
  });

  it('clears and copies ordinary frames only', () => {
    const guest = new PvGuest().ready();
    guest.words(40, 0, [1, 2, 3]);
    assert.equal(guest.mmuext(MMUEXT.COPY_PAGE, 41, 40), 0);
    assert.equal(guest.mmuext(MMUEXT.CLEAR_PAGE, 40), 0);
    assert.deepEqual([guest.read32(41, 8), guest.read32(40, 8)], [3, 0]);
    assert.equal(guest.mmuext(MMUEXT.CLEAR_PAGE, frames.l1), Errno.EINVAL);
    assert.equal(guest.mmuext(MMUEXT.COPY_PAGE, 41, 1 << 20), Errno.EINVAL);
  });

  it('answers flushes of what is not there as Xen does', () => {
    const guest = new PvGuest().ready();
    const flushes = [
      MMUEXT.TLB_FLUSH_LOCAL,
      MMUEXT.INVLPG_LOCAL,
      MMUEXT.TLB_FLUSH_ALL,
      MMUEXT.INVLPG_ALL,
      MMUEXT.FLUSH_CACHE,
      MMUEXT.FLUSH_CACHE_GLOBAL,
      MMUEXT.MARK_SUPER,
      14,
      21,
    ];
    assert.deepEqual(
      flushes.map((cmd) => guest.mmuext(cmd, va(40))),
      [0, 0, 0, 0, Errno.EACCES, Errno.EINVAL, Errno.EOPNOTSUPP, Errno.ENOSYS, Errno.ENOSYS],
    );
    assert.equal(guest.mmuext(MMUEXT.TLB_FLUSH_MULTI, 0, data + 0x80), 0);
    assert.equal(guest.mmuext(MMUEXT.TLB_FLUSH_MULTI, 0, 0x1000), Errno.EINVAL);
  });
});

describe('an NMI', () => {
  it('is blocked from its delivery to the next iret', () => {
    const guest = new PvGuest().ready();
    guest.words(frames.data, 0, [va(30), 0]);
    assert.equal(guest.call(nr.nmi_op, 0, data), 0);
    const { platform, processor } = guest.vcpu;
    platform.raiseNmi();
    assert.equal(processor.state.rip, va(30));
    const sp = processor.state.num(4);
    platform.raiseNmi();
    assert.equal(processor.state.num(4), sp, 'the second one waits');
    assert.deepEqual([guest.pvState.word('nmiMasked'), guest.pvState.word('nmiPending')], [1, 1]);
  });
});
