/**
 * What a hostile guest does: hypercalls with arguments of all kinds at addresses of all kinds, page tables that point
 * anywhere, code that is no code. An action is a function of a seed, so that a sequence of them is a list of seeds.
 */
import { VcpuGuestContext, CpuUserRegs } from '../../abi/arch-x86.ts';
import { MMUEXT } from '../../abi/arch-x86/mmu.ts';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { GnttabCopy } from '../../abi/grant-table.ts';
import { XenMemoryReservation } from '../../abi/memory.ts';
import { hiOf, loOf } from '../../abi/numbers.ts';
import type { Random } from '../../cpu/oracle/random.ts';
import { randomCode } from '../../cpu/testing/random-bytes.ts';
import { HypercallError } from '../control.ts';
import { Gpr } from '../processor.ts';
import { PGT, PageTypes } from '../pv/page-type.ts';
import { RAM, frames, stackTop, userStackTop, va } from '../pv/testing/pv-guest.ts';
import { type HostileGuest, type Value, randomOf } from './hostile-guest.ts';

const DOMID_SELF = 0x7ff0;
/** Frames that the guest plays with, few so that it often hits the same ones. */
const PLAY = { first: 24, count: 12 } as const;
/** Pages for arguments: four in a row. */
const ARGUMENT_PAGES = 4;

type Action = (g: HostileGuest, r: Random) => void;

// --- values -----------------------------------------------------------------------------------------------------------

const frame = (r: Random): number => (r.chance(0.1) ? r.below(RAM + 120) : PLAY.first + r.below(PLAY.count));

function word(r: Random): number {
  const kind = r.below(10);
  if (kind < 5) return r.below(10);
  if (kind < 6) return frame(r);
  if (kind < 7) return r.pick([DOMID_SELF, 0x7ff1, 0x7ff2, 0x7fff, DOMID_SELF | (DOMID_SELF << 16), DOMID_SELF << 16]);
  if (kind < 9)
    return r.pick([2 ** r.below(32), 2 ** r.below(32) - 1, 0xffff_ffff, 0x7fff_ffff, 0x8000_0000, 4096, 4095]);
  return r.u32();
}

/** An address: mostly good, on an odd byte, at a page's end, read-only, not mapped, Xen's, not canonical, nothing at all. */
function address(r: Random): number {
  const kind = r.below(16);
  if (kind < 9)
    return va(frames.data + r.below(ARGUMENT_PAGES)) + r.pick([0, 8, 0x40, 0x800, 0xff0, 0xff8, 0xffc, r.below(4096)]);
  const edges = [
    0,
    va(frames.l1),
    va(RAM) - 4,
    va(RAM),
    va(RAM + 100),
    2 ** 47 - 8,
    2 ** 47,
    -(2 ** 47),
    -(2 ** 47) + 2 ** 43,
    -0x7800_0000_0000,
    -8,
    -1,
    2 ** 62,
    -(2 ** 62),
  ];
  return r.pick(edges) + (r.chance(0.5) ? 0 : r.between(-40, 40));
}

function value(r: Random): Value {
  const kind = r.below(6);
  if (kind < 3) return word(r);
  return kind < 5 ? address(r) : [r.u32(), r.u32()];
}

const flags = (r: Random): number =>
  (r.chance(0.9) ? PTE.P : 0) |
  (r.chance(0.5) ? PTE.RW : 0) |
  (r.chance(0.5) ? PTE.US : 0) |
  (r.chance(0.1) ? r.u32() & 0xfff : 0);

const entry = (r: Random): readonly [number, number] =>
  r.chance(0.2) ? [0, 0] : [((frame(r) << 12) | flags(r)) >>> 0, r.chance(0.1) ? r.u32() : 0];

