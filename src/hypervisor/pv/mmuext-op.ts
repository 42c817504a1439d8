/** HYPERVISOR_mmuext_op: pinning, base pointers, flushes, LDT. After do_mmuext_op in xen/arch/x86/mm.c. */
import { Errno } from '../../abi/errno.ts';
import { MMUEXT, MmuextOp } from '../../abi/arch-x86/mmu.ts';
import { PAGE_SIZE, signedOf } from '../../abi/numbers.ts';
import type { HypercallArguments, HypercallRow } from '../hypercall.ts';
import { full } from '../hypercall.ts';
import { loadLdt } from './descriptors.ts';
import { checkOwner } from './foreign-domain.ts';
import type { GuestWords } from './guest-words.ts';
import { MAX_REQUESTS, goOnLater, mustGoOnLater, requestCount, tellDone } from './mmu-update.ts';
import { PGT } from './page-type.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { addressOkay } from './pv-vcpu.ts';
import { isCanonical } from '../../abi/arch-x86/page-table.ts';
import { flushVcpus } from './vcpu-mask.ts';
import { m2pStrict } from './vm-assist.ts';

const MMUEXT_OP = 26;
const MAX_LDT_ENTRIES = 8192;

export class MmuextOps {
  readonly #pv: PvVcpu;
  readonly #words: GuestWords;

  constructor(pv: PvVcpu, words: GuestWords) {
    this.#pv = pv;
    this.#words = words;
  }

  rows(): readonly HypercallRow[] {
    return [
      {
        nr: MMUEXT_OP,
        name: 'mmuext_op',
        args: ['mmuext_op *op', 'count', 'unsigned *done_out', 'foreigndom'],
        support: full,
        run: (_, args) => this.#pv.settled(this.mmuextOp(args)),
      },
    ];
  }

  mmuextOp(args: HypercallArguments): number {
    const { domain, vcpu } = this.#pv;
    const ops = args.num(0);
    const count = requestCount(args);
    if (count > MAX_REQUESTS) return Errno.EINVAL;
    if (!vcpu.guest.allowed(ops, count * MmuextOp.size)) return Errno.EFAULT;
    const ownerError = checkOwner(domain, args.u32(3) & 0xffff);
    if (ownerError !== 0) return ownerError;
    let done = 0;
    let error = 0;
    for (; done < count && !domain.dying; done++) {
      if (mustGoOnLater(vcpu, args, done)) return goOnLater(vcpu, MMUEXT_OP, args, done, done * MmuextOp.size);
      if (!this.#words.fetch(ops + done * MmuextOp.size, 6)) error = Errno.EFAULT;
      else {
        domain.lock();
        this.#pv.tables.begin();
        try {
          error = this.#run();
        } finally {
          domain.unlock();
        }
      }
      if (error !== 0) break;
    }
    tellDone(vcpu, args, done);
    return error;
  }

  /** One operation, in `#words`. */
  #run(): number {
    const { tables, tlb, domain } = this.#pv;
    const cmd = this.#words.lo(0);
    const lo = this.#words.lo(2);
    const hi = this.#words.lo(3);
    /** arg1 as a frame number; no frame has one beyond 32 bits. */
    const mfn = hi === 0 ? lo >>> 0 : -1;
    switch (cmd) {
      case MMUEXT.PIN_L1_TABLE:
      case MMUEXT.PIN_L2_TABLE:
      case MMUEXT.PIN_L3_TABLE:
      case MMUEXT.PIN_L4_TABLE:
        return tables.pin(mfn, cmd - MMUEXT.PIN_L1_TABLE + PGT.l1_page_table);
      case MMUEXT.UNPIN_TABLE:
        return tables.unpin(mfn);
      case MMUEXT.NEW_BASEPTR:
        return this.newBase(mfn);
      case MMUEXT.NEW_USER_BASEPTR:
        return this.newUserBase(mfn);
      case MMUEXT.TLB_FLUSH_LOCAL:
        tlb.flushLocal();
        return 0;
      case MMUEXT.INVLPG_LOCAL: {
        const va = signedOf(lo, hi);
        if (isCanonical(va)) tlb.flushPageLocal(va);
        return 0;
      }
      case MMUEXT.TLB_FLUSH_MULTI:
      case MMUEXT.INVLPG_MULTI: {
        const va = cmd === MMUEXT.INVLPG_MULTI ? signedOf(lo, hi) : undefined;
        if (va !== undefined && !addressOkay(va)) return 0;
        return flushVcpus(this.#pv, signedOf(this.#words.lo(4), this.#words.lo(5)), va) ? 0 : Errno.EINVAL;
      }
      case MMUEXT.TLB_FLUSH_ALL:
        tlb.flushAll();
        return 0;
      case MMUEXT.INVLPG_ALL: {
        const va = signedOf(lo, hi);
        if (addressOkay(va)) tlb.flushPageAll(va);
        return 0;
      }
      case MMUEXT.FLUSH_CACHE:
        return Errno.EACCES; // for domains with devices only
      case MMUEXT.FLUSH_CACHE_GLOBAL:
        return Errno.EINVAL;
      case MMUEXT.SET_LDT:
        return this.#setLdt(signedOf(lo, hi), this.#words.lo(4) >>> 0);
      case MMUEXT.CLEAR_PAGE:
        return this.#overwrite(mfn, (at) => domain.u8.fill(0, at, at + PAGE_SIZE));
      case MMUEXT.COPY_PAGE: {
        const source = this.#words.lo(5) === 0 ? this.#words.lo(4) >>> 0 : -1;
        if (!tables.types.getPage(source)) return Errno.EINVAL;
        const error = this.#overwrite(mfn, (at) =>
          domain.u8.copyWithin(at, domain.frameAt(source), domain.frameAt(source) + PAGE_SIZE),
        );
        tables.types.putPage(source);
        return error;
      }
      case MMUEXT.MARK_SUPER:
      case MMUEXT.UNMARK_SUPER:
        return Errno.EOPNOTSUPP;
      default:
        return Errno.ENOSYS;
    }
  }

