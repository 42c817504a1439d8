/** Short loops of guest code, each with and without one passage between guest and hypervisor in it. */
import { CALLBACKTYPE, CallbackRegister } from '../../src/abi/callback.ts';
import { TrapInfo } from '../../src/abi/arch-x86.ts';
import { FLAT_KERNEL_CS, FLAT_KERNEL_SS } from '../../src/abi/arch-x86/xen-x86_64.ts';
import { MMUEXT } from '../../src/abi/arch-x86/mmu.ts';
import { hex, hypercall, mov, program, push, syscall, type Bytes } from '../../src/hypervisor/pv/testing/code.ts';
import { frames, powerOff, PvGuest, stackTop, userStackTop, va } from '../../src/hypervisor/pv/testing/pv-guest.ts';

export const ITERATIONS = 100_000;

export interface Loop {
  /** Where it begins, in kernel mode. */
  readonly code: readonly Bytes[];
  /** What system calls and page faults enter. */
  readonly handler?: readonly Bytes[];
  /** Entered by `toUser`. */
  readonly user?: readonly Bytes[];
}

const data = va(frames.data);
/** Offsets in the data frame. */
const at = { traps: 0x200, operation: 0x300, callback: 0x340 } as const;
const vector = { UD: 6, PF: 14 } as const;
const VGCF_in_syscall = 0x100;
const RBX = 3;

const word = (value: number): Bytes => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** mov $ITERATIONS,%rbx; body; dec %rbx; jnz body */
function repeat(...parts: readonly Bytes[]): Bytes {
  const body = parts.flat();
  const again = hex('48 ff cb 0f 85');
  return [...mov(RBX, ITERATIONS), ...body, ...again, ...word(-(body.length + again.length + 4))];
}

/** xor %edi,%edi; xor %esi,%esi; mov $17,%eax: xen_version(XENVER_version, 0) */
const version = hex('31 ff 31 f6 b8 11 00 00 00');
export const hypercallLoop = {
  with: { code: [repeat(version, syscall), powerOff] },
  without: { code: [repeat(version), powerOff] },
};

/** push %rcx; push %r11; push %rax; mov $23,%eax; syscall: the rest of the frame is on the stack */
const iretHypercall = (flags: number): Bytes => [...push(flags), ...hex('51 41 53 50 b8 17 00 00 00'), ...syscall];
/** pop %rcx; pop %r11 */
const popClobbered = hex('59 41 5b');
const setTraps = hypercall(0, data + at.traps);

const toUser = [
  setTraps,
  hypercall(26, data + at.operation, 1, 0, 0x7ff0),
  hypercall(30, 0, data + at.callback),
  hypercall(3, FLAT_KERNEL_SS, stackTop),
  ...[FLAT_KERNEL_SS, userStackTop, 0x202, FLAT_KERNEL_CS, va(frames.userCode)].map((value) => push(value)),
  iretHypercall(0),
];
const ud2 = hex('0f 0b');
/** mov $39,%eax: getpid */
const number = hex('b8 27 00 00 00');
const handler = [popClobbered, iretHypercall(VGCF_in_syscall)];
export const syscallLoop = {
  with: { code: toUser, handler, user: [repeat(number, syscall), ud2] },
  without: { code: toUser, handler, user: [repeat(number), ud2] },
};

/** mov address,%eax */
const touch = (address: number): Bytes => [0x8b, 0x04, 0x25, ...word(address)];
/** Drops the error code and steps over the instruction: add $8,%rsp; addq $7,(%rsp) */
const stepOver = [popClobbered, hex('48 83 c4 08'), hex('48 83 04 24 07'), iretHypercall(0)];
export const pageFaultLoop = {
  with: { code: [setTraps, repeat(touch(0)), powerOff], handler: stepOver },
  without: { code: [setTraps, repeat(touch(data)), powerOff], handler: stepOver },
};

/** A guest that is about to run the loop and powers off at its end. */
export function guestOf({ code, handler, user }: Loop): PvGuest {
  const guest = new PvGuest({ user: user !== undefined });
  const { dataView, base } = guest.control.frames;
  const page = base + frames.data * 4096;
  const entry = va(frames.handler);
  const traps = [
    { vector: vector.PF, flags: 0, cs: FLAT_KERNEL_CS, address: entry },
    // How user code ends.
    { vector: vector.UD, flags: 0, cs: FLAT_KERNEL_CS, address: va(frames.spare) },
  ];
  traps.forEach((trap, index) => TrapInfo.write(dataView, page + at.traps + index * TrapInfo.size, trap));
  guest.words(frames.data, at.operation, [MMUEXT.NEW_USER_BASEPTR, 0, frames.userL4, 0, 0, 0]);
  guest.words(frames.data, at.callback, [CALLBACKTYPE.syscall, 0]);
  guest.words(frames.data, at.callback + CallbackRegister.at.address, [entry, 0]);
  guest.write(frames.spare, 0, program(powerOff));
  guest.write(frames.handler, 0, program(...(handler ?? [])));
  guest.write(frames.userCode, 0, program(...(user ?? [])));
  return guest.start(program(...code));
}