/** Puts words where an argument can be, and gives its address; now and then another one. */
function argument(g: HostileGuest, r: Random, words: readonly number[]): number {
  const bytes = words.length * 4;
  const room = ARGUMENT_PAGES * 4096 - bytes;
  const offset = r.chance(0.7)
    ? 0
    : Math.max(0, Math.min(room, r.pick([4096 - 8, 4096 - (bytes >> 1), r.below(room)]))) & ~3;
  g.guest.words(frames.data, offset, words);
  return r.chance(0.93) ? va(frames.data) + offset : address(r);
}

const words = (r: Random, count: number): number[] => Array.from({ length: count }, () => word(r));
const wide = (v: Value): number[] => (typeof v === 'number' ? [loOf(v), hiOf(v)] : [...v]);
const count = (r: Random, usual: number): number => (r.chance(0.9) ? r.below(usual + 1) : word(r));

// --- hypercalls -------------------------------------------------------------------------------------------------------

const anything: Action = (g, r) => {
  const at = argument(g, r, Array.from({ length: 8 }, () => wide(value(r))).flat());
  const nr = r.chance(0.95) ? r.below(56) : value(r);
  const args = Array.from({ length: 6 }, () => value(r));
  args[r.below(3)] = at;
  g.call(nr, args);
};

const mmuUpdate: Action = (g, r) => {
  const n = 1 + r.below(4);
  const requests = Array.from({ length: n }, () => {
    const ptr = frame(r) * 4096 + r.below(r.chance(0.8) ? 4 : 512) * 8;
    return [(ptr | (r.chance(0.8) ? 0 : r.below(8))) >>> 0, r.chance(0.02) ? r.u32() : 0, ...entry(r)];
  });
  const at = argument(g, r, requests.flat());
  g.call(1, [at, count(r, n), r.chance(0.5) ? 0 : address(r), r.chance(0.95) ? DOMID_SELF : word(r)]);
};

const mmuext: Action = (g, r) => {
  const commands = [
    MMUEXT.PIN_L1_TABLE,
    MMUEXT.PIN_L2_TABLE,
    MMUEXT.PIN_L3_TABLE,
    MMUEXT.PIN_L4_TABLE,
    MMUEXT.UNPIN_TABLE,
    MMUEXT.UNPIN_TABLE,
  ];
  const n = 1 + r.below(3);
  const ops = Array.from({ length: n }, () => {
    const cmd = r.chance(0.6) ? r.pick(commands) : r.below(24);
    // Losing its own tables would be the end of the guest: not too often.
    const arg1 =
      cmd === MMUEXT.NEW_BASEPTR || cmd === MMUEXT.NEW_USER_BASEPTR
        ? r.pick([frames.l4, frames.userL4, frame(r)])
        : r.chance(0.8)
          ? frame(r)
          : value(r);
    return [cmd, 0, ...wide(arg1), ...wide(r.chance(0.5) ? frame(r) : value(r))];
  });
  g.call(26, [
    argument(g, r, ops.flat()),
    count(r, n),
    r.chance(0.5) ? 0 : address(r),
    r.chance(0.95) ? DOMID_SELF : word(r),
  ]);
};

const updateVaMapping: Action = (g, r) => {
  const at = r.chance(0.9) ? va(frame(r)) : address(r);
  g.call(14, [at, entry(r), r.chance(0.8) ? r.below(8) : value(r)]);
};

/** Mappings of frames that Xen owns, the grant table among them. */
const mapXenFrame: Action = (g, r) => {
  const { sharedInfoMfn, totalFrames } = g.domain.layout;
  const mfn = r.between(sharedInfoMfn, totalFrames);
  g.call(14, [va(PLAY.first + r.below(PLAY.count)), [(mfn << 12) | flags(r), 0], 0]);
};

