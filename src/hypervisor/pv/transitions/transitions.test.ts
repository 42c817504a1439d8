/** The same guests with and without the generated transitions: whatever can be seen afterwards must be the same. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CALLBACKTYPE, CallbackRegister } from '../../../abi/callback.ts';
import { TrapInfo, VcpuInfo } from '../../../abi/arch-x86.ts';
import { MMUEXT } from '../../../abi/arch-x86/mmu.ts';
import { PTE } from '../../../abi/arch-x86/page-table.ts';
import { FLAT_KERNEL_CS, VMASST_TYPE } from '../../../abi/arch-x86/xen-x86_64.ts';
import { type Engine, Exit } from '../../../cpu/index.ts';
import { vcpuBlock } from '../../domain-memory.ts';
import { VcpuState } from '../../state.ts';
import { PvVcpuState } from '../pv-state.ts';
import { type Bytes, hex, hypercall, load, mov, program, push, store, syscall, ud2 } from '../testing/code.ts';
import { PvGuest, RAM, frames, powerOff, stackTop, userStackTop, va } from '../testing/pv-guest.ts';

const data = va(frames.data);
const at = { traps: 0x200, operation: 0x300, callbacks: 0x340, gdt: 0x400, registers: 0x800 } as const;
const handler = va(frames.handler);
const eventHandler = va(frames.spare);
const user = va(frames.userCode);
const R = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7, r11: 11 } as const;
const IRET = 23;

interface Case {
  readonly code: readonly Bytes[];
  readonly user?: readonly Bytes[];
  /** What traps and system calls enter, before all registers are kept and the guest ends. */
  readonly handler?: readonly Bytes[];
  readonly trapFlags?: number;
  readonly noTraps?: boolean;
  readonly syscallFlags?: number;
  readonly prepare?: (guest: PvGuest) => void;
  /** Exits that must not reach the vCPU's loop: the generated code is used at all. */
  readonly without?: readonly Exit[];
}

/** Keeps the general registers and RFLAGS in the data frame and ends the guest. */
const finish: readonly Bytes[] = [
  ...Array.from({ length: 16 }, (_, n) => store(data + at.registers + n * 8, n)),
  hex('9c 58'),
  store(data + at.registers + 128, R.rax),
  powerOff,
];
const setTraps = hypercall(0, data + at.traps);
const setUp = [
  hypercall(26, data + at.operation, 1, 0, 0x7ff0),
  hypercall(30, 0, data + at.callbacks),
  hypercall(30, 0, data + at.callbacks + CallbackRegister.size),
  hypercall(3, 0xe02b, stackTop - 0x100),
];

interface Frame {
  readonly rip?: number;
  readonly cs?: number;
  readonly ss?: number;
  readonly rsp?: number;
  readonly rflags?: number;
  readonly flags?: number;
}
const iretTo = (f: Frame): Bytes => [
  ...push(f.ss ?? 0xe02b),
  ...push(f.rsp ?? userStackTop),
  ...push(f.rflags ?? 0x202),
  ...push(f.cs ?? 0xe033),
  ...push(f.rip ?? user),
  ...push(f.flags ?? 0),
  ...push(0x11),
  ...push(0x22),
  ...push(0x33),
  ...[0xb8, IRET, 0, 0, 0],
  ...syscall,
];
const toUser = (f: Frame = {}): readonly Bytes[] => [...setUp, iretTo(f)];
/** popf with these flags */
const withFlags = (flags: number): Bytes => [...push(flags), 0x9d];

/** A GDT of five entries in frame 41: 64-bit code, 32-bit code, data. */
const withGdt: readonly Bytes[] = [hypercall(14, va(41), 41 * 4096 + PTE.P), hypercall(2, data + at.gdt, 5)];
const descriptors = [0, 0x00affb00, 0x00cffb00, 0x00cff300];

/** movb $value, address */
const storeByte = (address: number, value: number): Bytes => [
  ...hex('c6 04 25'),
  ...[0, 8, 16, 24].map((shift) => (address >>> shift) & 0xff),
  value,
];