  /** new_guest_cr3: the kernel's L4. The new one is referred to before the old one is let go. */
  newBase(mfn: number): number {
    const { tables, tlb, state, domain } = this.#pv;
    const old = state.word('cr3');
    if (mfn !== old) {
      const error = tables.getPageAndType(mfn, PGT.l4_page_table);
      if (error !== 0) return error;
      if (!m2pStrict(domain)) tables.setM2pVisible(mfn, true);
      state.setWord('cr3', mfn);
    }
    tlb.setRoot(0, mfn);
    state.setWord('userTlbStale', 1);
    if (mfn !== old && old !== 0) tables.putPageAndType(old);
    return 0;
  }

  /** 0 is none: kernel threads have no user half. */
  newUserBase(mfn: number): number {
    const { tables, tlb, state, domain } = this.#pv;
    const old = state.word('userCr3');
    if (mfn === old) return 0;
    if (mfn !== 0) {
      const error = tables.getPageAndType(mfn, PGT.l4_page_table);
      if (error !== 0) return error;
      if (m2pStrict(domain)) tables.setM2pVisible(mfn, false);
    }
    state.setWord('userCr3', mfn);
    if (mfn !== 0) {
      tlb.setRoot(1, mfn);
      state.setWord('userTlbStale', 0);
    }
    if (old !== 0) tables.putPageAndType(old);
    return 0;
  }

  #setLdt(va: number, entries: number): number {
    const { state } = this.#pv;
    if (entries > MAX_LDT_ENTRIES || (entries !== 0 && ((va & 4095) !== 0 || !addressOkay(va)))) return Errno.EINVAL;
    state.setAddress('ldtBase', entries === 0 ? 0 : va);
    state.setWord('ldtEnts', entries);
    loadLdt(this.#pv);
    return 0;
  }

  #overwrite(mfn: number, write: (at: number) => void): number {
    const { tables, processor, domain } = this.#pv;
    if (tables.getPageAndType(mfn, PGT.writable_page) !== 0) return Errno.EINVAL;
    write(domain.frameAt(mfn));
    processor.frameWritten(mfn, 0, PAGE_SIZE);
    tables.putPageAndType(mfn);
    return 0;
  }
}