const memoryOp: Action = (g, r) => {
  const n = 1 + r.below(4);
  const list = Array.from({ length: n }, () => wide(r.chance(0.9) ? frame(r) : value(r))).flat();
  const reservation = new DataView(new ArrayBuffer(XenMemoryReservation.size));
  XenMemoryReservation.write(reservation, 0, {
    extent_start: r.chance(0.9) ? va(frames.data + 1) : address(r),
    nr_extents: count(r, n),
    extent_order: r.chance(0.8) ? r.below(3) : word(r),
    domid: r.chance(0.9) ? DOMID_SELF : word(r) & 0xffff,
  });
  const at = argument(
    g,
    r,
    Array.from({ length: 8 }, (_, i) => reservation.getUint32(i * 4, true)),
  );
  g.guest.words(frames.data + 1, 0, list);
  const cmd = r.chance(0.7) ? r.pick([0, 1, 6]) : r.below(32);
  g.call(12, [r.chance(0.9) ? cmd : cmd | (word(r) << 6), at]);
};

const eventOp: Action = (g, r) => {
  g.call(32, [r.below(15), argument(g, r, words(r, 8))]);
};

/** The operations of the FIFO ABI need frame numbers. */
const fifoOp: Action = (g, r) => {
  const arg = r.chance(0.5) ? [frame(r), 0, r.chance(0.8) ? 0 : word(r), r.below(3)] : [frame(r), 0];
  g.call(32, [arg.length === 2 ? 12 : 11, argument(g, r, arg)]);
};

const grantOp: Action = (g, r) => {
  const cmd = r.below(14);
  g.call(20, [
    cmd,
    argument(g, r, r.chance(0.7) ? [DOMID_SELF, ...words(r, 9)] : words(r, 10)),
    r.chance(0.8) ? 1 : count(r, 5),
  ]);
};

const grantCopy: Action = (g, r) => {
  const copy = new DataView(new ArrayBuffer(GnttabCopy.size));
  GnttabCopy.write(copy, 0, {
    source_u: r.chance(0.9) ? frame(r) : r.below(20),
    source_domid: DOMID_SELF,
    source_offset: r.chance(0.5) ? 0 : word(r) & 0xffff,
    dest_u: r.chance(0.9) ? frame(r) : r.below(20),
    dest_domid: r.chance(0.9) ? DOMID_SELF : 0,
    dest_offset: r.chance(0.5) ? 0 : word(r) & 0xffff,
    len: r.chance(0.5) ? 64 : word(r) & 0xffff,
    flags: r.below(4),
  });
  g.call(20, [
    5,
    argument(
      g,
      r,
      Array.from({ length: 10 }, (_, i) => copy.getUint32(i * 4, true)),
    ),
    1,
  ]);
};

const vcpuOp: Action = (g, r) => {
  const arg = r.chance(0.5) ? wide(r.chance(0.5) ? frame(r) : address(r)).concat(words(r, 2)) : words(r, 4);
  g.call(24, [r.below(15), r.chance(0.9) ? r.below(2) : word(r), argument(g, r, arg)]);
};

/** A second vCPU, with a context that is nearly right. */
const initialiseVcpu: Action = (g, r) => {
  const context = new DataView(new ArrayBuffer(VcpuGuestContext.size));
  VcpuGuestContext.write(context, 0, {
    flags: r.below(64),
    ctrlreg: Array.from({ length: 8 }, (_, i) => ({
      lo: i === 3 ? frames.l4 << 12 : i === 1 && r.chance(0.3) ? frames.userL4 << 12 : 0,
      hi: 0,
    })),
    gdt_ents: r.chance(0.7) ? 0 : r.below(1200),
    gdt_frames: Array.from({ length: 16 }, () => frame(r)),
    kernel_sp: stackTop,
  });
  CpuUserRegs.write(context, VcpuGuestContext.at.user_regs, {
    rip: va(frames.code),
    rsp: stackTop,
    cs: 0xe033,
    ss: 0xe02b,
  });
  for (let changes = r.below(6); changes > 0; changes--)
    context.setUint32(r.below(context.byteLength / 4) * 4, word(r), true);
  g.guest.words(
    frames.data,
    0,
    Array.from({ length: context.byteLength / 4 }, (_, i) => context.getUint32(i * 4, true)),
  );
  g.call(24, [0, 1, va(frames.data)]);
  g.call(24, [r.chance(0.8) ? 1 : r.below(4), 1, 0]);
};