function guestOf(c: Case, transitions: boolean, engine: Engine): PvGuest {
  const guest = new PvGuest({ user: true, transitions, engine, nsPerTurn: 0 });
  const { dataView, base } = guest.control.frames;
  const page = base + frames.data * 4096;
  if (!c.noTraps)
    for (let vector = 0; vector < 20; vector++)
      TrapInfo.write(dataView, page + at.traps + vector * TrapInfo.size, {
        vector,
        flags: c.trapFlags ?? 0,
        cs: FLAT_KERNEL_CS,
        address: handler,
      });
  guest.words(frames.data, at.operation, [MMUEXT.NEW_USER_BASEPTR, 0, frames.userL4, 0, 0, 0]);
  const register = (n: number, type: number, flags: number, address: number): void =>
    guest.words(frames.data, at.callbacks + n * CallbackRegister.size, [type | (flags << 16), 0, address, 0]);
  register(0, CALLBACKTYPE.syscall, c.syscallFlags ?? 1, handler);
  register(1, CALLBACKTYPE.event, 0, eventHandler);
  guest.write(frames.handler, 0, program(...(c.handler ?? []), ...finish));
  guest.write(frames.spare, 0, program(mov(R.rbx, 0xe7e7), ...finish));
  guest.write(frames.userCode, 0, program(...(c.user ?? [ud2])));
  guest.words(frames.data, at.gdt, [41, 0]);
  descriptors.forEach((hi, i) => guest.words(41, 8 + i * 8, [0xffff, hi]));
  c.prepare?.(guest);
  return guest.start(program(setTraps, ...c.code));
}

/** Everything that the guest, its crash dump or its next instruction could see. */
function outcome(guest: PvGuest): unknown {
  const { vcpu, domain } = guest;
  const cpu = vcpu.processor.state;
  const { layout, u8 } = domain;
  const block = (from: number, length: number): string => Buffer.from(u8.slice(from, from + length)).toString('hex');
  const framesOf = new Map<number, string>();
  for (let mfn = 0; mfn < layout.totalFrames; mfn++) {
    const bytes = block(domain.frameAt(mfn), 4096);
    if (/[^0]/.test(bytes)) framesOf.set(mfn, bytes);
  }
  const word = (name: 'kernelMode' | 'infoAt' | 'ioplRing' | 'blocked'): number =>
    domain.u32[(vcpu.at + VcpuState.at[name]) >>> 2] ?? 0;
  return {
    frames: framesOf,
    pageInfo: block(layout.pageInfoAt, layout.totalFrames * 8),
    pv: block(vcpu.at + vcpuBlock.pv, PvVcpuState.size),
    vcpu: [word('kernelMode'), word('infoAt'), word('ioplRing'), word('blocked')],
    registers: Array.from({ length: 16 }, (_, n) => [cpu.lo(n), cpu.hi(n)]),
    selectors: Array.from({ length: 6 }, (_, n) => cpu.selector(n)),
    bases: [cpu.fsBase, cpu.gsBase],
    control: [cpu.rip, cpu.rflags, cpu.long64, cpu.taskSwitched],
    shutdown: guest.control.info().shutdownReason,
    log: guest.log,
  };
}

function run(c: Case, transitions: boolean, engine: Engine = 'interpreter'): { guest: PvGuest; exits: Set<number> } {
  const guest = guestOf(c, transitions, engine);
  const { processor } = guest.vcpu;
  const exits = new Set<number>();
  const original = processor.run.bind(processor);
  processor.run = (budget) => {
    const before = guest.vcpu.kernelMode;
    const exit = original(budget);
    // Hypercalls that set the guest up are none of the case's.
    if (exit !== Exit.Syscall || !before || processor.state.lo(R.rax) === IRET) exits.add(exit);
    return exit;
  };
  guest.host.run(() => guest.control.info().shutdown);
  return { guest, exits };
}

function same(cases: Readonly<Record<string, Case>>): void {
  for (const [name, c] of Object.entries(cases))
    it(name, () => {
      const expected = outcome(run(c, false).guest);
      for (const engine of ['interpreter', 'eager'] as const) {
        const { guest, exits } = run(c, true, engine);
        for (const exit of c.without ?? []) assert.ok(!exits.has(exit), `${engine}: exit ${exit} came to the loop`);
        assert.deepEqual(outcome(guest), expected, engine);
      }
    });
}

const info = (guest: PvGuest): Uint8Array => guest.control.frames.view(guest.control.sharedInfoMfn);
const pending = (guest: PvGuest): void => {
  info(guest)[VcpuInfo.at.evtchn_upcall_pending] = 1;
};
const assist = (type: number): Bytes => hypercall(21, 0, type);
const SYSCALL = [Exit.Syscall] as const;
const EXCEPTION = [Exit.Exception] as const;

