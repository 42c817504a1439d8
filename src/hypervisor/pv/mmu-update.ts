/** HYPERVISOR_mmu_update, update_va_mapping and update_va_mapping_otherdomain. After xen/arch/x86/mm.c. */
import { Errno } from '../../abi/errno.ts';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { MMU, MmuUpdate, UVMF } from '../../abi/arch-x86/mmu.ts';
import { signedOf } from '../../abi/numbers.ts';
import type { HypercallArguments, HypercallRow } from '../hypercall.ts';
import { continueLater, full } from '../hypercall.ts';
import { DOMID_IO, DOMID_SELF, checkOwner } from './foreign-domain.ts';
import type { GuestWords } from './guest-words.ts';
import { setM2p } from './m2p.ts';
import { PGT } from './page-type.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { addressOkay } from './pv-vcpu.ts';
import type { Vcpu } from '../vcpu.ts';
import { flushVcpus } from './vcpu-mask.ts';

export const MMU_UPDATE_PREEMPTED = 0x8000_0000;
/**
 * Departs from Xen, which preempts a long list and lets the guest call again: a longer one is refused. Kernels send some
 * dozens at a time.
 */
export const MAX_REQUESTS = 65536;
const MMU_UPDATE = 1;
/** Requests between two moments at which other threads get the domain's lock. */
const BATCH = 256;

export const requestCount = (args: HypercallArguments): number => (args.u32(1) & ~MMU_UPDATE_PREEMPTED) >>> 0;

/** Tells how many requests were done, those before a preemption included. */
export function tellDone(vcpu: Vcpu, args: HypercallArguments, done: number): void {
  const doneOut = args.num(2);
  if (doneOut === 0) return;
  const before = (args.u32(1) & MMU_UPDATE_PREEMPTED) !== 0 ? (vcpu.guest.readU32(doneOut) ?? 0) : 0;
  vcpu.guest.writeU32(doneOut, before + done);
}

export const mustGoOnLater = (vcpu: Vcpu, args: HypercallArguments, done: number): boolean =>
  args.direct && done > 0 && vcpu.exitRequested;

/** The call again, for what is left after `done` requests, which took `bytes` of the list. */
export function goOnLater(vcpu: Vcpu, nr: number, args: HypercallArguments, done: number, bytes: number): number {
  tellDone(vcpu, args, done);
  const left = ((requestCount(args) - done) | MMU_UPDATE_PREEMPTED) >>> 0;
  return continueLater(vcpu, nr, args.num(0) + bytes, left, args.num(2), args.u32(3));
}

export class MmuUpdates {
  readonly #pv: PvVcpu;
  readonly #words: GuestWords;

  constructor(pv: PvVcpu, words: GuestWords) {
    this.#pv = pv;
    this.#words = words;
  }

  rows(): readonly HypercallRow[] {
    return [
      {
        nr: MMU_UPDATE,
        name: 'mmu_update',
        args: ['mmu_update *reqs', 'count', 'unsigned *done_out', 'foreigndom'],
        support: full,
        run: (_, args) => this.#pv.settled(this.mmuUpdate(args)),
      },
      {
        nr: 14,
        name: 'update_va_mapping',
        args: ['va', 'u64 val', 'enum update_va_mapping_flags'],
        support: full,
        run: (_, args) => this.#pv.settled(this.updateVaMapping(args)),
      },
      {
        nr: 22,
        name: 'update_va_mapping_otherdomain',
        args: ['va', 'u64 val', 'enum update_va_mapping_flags', 'domid'],
        support: full,
        run: (_, args) => {
          const error = checkOwner(this.#pv.domain, args.u32(3) & 0xffff);
          return error !== 0 ? error : this.#pv.settled(this.updateVaMapping(args));
        },
      },
    ];
  }

  mmuUpdate(args: HypercallArguments): number {
    const { domain, vcpu } = this.#pv;
    const reqs = args.num(0);
    const count = requestCount(args);
    const foreign = args.u32(3);
    if (count > MAX_REQUESTS) return Errno.EINVAL;
    if (!vcpu.guest.allowed(reqs, count * MmuUpdate.size)) return Errno.EFAULT;
    const tables = foreign >>> 16;
    if (tables !== 0 && tables - 1 !== domain.domid) return tables - 1 === 0 ? Errno.EPERM : Errno.ESRCH;
    const owner = foreign & 0xffff;
    // Mapping MMIO space is refused frame by frame, since there is none that the domain may use.
    if (owner !== DOMID_SELF && owner !== DOMID_IO) {
      const error = checkOwner(domain, owner);
      if (error !== 0) return error;
    }
    let done = 0;
    let error = 0;
    while (done < count && error === 0 && !domain.dying) {
      if (mustGoOnLater(vcpu, args, done)) return goOnLater(vcpu, MMU_UPDATE, args, done, done * MmuUpdate.size);
      const end = Math.min(count, done + BATCH);
      domain.lock();
      this.#pv.tables.begin();
      try {
        for (; done < end; done++) {
          error = this.#words.fetch(reqs + done * MmuUpdate.size, 4) ? this.#update(owner === DOMID_IO) : Errno.EFAULT;
          if (error !== 0) break;
        }
      } finally {
        domain.unlock();
      }
    }
    tellDone(vcpu, args, done);
    return error;
  }

  /** One request, in `#words`. */
  #update(io: boolean): number {
    const ptr = this.#words.lo(0);
    const ptrHi = this.#words.lo(1);
    const lo = this.#words.lo(2);
    const hi = this.#words.lo(3);
    const { tables, domain } = this.#pv;
    const { types } = tables;
    const mfn = ptrHi === 0 ? ptr >>> 12 : -1;
    const cmd = ptr & 7;
    switch (cmd) {
      case MMU.NORMAL_PT_UPDATE:
      case MMU.PT_UPDATE_PRESERVE_AD:
      case MMU.PT_UPDATE_NO_TRANSLATE: {
        if (!types.getPage(mfn)) return Errno.EINVAL;
        const error = this.#updateEntry(mfn, (ptr & 0xff8) >>> 3, lo, hi, cmd === MMU.PT_UPDATE_PRESERVE_AD, io);
        types.putPage(mfn);
        return error;
      }
      case MMU.MACHPHYS_UPDATE:
        if (!types.getPage(mfn)) return Errno.EINVAL;
        setM2p(domain, mfn, lo, hi);
        types.putPage(mfn);
        return 0;
      default:
        return Errno.ENOSYS;
    }
  }