const schedOp: Action = (g, r) => {
  const poll = [...wide(address(r)), count(r, 4), 0, ...wide(value(r))];
  g.call(29, [r.below(9), argument(g, r, r.chance(0.5) ? poll : words(r, 4))]);
};

const timers: Action = (g, r) => {
  if (r.chance(0.5)) g.call(15, [r.chance(0.5) ? g.host.clock.now() + r.below(1e6) : value(r)]);
  else
    g.call(24, [
      r.pick([6, 8]),
      r.below(2),
      argument(g, r, [...wide(r.chance(0.5) ? r.below(1e8) : value(r)), ...words(r, 2)]),
    ]);
};

const segments: Action = (g, r) => {
  switch (r.below(5)) {
    case 0:
      g.guest.words(frames.data, 0, Array.from({ length: 4 }, () => [frame(r), 0]).flat());
      return g.call(2, [r.chance(0.9) ? va(frames.data) : address(r), r.chance(0.7) ? r.below(1800) : word(r)]);
    case 1:
      return g.call(10, [r.chance(0.9) ? frame(r) * 4096 + r.below(512) * 8 : value(r), [r.u32(), r.u32()]]);
    case 2:
      return g.call(3, [word(r), r.chance(0.5) ? stackTop : value(r)]);
    case 3:
      return g.call(25, [r.below(5), value(r)]);
    default:
      return g.call(r.pick([8, 9]), [r.below(9), value(r)]);
  }
};

const callbacks: Action = (g, r) => {
  const target = (): Value => (r.chance(0.6) ? va(frames.code) + r.below(4096) : value(r));
  switch (r.below(4)) {
    case 0: {
      const traps = Array.from({ length: 1 + r.below(6) }, () => [
        r.below(40) | (r.below(8) << 8),
        0,
        ...wide(target()),
      ]);
      return g.call(0, [r.chance(0.9) ? argument(g, r, [...traps.flat(), 0, 0, 0, 0]) : 0]);
    }
    case 1:
      return g.call(30, [r.below(3), argument(g, r, [r.below(9) | (r.below(2) << 16), 0, ...wide(target())])]);
    case 2:
      return g.call(4, [target(), target(), target()]);
    default:
      return g.call(r.pick([28, 21, 5, 33, 17, 18]), [
        r.below(8),
        r.chance(0.5) ? r.below(34) : argument(g, r, wide(target())),
        address(r),
      ]);
  }
};

const multicall: Action = (g, r) => {
  const n = 1 + r.below(5);
  const entries = Array.from({ length: n }, () => [
    r.chance(0.9) ? r.below(48) : word(r),
    0,
    0,
    0,
    ...Array.from({ length: 6 }, () => wide(value(r))).flat(),
  ]);
  g.call(13, [argument(g, r, entries.flat()), count(r, n)]);
};

const iret: Action = (g, r) => {
  const good = (v: Value, other: () => Value): Value => (r.chance(0.7) ? v : other());
  const image: Value[] = [
    0,
    0,
    0,
    word(r),
    good(va(frames.userCode), () => address(r)),
    r.pick([0xe033, 0xe030, 0xe023, 0x10, 0xffff]),
    [r.u32(), 0],
  ];
  image.push(
    good(userStackTop, () => address(r)),
    r.pick([0xe02b, 0, 0xffff]),
  );
  g.guest.words(frames.stack, 4096 - 0x48, image.flatMap(wide));
  g.vcpu.processor.state.set(Gpr.rsp, stackTop - 0x48);
  g.call(23, []);
  g.run(1);
};

// --- instructions -----------------------------------------------------------------------------------------------------

