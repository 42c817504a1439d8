import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VcpuInfo } from '../../abi/arch-x86.ts';
import { MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { TrapInfo } from '../../abi/arch-x86.ts';
import { hex, hypercall, load, mov, program, push, store, syscall, ud2 } from './testing/code.ts';
import { PvGuest, frames, powerOff, stackTop, userStackTop, va } from './testing/pv-guest.ts';

const data = va(frames.data);
const handler = va(frames.handler);
/** Where the tests keep a trap table, an mmuext_op and a callback_register. */
const trapsAt = data + 0x200;
const opsAt = data + 0x300;
const callbackAt = data + 0x340;
const R = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rsi: 6, r11: 11 } as const;

interface Trap {
  readonly vector: number;
  readonly flags?: number;
}

/** A guest whose traps all lead to the handler, which keeps its stack pointer in the first data word and powers off. */
function guestWith(
  traps: readonly Trap[],
  o: { readonly user?: boolean; readonly handler?: Uint8Array } = {},
): PvGuest {
  const guest = new PvGuest({ user: o.user ?? false });
  const { dataView, base } = guest.control.frames;
  const at = base + frames.data * 4096;
  traps.forEach(({ vector, flags }, i) =>
    TrapInfo.write(dataView, at + 0x200 + i * 16, { vector, flags: flags ?? 0, cs: 0xe033, address: handler }),
  );
  guest.words(frames.data, 0x300, [MMUEXT.NEW_USER_BASEPTR, 0, frames.userL4, 0, 0, 0]);
  guest.write(frames.handler, 0, o.handler ?? program(store(data, R.rsp), powerOff));
  return guest;
}

const setTraps = hypercall(0, trapsAt);
const setUserBase = hypercall(26, opsAt, 1, 0, 0x7ff0);

/** The frame that the handler found, as 16-digit words. */
function frame(guest: PvGuest, words: number): string[] {
  const rsp = guest.read32(frames.data, 0);
  const [which, offset] = [Math.floor((rsp - va(0)) / 4096), rsp & 4095];
  return Array.from({ length: words }, (_, i) => guest.read64(which, offset + i * 8));
}

const h = (value: number): string => value.toString(16).padStart(16, '0');

/** To user mode through the iret hypercall: RIP and flags as given. */
const iret = (
  rip: number,
  o: { rflags?: number; cs?: number; ss?: number; rsp?: number; flags?: number } = {},
): readonly number[] => [
  ...push(o.ss ?? 0xe02b),
  ...push(o.rsp ?? userStackTop),
  ...push(o.rflags ?? 0x202),
  ...push(o.cs ?? 0xe033),
  ...push(rip),
  ...push(o.flags ?? 0),
  ...push(0x11),
  ...push(0x22),
  ...push(0x33),
  0xb8,
  23,
  0,
  0,
  0,
  ...syscall,
];

