/**
 * VMASST_TYPE_writable_pagetables: a kernel may store into a pinned L1 table as if it were memory. The store faults, the
 * processor carries out that one instruction with the frame writable, and what changed is checked afterwards. After
 * ptwr_do_page_fault in xen/arch/x86/pv/ro-page-fault.c, which emulates the instruction instead.
 */
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { VMASST_TYPE } from '../../abi/arch-x86/xen-x86_64.ts';
import { Exit } from '../../cpu/exits.ts';
import { PGT } from './page-type.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { addressOkay } from './pv-vcpu.ts';

/** Page-fault error code (SDM Vol. 3A, "Page-Fault Exceptions"). */
export const PFEC = { present: 1, write: 2, reserved: 8, fetch: 16 } as const;
const WORDS = 1024;
/** A store that is said to be shorter is taken for one of these: CMPXCHG16B has its size from a prefix. */
const LEAST_STORE = 16;
/** Longer ones may go down from their address as well. */
const LONG_STORE = 64;
const GPRS = 16;

/** `fault`: not such a store, or one that may not be; the guest gets its page fault. Otherwise the exit of the one step. */
export const NOT_FIXED = -1;

export class WritablePageTables {
  readonly #pv: PvVcpu;
  readonly #before = new Int32Array(WORDS);
  readonly #gprs = new Uint32Array(GPRS * 2);

  constructor(pv: PvVcpu) {
    this.#pv = pv;
  }

  /** Returns NOT_FIXED, or the Exit with which the completed instruction ended. */
  tryStore(va: number, errorCode: number): number {
    const { vcpu, domain, tables, state } = this.#pv;
    if (
      !vcpu.kernelMode ||
      (errorCode & (PFEC.present | PFEC.write | PFEC.reserved | PFEC.fetch)) !== (PFEC.present | PFEC.write)
    )
      return NOT_FIXED;
    if ((domain.get('vmAssist') & (1 << VMASST_TYPE.writable_pagetables)) === 0 || !addressOkay(va)) return NOT_FIXED;
    domain.lock();
    try {
      const e = tables.findL1Entry(state.word('cr3'), va);
      const lo = e < 0 ? 0 : (domain.i32[e] ?? 0);
      if ((lo & (PTE.P | PTE.RW)) !== PTE.P) return NOT_FIXED;
      const mfn = lo >>> 12;
      return domain.hasFrame(mfn) && tables.types.typeInUse(mfn) === PGT.l1_page_table
        ? this.#store(mfn, va)
        : NOT_FIXED;
    } finally {
      domain.unlock();
    }
  }

  #store(mfn: number, va: number): number {
    const { domain, processor, cpu, tables } = this.#pv;
    const first = tables.entriesOf(mfn);
    const before = this.#before;
    // The words that may change. Mostly it is one entry, and a table has 512.
    const from = (va & 0xff8) / 4;
    let [begin, end] = [from, from];
    for (let i = 0; i < GPRS; i++) {
      this.#gprs[i * 2] = cpu.lo(i);
      this.#gprs[i * 2 + 1] = cpu.hi(i);
    }
    const { rip, rflags } = cpu;
    const exit = processor.stepWithWritableFrame(mfn, (bytes) => {
      if (bytes > LONG_STORE) [begin, end] = [0, WORDS];
      else end = Math.min(WORDS, from + 2 + Math.ceil(Math.max(bytes, LEAST_STORE) / 8) * 2);
      before.set(domain.i32.subarray(first + begin, first + end), begin);
    });
    for (let i = begin; i < end; i += 2) {
      const oldLo = before[i] ?? 0;
      const oldHi = before[i + 1] ?? 0;
      if (domain.i32[first + i] === oldLo && domain.i32[first + i + 1] === oldHi) continue;
      if (tables.revalidateL1(first + i, oldLo, oldHi) === 0) continue;
      // Refused: as if the instruction had not been executed.
      for (let j = i + 2; j < end; j++) domain.i32[first + j] = before[j] ?? 0;
      for (let gpr = 0; gpr < GPRS; gpr++) cpu.setLoHi(gpr, this.#gprs[gpr * 2] ?? 0, this.#gprs[gpr * 2 + 1] ?? 0);
      cpu.rip = rip;
      cpu.rflags = rflags;
      return NOT_FIXED;
    }
    return exit === Exit.Exception ? Exit.Exception : Exit.Budget;
  }
}