/** What leaves the processor: each is something for the hypervisor to do. */
const EXITS = [
  [0x0f, 0x05],
  [0x0f, 0x34],
  [0x0f, 0xa2],
  [0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2],
  [0xcd, 0x80],
  [0xcd, 0x0d],
  [0xcc],
  [0xf4],
  [0xfa],
  [0xfb],
  [0x0f, 0x32],
  [0x0f, 0x30],
  [0xec],
  [0xef],
  [0x0f, 0x20, 0xd8],
  [0x0f, 0x22, 0xd8],
  [0x0f, 0x22, 0xc0],
  [0x0f, 0x22, 0xe0],
  [0x0f, 0x21, 0xf8],
  [0x0f, 0x23, 0xf8],
  [0x0f, 0x06],
  [0x0f, 0x09],
  [0x0f, 0x01, 0xd1],
  [0x48, 0xcf],
  [0x48, 0xcb],
  [0x8e, 0xd8],
  [0x8e, 0xe8],
  [0x9d],
  [0xff, 0xe0],
  [0x48, 0x89, 0x07],
  [0xf3, 0xaa],
] as const;

function program(r: Random): Uint8Array {
  const code = randomCode(r, 256, true);
  for (let at = 0; at < 240; at += r.below(40)) if (r.chance(0.6)) code.set(r.pick(EXITS), at);
  return code;
}

function registers(g: HostileGuest, r: Random): void {
  const { state } = g.vcpu.processor;
  for (let gpr = 0; gpr < 16; gpr++) {
    const v = r.chance(0.5) ? address(r) : value(r);
    if (typeof v === 'number') state.set(gpr, v);
    else state.setLoHi(gpr, v[0], v[1]);
  }
}

const kernelCode: Action = (g, r) => {
  g.call(17, [0]); // in kernel mode from here
  g.guest.write(frames.code, 0, program(r));
  registers(g, r);
  const { state } = g.vcpu.processor;
  if (r.chance(0.7)) state.set(Gpr.rsp, stackTop - 512);
  state.rip = va(frames.code);
  state.rflags = r.u32() & 0xed5;
  g.run(1 + r.below(3));
};

const userCode: Action = (g, r) => {
  g.guest.write(frames.userCode, 0, program(r));
  g.toUser(va(frames.userCode), r.chance(0.7) ? userStackTop - 256 : address(r), 0x202 | (r.u32() & 0xed5));
  registers(g, r);
  g.run(1 + r.below(3));
};

/** A store of the kernel into one of its page tables. */
const storeToTable: Action = (g, r) => {
  g.call(21, [0, 2]);
  g.guest.write(frames.code, 0, Uint8Array.of(0x48, 0x89, 0x07, ...r.pick(EXITS))); // mov %rax, (%rdi)
  const { state } = g.vcpu.processor;
  const [entryLo, entryHi] = entry(r);
  state.setLoHi(Gpr.rax, entryLo, entryHi);
  state.set(
    Gpr.rdi,
    va(r.pick([frames.l1, frame(r)])) + (PLAY.first + r.below(PLAY.count)) * 8 + (r.chance(0.9) ? 0 : r.below(8)),
  );
  state.rip = va(frames.code);
  g.run(1);
};

// --- memory, others, time ---------------------------------------------------------------------------------------------

/** Stores of the guest's own, to frames that it may write: entries, words, events. */
const poke: Action = (g, r) => {
  const types = new PageTypes(g.domain);
  const mfn = r.chance(0.8) ? PLAY.first + r.below(PLAY.count) : r.below(RAM);
  const type = types.typeInUse(mfn);
  if (type !== PGT.none && type !== PGT.writable_page) return;
  for (let n = r.below(8); n > 0; n--)
    g.guest.words(mfn, r.below(r.chance(0.8) ? 8 : 512) * 8, r.chance(0.7) ? entry(r) : [word(r), word(r)]);
};

/** The same in the frames that it shares with Xen. */
const pokeShared: Action = (g, r) => {
  const { sharedInfoMfn, grantMfn, statusMfn } = g.domain.layout;
  const mfn = r.pick([sharedInfoMfn, grantMfn, grantMfn + 1, statusMfn]);
  const permit = [1 | (r.below(4) << 2) | (r.pick([0, 0, 1]) << 16), frame(r)];
  for (let n = r.below(6); n > 0; n--)
    g.guest.words(mfn, r.below(r.chance(0.8) ? 24 : 512) * 8, r.chance(0.6) ? permit : [r.u32(), r.u32()]);
};

