/** HYPERVISOR_set_debugreg, get_debugreg and the emulated MOV DR. After set_debugreg in xen/arch/x86/pv/misc-hypercalls.c. */
import { Errno } from '../../abi/errno.ts';
import { signedOf } from '../../abi/numbers.ts';
import type { HypercallRow } from '../hypercall.ts';
import { full } from '../hypercall.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { addressOkay } from './pv-vcpu.ts';

/** SDM Vol. 3B, "Debug Registers". */
const DR6 = { RESERVED_ONE: 0xffff0ff0, RESERVED_ZERO: 0x1000, BS: 0x4000 } as const;
const DR7 = { RESERVED_ONE: 0x400, RESERVED_ZERO: 0xd800, GD: 0x2000, ACTIVE: 0xff } as const;
const RW_IO = 2;
const CR4_DE = 8;

export const DR6_DEFAULT = DR6.RESERVED_ONE;
export const DR7_DEFAULT = DR7.RESERVED_ONE;

export class DebugRegisters {
  readonly #pv: PvVcpu;

  constructor(pv: PvVcpu) {
    this.#pv = pv;
  }

  rows(): readonly HypercallRow[] {
    return [
      {
        nr: 8,
        name: 'set_debugreg',
        args: ['reg', 'unsigned long value'],
        support: full,
        run: (_, args) => this.set(args.u32(0), args.lo[1] ?? 0, args.hi[1] ?? 0),
      },
      {
        nr: 9,
        name: 'get_debugreg',
        args: ['reg'],
        support: full,
        run: (_, args) => this.get(args.u32(0)) ?? Errno.ENODEV,
      },
    ];
  }

  /** Undefined: no such register (#UD when it was MOV). */
  get(register: number): number | undefined {
    const { state } = this.#pv;
    if (register < 4) return state.debugAddress(register);
    if (this.#extensions && (register === 4 || register === 5)) return undefined;
    if (register === 6 || register === 4) return state.word('dr6');
    if (register === 7 || register === 5) return (state.word('dr7') | state.word('dr7Emulated')) >>> 0;
    return undefined;
  }

  set(register: number, lo: number, hi: number): number {
    const { state } = this.#pv;
    if (register < 4) {
      const va = signedOf(lo, hi);
      if (!addressOkay(va)) return Errno.EPERM;
      state.setDebugAddress(register, va);
      return 0;
    }
    if (register > 7 || (this.#extensions && register < 6)) return Errno.ENODEV;
    if (hi !== 0) return Errno.EINVAL;
    if (register === 4 || register === 6) {
      state.setWord('dr6', ((lo & ~DR6.RESERVED_ZERO) | DR6.RESERVED_ONE) >>> 0);
      return 0;
    }
    const value = ((lo & ~DR7.RESERVED_ZERO) | (lo & DR7.GD) | DR7.RESERVED_ONE) >>> 0;
    if ((value & DR7.GD) !== 0) return Errno.EPERM;
    let io = 0;
    if ((value & DR7.ACTIVE) !== 0) {
      for (let n = 0; n < 4; n++) {
        if (((value >>> (16 + n * 4)) & 3) !== RW_IO) continue;
        if (!this.#extensions) return Errno.EPERM;
        io |= value & (3 << (n * 2));
      }
    }
    state.setWord('dr7Emulated', io);
    state.setWord('dr7', (value & ~io) >>> 0);
    return 0;
  }

  /** A single step ended: noted in DR6 before the guest sees its #DB. */
  stepped(): void {
    const { state } = this.#pv;
    state.setWord('dr6', (state.word('dr6') | DR6.BS | DR6.RESERVED_ONE) >>> 0);
  }

  get #extensions(): boolean {
    return (this.#pv.state.word('cr4') & CR4_DE) !== 0;
  }
}