  #updateEntry(mfn: number, slot: number, lo: number, hi: number, preserveAd: boolean, io: boolean): number {
    const { tables, domain, processor } = this.#pv;
    const type = tables.types.typeInUse(mfn);
    switch (type) {
      case PGT.l1_page_table:
        if (io && (lo & PTE.P) !== 0) return Errno.EPERM;
        return tables.modL1(tables.entriesOf(mfn) + slot * 2, lo, hi, preserveAd);
      case PGT.l2_page_table:
      case PGT.l3_page_table:
      case PGT.l4_page_table:
        return io ? Errno.EINVAL : tables.modTable(mfn, type, slot, lo, hi, preserveAd);
      case PGT.seg_desc_page:
        return Errno.EINVAL;
      default: {
        // An ordinary frame: a plain store, as long as it may be written.
        if (tables.getType(mfn, PGT.writable_page) !== 0) return Errno.EINVAL;
        const e = tables.entriesOf(mfn) + slot * 2;
        domain.i32[e] = lo;
        domain.i32[e + 1] = hi;
        processor.frameWritten(mfn, slot * 8, 8);
        tables.putType(mfn);
        return 0;
      }
    }
  }

  updateVaMapping(args: HypercallArguments): number {
    const { domain, tlb } = this.#pv;
    const va = signedOf(args.lo[0] ?? 0, args.hi[0] ?? 0);
    domain.lock();
    let error: number;
    try {
      error = this.#updateVa(va, args.lo[1] ?? 0, args.hi[1] ?? 0);
    } finally {
      domain.unlock();
    }
    if (error !== 0) return error;
    const flags = args.lo[2] ?? 0;
    const page = (flags & UVMF.FLUSHTYPE_MASK) === UVMF.INVLPG ? va : undefined;
    if (page === undefined && (flags & UVMF.FLUSHTYPE_MASK) !== UVMF.TLB_FLUSH) return 0;
    const where = flags & ~UVMF.FLUSHTYPE_MASK;
    if ((args.hi[2] ?? 0) === 0 && where === UVMF.LOCAL) {
      if (page === undefined) tlb.flushLocal();
      else tlb.flushPageLocal(page);
      return 0;
    }
    if ((args.hi[2] ?? 0) === 0 && where === UVMF.ALL) {
      if (page === undefined) tlb.flushAll();
      else tlb.flushPageAll(page);
      return 0;
    }
    return flushVcpus(this.#pv, signedOf(where, args.hi[2] ?? 0), page) ? 0 : Errno.EFAULT;
  }

  /** The L1 entry that maps `va` in the kernel's tables, changed. */
  #updateVa(va: number, lo: number, hi: number): number {
    if (!addressOkay(va)) return Errno.EINVAL;
    const { tables, state } = this.#pv;
    const e = tables.findL1Entry(state.word('cr3'), va);
    if (e < 0 || tables.types.typeInUse(tables.frameOfEntry(e)) !== PGT.l1_page_table) return Errno.EINVAL;
    return tables.modL1(e, lo, hi, false);
  }
}