describe('an exception in kernel mode', () => {
  it('pushes RCX, R11 and an interrupt frame whose CS has RPL 0', () => {
    const guest = guestWith([{ vector: 6 }]);
    const at = va(frames.code) + setTraps.length + 20;
    guest.run(program(setTraps, mov(R.rcx, 0x1234), mov(R.r11, -5), ud2));
    // The stack was empty; events are masked at the start, so the frame shows IF clear.
    assert.deepEqual(frame(guest, 7), [
      h(0x1234),
      'fffffffffffffffb',
      h(at),
      '000000010000e030',
      h(2),
      h(stackTop),
      h(0xe02b),
    ]);
    assert.equal(guest.control.info().shutdownReason, 0);
  });

  it('puts the error code below RIP, and the fault address into vcpu_info', () => {
    const guest = guestWith([{ vector: 14 }]);
    guest.run(program(setTraps, load(R.rax, 0x1234567)));
    const [, , errorCode, rip] = frame(guest, 4);
    assert.equal(errorCode, h(0), 'a kernel access has no U bit, although the processor is at CPL 3');
    assert.equal(rip, h(va(frames.code) + setTraps.length));
    assert.equal(guest.read64(guest.control.sharedInfoMfn, VcpuInfo.at.cr2), h(0x1234567));
  });

  it('aligns the frame’s end to 16', () => {
    const guest = guestWith([{ vector: 6 }]);
    guest.run(program(setTraps, hex('48 83 ec 04'), ud2));
    assert.equal(guest.read32(frames.data, 0), stackTop - 16 - 56);
    assert.equal(frame(guest, 7)[5], h(stackTop - 4));
  });

  it('may lie across two pages', () => {
    const guest = guestWith([{ vector: 6 }]);
    const rsp = va(frames.stack + 1) + 16;
    guest.run(program(setTraps, mov(R.rsp, rsp), mov(R.rcx, 0x77), ud2));
    assert.equal(guest.read32(frames.data, 0), rsp - 56);
    assert.equal(guest.read64(frames.stack, 4096 - 40), h(0x77));
    assert.equal(guest.read64(frames.stack + 1, 0), h(rsp));
    assert.equal(guest.read64(frames.stack + 1, 8), h(0xe02b));
  });

  it('without a handler crashes the domain and says so', () => {
    const guest = new PvGuest().run(program(ud2));
    assert.equal(guest.control.info().shutdownReason, 3);
    assert.match(guest.log, /Unhandled: vec 6, #UD\[0000\]/);
    assert.match(guest.log, /domain_crash_sync called from entry\.S/);
    assert.match(guest.log, /RIP: {4}e033:\[<0000000000410000>\]/);
  });

  it('on a stack that is not mapped crashes the domain', () => {
    const guest = guestWith([{ vector: 6 }]);
    guest.run(program(setTraps, mov(R.rsp, 0x10), ud2));
    assert.equal(guest.control.info().shutdownReason, 3);
  });

  it('masks events when its trap asks for that, and shows the mask as it was', () => {
    const guest = guestWith([{ vector: 6, flags: 4 }]);
    // The guest has shared_info mapped at frame 40 and unmasks by a plain store.
    const map = hypercall(14, va(40), guest.control.sharedInfoMfn * 4096 + PTE.P + PTE.RW, 2);
    guest.run(program(setTraps, map, hex('c6 04 25'), word(va(40) + VcpuInfo.at.evtchn_upcall_mask), [0], ud2));
    assert.deepEqual(frame(guest, 5).slice(3), ['000000000000e030', h(0x202)]);
    assert.equal(guest.control.frames.view(guest.control.sharedInfoMfn)[VcpuInfo.at.evtchn_upcall_mask], 1);
  });
});

function word(value: number): readonly number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

describe('int n', () => {
  it('goes to its handler when the trap’s DPL allows it, with RIP after it', () => {
    const guest = guestWith([{ vector: 0x30, flags: 1 }]);
    guest.run(program(setTraps, hex('cd 30')));
    assert.equal(frame(guest, 3)[2], h(va(frames.code) + setTraps.length + 2));
  });

  it('is a general protection fault otherwise, with the vector in the error code', () => {
    const guest = guestWith([{ vector: 13 }]);
    guest.run(program(setTraps, hex('cd 30')));
    assert.deepEqual(frame(guest, 4).slice(2), [h(0x30 * 8 + 2), h(va(frames.code) + setTraps.length)]);
  });

  it('reports int3 after the instruction', () => {
    const guest = guestWith([{ vector: 3 }]);
    guest.run(program(setTraps, hex('cc')));
    assert.equal(frame(guest, 3)[2], h(va(frames.code) + setTraps.length + 1));
  });
});

describe('user mode', () => {
  const toUser = program(setTraps, setUserBase, hypercall(3, 0xe02b, stackTop - 0x100), iret(va(frames.userCode)));

  it('is entered by the iret hypercall and left by an exception, whose frame has RPL 3 and lies on the kernel’s stack', () => {
    const guest = guestWith([{ vector: 6 }], { user: true });
    guest.write(frames.userCode, 0, program(ud2));
    guest.run(toUser);
    const rsp = stackTop - 0x100;
    assert.equal(guest.read32(frames.data, 0), rsp - 56);
    // RCX 0x11 → pushed third from the top: rcx, r11, rax = 0x11, 0x22, 0x33.
    assert.deepEqual(frame(guest, 7), [
      h(0x11),
      h(0x22),
      h(va(frames.userCode)),
      h(0xe033),
      h(0x202),
      h(userStackTop),
      h(0xe02b),
    ]);
  });

  it('page faults have the U bit, also for the kernel’s own mappings', () => {
    const guest = guestWith([{ vector: 14 }], { user: true });
    guest.write(frames.userCode, 0, program(load(R.rax, 0x1234567)));
    guest.run(toUser);
    assert.equal(frame(guest, 3)[2], h(4));
  });

  it('privileged instructions fault there', () => {
    const guest = guestWith([{ vector: 13 }], { user: true });
    guest.write(frames.userCode, 0, program(hex('0f 30')));
    guest.run(toUser);
    assert.deepEqual(frame(guest, 4).slice(2), [h(0), h(va(frames.userCode))]);
  });

  it('is single-stepped when the iret frame has TF, and DR6 tells why', () => {
    const guest = guestWith([{ vector: 1 }], { user: true });
    guest.write(frames.userCode, 0, program(hex('90 90 0f 0b')));
    guest.run(
      program(
        setTraps,
        setUserBase,
        hypercall(3, 0xe02b, stackTop - 0x100),
        iret(va(frames.userCode), { rflags: 0x302 }),
      ),
    );
    assert.deepEqual(frame(guest, 5).slice(2), [h(va(frames.userCode) + 1), h(0xe033), h(0x302)]);
    assert.equal(guest.pvState.word('dr6'), 0xffff4ff0);
  });

  it('without page tables crashes the domain', () => {
    const guest = guestWith([]);
    guest.run(program(iret(va(frames.userCode))));
    assert.equal(guest.control.info().shutdownReason, 3);
    assert.match(guest.log, /Guest switching to user mode with no user page tables/);
  });

  it('syscalls go to the registered callback, with the return address in RCX’s place', () => {
    const guest = guestWith([], { user: true });
    guest.words(frames.data, 0x340, [2 | (1 << 16), 0, handler, 0]);
    guest.write(frames.userCode, 0, program(hex('fd'), syscall));
    guest.run(
      program(
        setUserBase,
        hypercall(30, 0, callbackAt),
        hypercall(3, 0xe02b, stackTop - 0x100),
        iret(va(frames.userCode)),
      ),
    );
    const back = va(frames.userCode) + 3;
    assert.deepEqual(frame(guest, 7), [h(back), h(0x602), h(back), h(0xe033), h(0x602), h(userStackTop), h(0xe02b)]);
    assert.equal(guest.control.frames.view(guest.control.sharedInfoMfn)[VcpuInfo.at.evtchn_upcall_mask], 1);
  });

  it('syscalls without a callback are undefined', () => {
    const guest = guestWith([{ vector: 6 }], { user: true });
    guest.write(frames.userCode, 0, program(syscall));
    guest.run(toUser);
    assert.equal(frame(guest, 3)[2], h(va(frames.userCode)));
  });

  it('has its own GS base', () => {
    const guest = guestWith([{ vector: 6 }], { user: true });
    guest.write(frames.userCode, 0, program(hex('65 48 8b 04 25 08 00 00 00'), ud2));
    guest.write(
      frames.handler,
      0,
      program(
        store(data, R.rsp),
        store(data + 8, R.rax),
        hex('65 48 8b 04 25 08 00 00 00'),
        store(data + 16, R.rax),
        powerOff,
      ),
    );
    guest.words(frames.userStack, 8, [0x5555]);
    guest.words(frames.stack, 8, [0x6666]);
    guest.run(program(hypercall(25, 1, va(frames.userStack)), hypercall(25, 2, va(frames.stack)), [...toUser]));
    assert.deepEqual([guest.read32(frames.data, 8), guest.read32(frames.data, 16)], [0x5555, 0x6666]);
  });
});

describe('the iret hypercall to kernel mode', () => {
  it('sets registers, flags and the event mask, and keeps RCX and R11 when the frame says in_syscall', () => {
    for (const [flags, rcx, r11] of [
      [0, 0x11, 0x22],
      [0x100, va(frames.handler), 0x646],
    ] as const) {
      const guest = guestWith([]);
      guest.write(
        frames.handler,
        0,
        program(
          store(data, R.rcx),
          store(data + 8, R.r11),
          store(data + 16, R.rax),
          hex('9c 58'),
          store(data + 24, R.rax),
          store(data + 32, R.rsp),
          powerOff,
        ),
      );
      guest.run(program(iret(handler, { rflags: 0x3446, cs: 0xe030, rsp: stackTop - 64, flags })));
      assert.deepEqual(
        [0, 8, 16, 24, 32].map((at) => guest.read32(frames.data, at)),
        [rcx, r11, 0x33, 0x646, stackTop - 64],
      );
      assert.equal(guest.control.frames.view(guest.control.sharedInfoMfn)[VcpuInfo.at.evtchn_upcall_mask], 1);
    }
  });

  it('delivers a pending upcall before the target’s first instruction', () => {
    const guest = guestWith([]);
    guest.words(frames.data, 0x340, [0, 0, handler, 0]);
    guest.control.frames.view(guest.control.sharedInfoMfn)[VcpuInfo.at.evtchn_upcall_pending] = 1;
    guest.run(program(hypercall(30, 0, callbackAt), iret(va(frames.spare), { cs: 0xe030, rsp: stackTop })));
    assert.deepEqual(frame(guest, 7).slice(2), [h(va(frames.spare)), h(0xe030), h(0x202), h(stackTop), h(0xe02b)]);
    const info = guest.control.frames.view(guest.control.sharedInfoMfn);
    assert.deepEqual(
      [info[VcpuInfo.at.evtchn_upcall_pending], info[VcpuInfo.at.evtchn_upcall_mask]],
      [1, 1],
      'pending is the guest’s to clear',
    );
  });
});

describe('hypercalls', () => {
  it('deliver a pending upcall on the way out, when the guest unmasked it by a plain store', () => {
    const guest = guestWith([]);
    guest.words(frames.data, 0x340, [0, 0, handler, 0]);
    const info = guest.control.frames.view(guest.control.sharedInfoMfn);
    const map = hypercall(14, va(40), guest.control.sharedInfoMfn * 4096 + PTE.P + PTE.RW, 2);
    info[VcpuInfo.at.evtchn_upcall_pending] = 1;
    const before = program(
      hypercall(30, 0, callbackAt),
      map,
      hex('c6 04 25'),
      word(va(40) + VcpuInfo.at.evtchn_upcall_mask),
      [0],
      hypercall(17, 0, 0),
    );
    guest.run(program([...before], ud2));
    assert.equal(frame(guest, 3)[2], h(va(frames.code) + before.length));
  });
});