const dom0: Action = (g, r) => {
  try {
    switch (r.below(9)) {
      case 0:
        g.ports.push(g.host.hypervisor.bindInterdomain(g.control.domid, r.below(10), () => undefined));
        break;
      case 1:
        if (g.ports.length > 0) r.pick(g.ports).notify();
        break;
      case 2:
        g.ports.splice(r.below(4), 1)[0]?.close();
        break;
      case 3: {
        const readonly = r.chance(0.5);
        const mapping = g.control.grantMap(r.chance(0.8) ? r.below(24) : word(r), { readonly });
        if (typeof mapping !== 'number') g.grants.push({ mapping, readonly });
        break;
      }
      case 4:
        g.grants.splice(r.below(4), 1)[0]?.mapping.unmap();
        break;
      case 5: {
        const refs = Array.from({ length: r.below(4) }, () => (r.chance(0.8) ? r.below(24) : word(r)));
        const offset = r.below(4096);
        const bytes = new Uint8Array(r.below(64));
        const direction = r.pick(['to grant', 'from grant'] as const);
        g.control.grantCopy(refs.map((ref) => ({ ref, offset, bytes, direction })));
        g.control.grantMapBatch(refs, { readonly: r.chance(0.5) }).unmap();
        break;
      }
      case 6:
        g.control.info();
        g.control.frames.wrote(r.below(RAM), 0, 4096);
        break;
      case 7:
        g.control.pause();
        g.run(1);
        g.control.unpause();
        break;
      default:
        g.control.allocUnbound(r.pick([0, 0, g.control.domid, word(r) & 0x7fff]));
    }
  } catch (error) {
    // What domain 0 is refused is none of the guest's doing.
    if (!(error instanceof HypercallError)) throw error;
  }
};

const time: Action = (g, r) => {
  g.host.clock.advance(r.chance(0.9) ? r.below(2e6) : r.below(2e9));
  g.run(1);
};

const otherVcpu: Action = (g) => {
  const loop = g.host.loop(g.control.domid, 1);
  loop?.turn();
  g.host.clock.advance(1000);
};

const weighted: readonly (readonly [weight: number, name: string, action: Action])[] = [
  [10, 'anything', anything],
  [14, 'mmu_update', mmuUpdate],
  [14, 'mmuext_op', mmuext],
  [8, 'update_va_mapping', updateVaMapping],
  [3, 'mapping of a frame of Xen', mapXenFrame],
  [8, 'memory_op', memoryOp],
  [10, 'event_channel_op', eventOp],
  [3, 'event_channel_op of the FIFO ABI', fifoOp],
  [6, 'grant_table_op', grantOp],
  [4, 'grant copy', grantCopy],
  [6, 'vcpu_op', vcpuOp],
  [2, 'VCPUOP_initialise', initialiseVcpu],
  [4, 'sched_op', schedOp],
  [4, 'timers', timers],
  [8, 'segments', segments],
  [6, 'callbacks', callbacks],
  [6, 'multicall', multicall],
  [4, 'iret', iret],
  [6, 'kernel code', kernelCode],
  [6, 'user code', userCode],
  [8, 'store to a page table', storeToTable],
  [12, 'stores', poke],
  [5, 'stores to shared frames', pokeShared],
  [8, 'domain 0', dom0],
  [3, 'time', time],
  [3, 'the other vCPU', otherVcpu],
];
const total = weighted.reduce((sum, [weight]) => sum + weight, 0);

/** The action that a seed stands for, done. */
export function act(g: HostileGuest, seed: number): void {
  const r = randomOf(seed);
  let at = r.below(total);
  for (const [weight, name, action] of weighted) {
    at -= weight;
    if (at >= 0) continue;
    try {
      g.act(() => action(g, r));
    } catch (error) {
      throw new Error(`hostile guest: ${name}, seed ${seed}`, { cause: error });
    }
    return;
  }
}
