/**
 * A PV guest's own P2M table, which a stream names the frames of: whoever restores the domain writes it anew. A kernel tells where it
 * is in shared_info: mapped at p2m_vaddr below the tables of p2m_cr3, or, older ones, as a tree from pfn_to_mfn_frame_list_list
 * (xen/include/public/arch-x86/xen.h, arch_shared_info).
 */
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { PTE, slotOf } from '../../abi/arch-x86/page-table.ts';
import { SharedInfo } from '../../abi/arch-x86.ts';
import type { ValueOf } from '../../abi/struct.ts';
import type { GuestFrames } from '../../hypervisor/control.ts';
import { StreamError } from './byte-stream.ts';
import { viewOf } from './records.ts';

export const P2M_ENTRIES = PAGE_SIZE / 8;

type SharedInfoValue = ValueOf<typeof SharedInfo>;

/** Frame numbers of the pages that hold the entries 0 … maxPfn - 1. Throws StreamError for a guest that has no such table. */
export function p2mFrames(frames: GuestFrames, sharedInfoMfn: number): readonly number[] {
  const info = SharedInfo.read(viewOf(frames.view(sharedInfoMfn)), 0);
  const pages = Math.ceil(info.max_pfn / P2M_ENTRIES);
  if (info.max_pfn === 0 || pages > frames.count)
    throw new StreamError('the guest has not told where its P2M table is: it cannot be saved yet');
  return info.p2m_cr3 === 0 ? ofTree(frames, info, pages) : ofMapping(frames, info, pages);
}

function ofMapping(frames: GuestFrames, { p2m_cr3, p2m_vaddr }: SharedInfoValue, pages: number): number[] {
  const root = Math.floor(p2m_cr3 / PAGE_SIZE);
  return Array.from({ length: pages }, (_, i) => {
    const va = p2m_vaddr + i * PAGE_SIZE;
    let mfn = root;
    for (let level = 4; level >= 1; level--) {
      const at = slotOf(va, level) * 8;
      const table = tableOf(frames, mfn);
      const lo = table.getUint32(at, true);
      const present = (lo & PTE.P) !== 0 && (level === 1 || (lo & PTE.PSE) === 0);
      if (!present) throw unreadable();
      mfn = lo >>> 12;
    }
    return known(frames, mfn);
  });
}

function ofTree(frames: GuestFrames, info: SharedInfoValue, pages: number): number[] {
  const top = tableOf(frames, info.pfn_to_mfn_frame_list_list);
  return Array.from({ length: pages }, (_, i) => {
    const list = tableOf(frames, top.getUint32(Math.floor(i / P2M_ENTRIES) * 8, true));
    return known(frames, list.getUint32((i % P2M_ENTRIES) * 8, true));
  });
}

function tableOf(frames: GuestFrames, mfn: number): DataView {
  return viewOf(frames.view(known(frames, mfn)));
}

function known(frames: GuestFrames, mfn: number): number {
  if (!frames.has(mfn)) throw unreadable();
  return mfn;
}

function unreadable(): StreamError {
  return new StreamError("the guest's P2M table cannot be read");
}