describe('SYSCALL of user mode, generated or not', () => {
  same({
    'enters the callback': { code: toUser(), user: [mov(R.rax, 39), syscall], without: SYSCALL },
    'with flags that every entry clears': {
      code: toUser(),
      user: [withFlags(0x4_4cd7), syscall],
      without: SYSCALL,
    },
    'without masking events': { code: toUser(), user: [syscall], syscallFlags: 0, without: SYSCALL },
    'with an event that comes with it': {
      code: toUser({ rflags: 2 }),
      user: [syscall],
      syscallFlags: 0,
      prepare: pending,
      without: SYSCALL,
    },
    'with IOPL shown': {
      code: [assist(VMASST_TYPE.architectural_iopl), ...toUser({ rflags: 0x3202 })],
      user: [syscall],
    },
    'without a callback': { code: [setUp[0] ?? [], setUp[3] ?? [], iretTo({})], user: [syscall] },
    'on a stack over two pages': {
      code: [...setUp, hypercall(3, 0xe02b, stackTop - 0x1000 + 0x20), iretTo({})],
      user: [syscall],
    },
    'on a stack over two pages, both mapped': {
      code: [...setUp, hypercall(3, 0xe02b, stackTop + 0x10), iretTo({})],
      user: [syscall],
    },
    'on a stack that is not there': { code: [...setUp, hypercall(3, 0xe02b, 0x1000), iretTo({})], user: [syscall] },
    'on a stack among Xen’s addresses': {
      code: [...setUp, hypercall(3, 0xe02b, -0x7fff_0000_0000), iretTo({})],
      user: [syscall],
    },
    'on a stack that no address is': {
      code: [...setUp, hypercall(3, 0xe02b, 0x7fff_ffff_ffff_f000), iretTo({})],
      user: [syscall],
    },
    'with GS bases of both modes': {
      code: [hypercall(25, 1, user), hypercall(25, 2, data), hypercall(25, 0, handler), ...toUser()],
      user: [syscall],
    },
    'and back, several times': {
      code: toUser(),
      user: [mov(R.rbx, 5), syscall, hex('48 ff cb 75 f9'), ud2],
      handler: [
        // A page fault or #UD ends it: RBX is 0 then.
        hex('48 85 db 74'),
        [22],
        hex('59 41 5b'),
        push(0x100),
        hex('51 41 53 50'),
        [0xb8, IRET, 0, 0, 0],
        syscall,
        hex('90 90 90 90'),
      ],
      without: SYSCALL,
    },
  });
});

describe('the iret hypercall, generated or not', () => {
  const kernel = (f: Frame): Case => ({ code: [...setUp, iretTo({ rip: handler, rsp: stackTop - 512, ...f })] });
  const fast = (c: Case): Case => ({ ...c, without: SYSCALL });
  same({
    'to the kernel': fast(kernel({ cs: 0xe030 })),
    'to the kernel with events off and status flags': fast(kernel({ cs: 0xe030, rflags: 0x4_48d7 })),
    'to user mode from a system call': fast({ code: toUser({ flags: 0x100, rflags: 0x3_3246 }) }),
    'from the very end of a page': fast({ code: [...setUp, mov(R.rsp, stackTop), iretTo({})] }),
    'with IOPL': fast({ code: [assist(VMASST_TYPE.architectural_iopl), ...toUser({ rflags: 0x3202 })] }),
    'with single-stepping': { code: toUser({ rflags: 0x302 }), user: [hex('90 90'), ud2] },
    'with another code segment': { code: toUser({ cs: 0x33 }) },
    'with a code segment of the guest’s': fast({ code: [...withGdt, ...toUser({ cs: 0x13 })] }),
    'with a code segment of the guest’s, and RPL 0': fast({
      code: [...withGdt, ...toUser({ cs: 0x10, rip: handler })],
    }),
    'with a 32-bit code segment of the guest’s': { code: [...withGdt, ...toUser({ cs: 0x1b })] },
    'with a data segment': { code: [...withGdt, ...toUser({ cs: 0x23 })] },
    'with a segment beyond the GDT': { code: [...withGdt, ...toUser({ cs: 0x2b })] },
    'with a segment of the LDT': { code: [...withGdt, ...toUser({ cs: 0x17 })] },
    'to compatibility mode': { code: toUser({ cs: 0xe023 }), user: [hex('cd 30')] },
    'to compatibility mode and SYSCALL': { code: toUser({ cs: 0xe023 }), user: [syscall] },
    'with another stack segment': fast({ code: toUser({ ss: 0x2 }) }),
    'from a frame that is not aligned': { code: [...setUp, hex('48 83 ec 04'), iretTo({})] },
    'from a frame in two pages': { code: [...setUp, mov(R.rsp, stackTop + 32), iretTo({})] },
    'from a frame that is not there': {
      code: [...setUp, mov(R.rsp, 0x1000), [0xb8, IRET, 0, 0, 0], syscall],
    },
    'from a frame among Xen’s addresses': {
      code: [...setUp, mov(R.rsp, -0x8000_0000_0000), [0xb8, IRET, 0, 0, 0], syscall],
    },
    'to user mode without page tables': { code: [iretTo({})] },
    'to an address that is none': {
      code: [
        ...setUp,
        iretTo({}).slice(0, -7),
        mov(R.rbx, 0x8000_0000_1234),
        hex('48 89 5c 24 20'),
        [0xb8, IRET, 0, 0, 0],
        syscall,
      ],
    },
    'with an event that it lets through': fast({ ...kernel({ cs: 0xe030 }), prepare: pending }),
    'with an event that interrupts user mode': fast({ code: toUser(), prepare: pending }),
    'with an event that it keeps away': fast({ ...kernel({ cs: 0xe030, rflags: 2 }), prepare: pending }),
    'with an event and nobody to take it': { code: [iretTo({ rip: handler, cs: 0xe030 })], prepare: pending },
    'with an event and a bad stack': { ...kernel({ cs: 0xe030, rsp: 0x1000 }), prepare: pending },
  });
});

