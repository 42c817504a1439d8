/** The start state of a PV vCPU as the builder asks for it, completed with what Xen and libxl give a fresh one. */
import {
  CpuUserRegs,
  FLAT_RING3_CS64,
  FLAT_RING3_SS64,
  VGCF_I387_VALID,
  VGCF_in_kernel,
  VGCF_online,
  VcpuGuestContext,
} from '../abi/arch-x86.ts';
import type { HostAddress } from '../abi/numbers.ts';
import { PAGE_SIZE, hiOf, loOf } from '../abi/numbers.ts';
import type { VcpuContext } from './control.ts';
import type { Domain } from './domain.ts';
import { VcpuState } from './state.ts';
import type { Vcpu } from './vcpu.ts';

const EFLAGS = 0x202;
const CR3 = 3;
/** FXSAVE image: control word 0x37f, MXCSR 0x1f80 (SDM Vol. 1, "FXSAVE Area"). */
const FCW_AT = 0;
const MXCSR_AT = 24;

/** By the vCPU's own thread, for who waits in getvcpucontext. What is to be loaded yet is the context. */
export function saveContext(vcpu: Vcpu): void {
  if (vcpu.load('contextPending') === 0) vcpu.platform.saveContext(vcpu.contextAt);
  vcpu.store('contextWanted', 0);
  Atomics.notify(vcpu.domain.i32, (vcpu.at + VcpuState.at.contextWanted) >>> 2);
}

export function writeContext(domain: Domain, at: HostAddress, context: VcpuContext): void {
  domain.u8.fill(0, at, at + VcpuGuestContext.size);
  const fpu = new Uint8Array(512);
  const fpuView = new DataView(fpu.buffer);
  fpuView.setUint16(FCW_AT, 0x37f, true);
  fpuView.setUint32(MXCSR_AT, 0x1f80, true);
  const zero = { lo: 0, hi: 0 };
  const cr3 = context.cr3Mfn * PAGE_SIZE;
  VcpuGuestContext.write(domain.view, at, {
    fpu_ctxt: fpu,
    flags: VGCF_I387_VALID | VGCF_in_kernel | VGCF_online,
    ctrlreg: Array.from({ length: 8 }, (_, i) => (i === CR3 ? { lo: loOf(cr3), hi: hiOf(cr3) } : zero)),
  });
  CpuUserRegs.write(domain.view, at + VcpuGuestContext.at.user_regs, {
    rip: context.rip,
    rsp: context.rsp,
    rsi: { lo: loOf(context.rsi), hi: hiOf(context.rsi) },
    rflags: { lo: context.rflags ?? EFLAGS, hi: 0 },
    cs: context.cs ?? FLAT_RING3_CS64,
    ss: context.ss ?? FLAT_RING3_SS64,
  });
}
