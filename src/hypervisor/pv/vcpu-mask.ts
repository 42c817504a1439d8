/** Bitmaps of vCPUs in guest memory, as the flushing hypercalls take them. After vcpumask_to_pcpumask in xen/arch/x86/mm.c. */
import type { PvVcpu } from './pv-vcpu.ts';

/** Flushes the TLBs of the vCPUs in the bitmap at `ptr`, one page or all of them; false when the bitmap cannot be read. */
export function flushVcpus(pv: PvVcpu, ptr: number, va: number | undefined): boolean {
  const { vcpu, domain, tlb } = pv;
  for (let base = 0; base < domain.layout.maxVcpus; base += 64) {
    const word = vcpu.guest.view(ptr + base / 8, 8);
    if (word === undefined) return false;
    tlb.flushMask(word.getUint32(0, true), word.getUint32(4, true), base, va);
  }
  return true;
}
