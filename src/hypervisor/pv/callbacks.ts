/** Where Xen enters the guest: set_trap_table, set_callbacks, callback_op, nmi_op. After xen/arch/x86/pv/callback.c. */
import {
  CALLBACKF_mask_events,
  CALLBACKOP,
  CALLBACKTYPE,
  CallbackRegister,
  CallbackUnregister,
} from '../../abi/callback.ts';
import { XENNMI, XennmiCallback } from '../../abi/arch-x86/nmi.ts';
import { isCanonical } from '../../abi/arch-x86/page-table.ts';
import { FLAT_KERNEL_CS, TI_IF } from '../../abi/arch-x86/xen-x86_64.ts';
import { TrapInfo } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import { hiOf, loOf, signedOf } from '../../abi/numbers.ts';
import { Vector } from '../../cpu/exits.ts';
import type { HypercallRow } from '../hypercall.ts';
import { full } from '../hypercall.ts';
import type { GuestWords } from './guest-words.ts';
import type { PvVcpu } from './pv-vcpu.ts';

/** A table longer than this repeats itself; Xen would go on for as long as the guest's memory lasts. */
const MAX_TRAPS = 65536;
const USER_RPL = 3;

export class Callbacks {
  readonly #pv: PvVcpu;
  readonly #words: GuestWords;

  constructor(pv: PvVcpu, words: GuestWords) {
    this.#pv = pv;
    this.#words = words;
  }

  rows(): readonly HypercallRow[] {
    return [
      {
        nr: 0,
        name: 'set_trap_table',
        args: ['trap_info *traps'],
        support: full,
        run: (_, args) => this.setTrapTable(args.num(0)),
      },
      {
        nr: 4,
        name: 'set_callbacks',
        args: ['event_address', 'failsafe_address', 'syscall_address'],
        support: full,
        run: (_, args) => {
          this.#register(CALLBACKTYPE.event, 0, args.num(0));
          this.#register(CALLBACKTYPE.failsafe, 0, args.num(1));
          this.#register(CALLBACKTYPE.syscall, 0, args.num(2));
          return 0;
        },
      },
      {
        nr: 28,
        name: 'nmi_op',
        args: ['cmd', 'arg'],
        support: full,
        run: (_, args) => this.nmiOp(args.u32(0), args.num(1)),
      },
      {
        nr: 30,
        name: 'callback_op',
        args: ['cmd', 'arg'],
        support: full,
        run: (_, args) => this.callbackOp(args.u32(0), args.num(1)),
      },
    ];
  }

  setTrapTable(traps: number): number {
    const { state } = this.#pv;
    if (traps === 0) {
      state.clearTraps();
      return 0;
    }
    for (let i = 0; i < MAX_TRAPS; i++) {
      if (!this.#words.fetch(traps + i * TrapInfo.size, TrapInfo.size / 4)) return Errno.EFAULT;
      const head = this.#words.lo(0);
      const lo = this.#words.lo(2);
      const hi = this.#words.lo(3);
      if (lo === 0 && hi === 0) return 0;
      if (!isCanonical(signedOf(lo, hi))) return Errno.EINVAL;
      state.setTrap(head & 0xff, (head >>> 8) & 0xff, (head >>> 16) | USER_RPL, lo, hi);
    }
    return Errno.EINVAL;
  }

  callbackOp(cmd: number, arg: number): number {
    const { guest } = this.#pv.vcpu;
    if (cmd === CALLBACKOP.register) {
      const r = guest.read(CallbackRegister, arg);
      return r === undefined ? Errno.EFAULT : this.#register(r.type, r.flags, signedOf(r.address.lo, r.address.hi));
    }
    if (cmd === CALLBACKOP.unregister) {
      const r = guest.read(CallbackUnregister, arg);
      return r === undefined ? Errno.EFAULT : this.#unregister(r.type);
    }
    return Errno.ENOSYS;
  }

  nmiOp(cmd: number, arg: number): number {
    if (cmd === XENNMI.register_callback) {
      const callback = this.#pv.vcpu.guest.read(XennmiCallback, arg);
      if (callback === undefined) return Errno.EFAULT;
      return this.#register(CALLBACKTYPE.nmi, 0, signedOf(callback.handler_address.lo, callback.handler_address.hi));
    }
    return cmd === XENNMI.unregister_callback ? this.#unregister(CALLBACKTYPE.nmi) : Errno.ENOSYS;
  }

  #register(type: number, flags: number, address: number): number {
    if (!isCanonical(address)) return Errno.EINVAL;
    const { state } = this.#pv;
    const mask = (flags & CALLBACKF_mask_events) !== 0 ? 1 : 0;
    switch (type) {
      case CALLBACKTYPE.event:
        state.setAddress('eventCallback', address);
        return 0;
      case CALLBACKTYPE.failsafe:
        state.setAddress('failsafeCallback', address);
        state.setWord('failsafeDisablesEvents', mask);
        return 0;
      case CALLBACKTYPE.syscall:
        state.setAddress('syscallCallback', address);
        state.setWord('syscallDisablesEvents', mask);
        return 0;
      case CALLBACKTYPE.syscall32:
        state.setAddress('syscall32Callback', address);
        state.setWord('syscall32DisablesEvents', mask);
        return 0;
      case CALLBACKTYPE.sysenter:
        state.setAddress('sysenterCallback', address);
        state.setWord('sysenterDisablesEvents', mask);
        return 0;
      case CALLBACKTYPE.nmi:
        state.setTrap(Vector.NMI, TI_IF, FLAT_KERNEL_CS, loOf(address), hiOf(address));
        return 0;
      default:
        return Errno.ENOSYS;
    }
  }

  #unregister(type: number): number {
    switch (type) {
      case CALLBACKTYPE.event:
      case CALLBACKTYPE.failsafe:
      case CALLBACKTYPE.syscall:
      case CALLBACKTYPE.syscall32:
      case CALLBACKTYPE.sysenter:
        return Errno.EINVAL;
      case CALLBACKTYPE.nmi:
        this.#pv.state.setTrap(Vector.NMI, 0, 0, 0, 0);
        return 0;
      default:
        return Errno.ENOSYS;
    }
  }
}