describe('exceptions, generated or not', () => {
  const readOnly = hypercall(14, va(40), 40 * 4096 + PTE.P);
  const writeTo = store(va(40), R.rax);
  same({
    'a page fault of the kernel': { code: [mov(R.rcx, 7), load(R.rax, 0x1234567)], without: EXCEPTION },
    'a page fault of user mode': { code: toUser(), user: [load(R.rax, 0x1234567)], without: EXCEPTION },
    'a page fault that masks events': { code: toUser(), user: [load(R.rax, 0)], trapFlags: 4, without: EXCEPTION },
    'a page fault with events on and one pending': {
      code: toUser({ rflags: 2 }),
      user: [load(R.rax, 0)],
      prepare: pending,
    },
    'a page fault at a fetch': { code: toUser({ rip: 0x1234567 }), without: EXCEPTION },
    'a fetch from what is the kernel’s': { code: toUser({ rip: data }), without: EXCEPTION },
    'a jump to what is not there': { code: toUser(), user: [mov(R.rax, 0x7000), hex('ff e0')] },
    'a store to a read-only page': { code: [readOnly, writeTo], without: EXCEPTION },
    'a store to a read-only page, with writable page tables': {
      code: [assist(VMASST_TYPE.writable_pagetables), readOnly, writeTo],
    },
    'a store into a page table': {
      code: [
        assist(VMASST_TYPE.writable_pagetables),
        mov(R.rax, 41 * 4096 + PTE.P),
        store(va(frames.l1) + 41 * 8, R.rax),
        store(va(41), R.rax),
      ],
    },
    'a page fault without a handler': { code: [load(R.rax, 0)], noTraps: true },
    'a page fault without a stack': { code: [mov(R.rsp, 0x10), load(R.rax, 0x5000)] },
    'a page fault on a stack over two pages': { code: [mov(R.rsp, stackTop + 16), load(R.rax, 0)] },
    'a general protection fault': { code: toUser(), user: [mov(R.rax, 0x8000_0000_0000), hex('48 8b 00')] },
    'an instruction that is none': { code: toUser(), user: [ud2] },
    'a division by zero': { code: [hex('31 c9 f7 f1')] },
    'the FPU not being there': { code: [hypercall(5, 1), hex('0f 57 c0')], without: EXCEPTION },
    'the FPU not being there in user mode': {
      code: [hypercall(5, 1), ...toUser()],
      user: [hex('d9 e8')],
      without: EXCEPTION,
    },
    'a breakpoint': { code: [hex('cc')] },
    'a page fault with flags that every entry clears': {
      code: toUser({ rflags: 0x4_4ed7 }),
      user: [load(R.rax, 0)],
      without: EXCEPTION,
    },
  });
});

describe('small hypercalls, generated or not', () => {
  const calls: readonly (readonly number[])[] = [
    [3, 0xe02b, 0x1234_5678_9abc],
    [3, 0, -8],
    [5, 0],
    [5, 0x1_0000_0000],
    [17, 0, 0],
    [17, 0x1_0000_0000, 0],
    [17, 8, 0],
    [25, 0, va(20)],
    [25, 1, -0x7700_0000_0000],
    [25, 2, va(21)],
    [25, 3, 0x2b],
    [25, 4, 0],
    [25, 1, 0x8000_0000_0000],
    [24, 0, 0, 0],
    [63],
    [64],
    [0x7fff_ffff],
  ];
  same(
    Object.fromEntries(
      calls.map(([nr = 0, ...args]) => [
        `${nr}(${args.map((n) => n.toString(16)).join(', ')})`,
        { code: [withFlags(0x8d7), hypercall(nr, ...args), ...finish] },
      ]),
    ),
  );
  same({
    'with an upper half in RAX': { code: [mov(R.rax, 0x1_0000_0011), mov(R.rdi, 0), syscall, ...finish] },
    'with an event on the way out': {
      // The guest has shared_info mapped at frame 40 and unmasks by a plain store, as kernels do.
      code: [
        ...setUp,
        hypercall(14, va(40), RAM * 4096 + PTE.P + PTE.RW, 2),
        storeByte(va(40) + VcpuInfo.at.evtchn_upcall_mask, 0),
        storeByte(va(40) + VcpuInfo.at.evtchn_upcall_pending, 1),
        hypercall(17, 0, 0),
        ...finish,
      ],
    },
  });
});
