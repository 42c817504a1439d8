/** set_gdt, update_descriptor, stack_switch, set_segment_base. After xen/arch/x86/pv/descriptor-tables.c and misc-hypercalls.c. */
import { FIRST_RESERVED_GDT_ENTRY } from '../../abi/arch-x86.ts';
import { FIRST_RESERVED_GDT_PAGE, SEGBASE } from '../../abi/arch-x86/xen-x86_64.ts';
import { isCanonical } from '../../abi/arch-x86/page-table.ts';
import { Errno } from '../../abi/errno.ts';
import type { HypercallArguments, HypercallRow } from '../hypercall.ts';
import { full } from '../hypercall.ts';
import type { DescriptorReader } from './descriptors.ts';
import { loadGdt } from './descriptors.ts';
import { checkDescriptor } from './descriptor-check.ts';
import { PGT } from './page-type.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { Seg } from './pv-vcpu.ts';

const USER_RPL = 3;

export class Segments {
  readonly #pv: PvVcpu;
  readonly #descriptors: DescriptorReader;

  constructor(pv: PvVcpu, descriptors: DescriptorReader) {
    this.#pv = pv;
    this.#descriptors = descriptors;
  }

  rows(): readonly HypercallRow[] {
    return [
      {
        nr: 2,
        name: 'set_gdt',
        args: ['unsigned long *frame_list', 'entries'],
        support: full,
        run: (_, args) => this.#pv.settled(this.setGdt(args.num(0), args.u32(1))),
      },
      {
        nr: 3,
        name: 'stack_switch',
        args: ['ss', 'esp'],
        support: full,
        run: (_, args) => {
          this.#pv.state.setWord('kernelSs', args.u32(0) | USER_RPL);
          this.#pv.state.setAddress('kernelSp', args.num(1));
          return 0;
        },
      },
      {
        nr: 10,
        name: 'update_descriptor',
        args: ['u64 ma', 'u64 desc'],
        support: full,
        run: (_, args) => this.#pv.settled(this.updateDescriptor(args)),
      },
      {
        nr: 25,
        name: 'set_segment_base',
        args: ['which', 'unsigned long base'],
        support: full,
        run: (_, args) => this.setSegmentBase(args.u32(0), args.num(1)),
      },
    ];
  }

  setGdt(list: number, entries: number): number {
    if (entries > FIRST_RESERVED_GDT_ENTRY) return Errno.EINVAL;
    const { vcpu, domain, tables, state, tlb } = this.#pv;
    const count = Math.ceil(entries / 512);
    const frames: number[] = [];
    for (let i = 0; i < count; i++) {
      const frame = vcpu.guest.readU64(list + i * 8);
      if (frame === undefined) return Errno.EFAULT;
      frames.push(frame);
    }
    return domain.locked(() => {
      for (const [i, frame] of frames.entries()) {
        if (tables.getPageAndType(frame, PGT.seg_desc_page) === 0) continue;
        for (const taken of frames.slice(0, i)) tables.putPageAndType(taken);
        return Errno.EINVAL;
      }
      const old = Math.ceil(state.word('gdtEnts') / 512);
      for (let i = 0; i < old; i++) tables.putPageAndType(state.gdtFrame(i));
      for (let i = 0; i < FIRST_RESERVED_GDT_PAGE; i++) state.setGdtFrame(i, frames[i] ?? 0);
      state.setWord('gdtEnts', entries);
      loadGdt(this.#pv);
      tlb.flushLocal();
      return 0;
    });
  }

  updateDescriptor(args: HypercallArguments): number {
    const { domain, tables, processor } = this.#pv;
    const at = args.lo[0] ?? 0;
    const checked = checkDescriptor(args.lo[1] ?? 0, args.hi[1] ?? 0);
    if ((at & 7) !== 0 || (args.hi[0] ?? 0) !== 0 || checked === undefined) return Errno.EINVAL;
    const mfn = at >>> 12;
    return domain.locked(() => {
      if (!tables.types.getPage(mfn)) return Errno.EINVAL;
      const type = tables.types.type(mfn) === PGT.seg_desc_page ? PGT.seg_desc_page : PGT.writable_page;
      const error = tables.getType(mfn, type);
      if (error === 0) {
        const e = tables.entriesOf(mfn) + ((at & 0xfff) >>> 2);
        domain.i32[e] = checked.lo;
        domain.i32[e + 1] = checked.hi;
        processor.frameWritten(mfn, at & 0xfff, 8);
        tables.putType(mfn);
      }
      tables.types.putPage(mfn);
      return error === 0 ? 0 : Errno.EINVAL;
    });
  }

  setSegmentBase(which: number, base: number): number {
    const { cpu, state } = this.#pv;
    if (which === SEGBASE.GS_USER_SEL) return this.#loadUserGs(base & 0xffff);
    if (!isCanonical(base)) return Errno.EINVAL;
    switch (which) {
      case SEGBASE.FS:
        cpu.fsBase = base;
        return 0;
      case SEGBASE.GS_USER:
        state.setAddress('gsInactive', base);
        return 0;
      case SEGBASE.GS_KERNEL:
        cpu.gsBase = base;
        return 0;
      default:
        return Errno.EINVAL;
    }
  }

  /** The selector for user mode's GS, with its base; one that cannot be loaded becomes null, and that is no error. */
  #loadUserGs(wanted: number): number {
    const { cpu, state } = this.#pv;
    const descriptors = this.#descriptors;
    let selector = wanted > 3 ? wanted | USER_RPL : wanted;
    let base = 0;
    if (selector > 3) {
      if (descriptors.read(selector) && descriptors.isReadable) base = descriptors.base;
      else selector = 0;
    }
    cpu.setSelector(Seg.gs, selector);
    state.setAddress('gsInactive', base);
    return 0;
  }
}
