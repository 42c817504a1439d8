/** vcpu_guest_context: how a vCPU starts. After arch_set_info_guest in xen/arch/x86/domain.c. */
import {
  VGCF_I387_VALID,
  VGCF_failsafe_disables_events,
  VGCF_in_kernel,
  VGCF_syscall_disables_events,
  VcpuGuestContext,
  TrapInfo,
  CpuUserRegs,
  FIRST_RESERVED_GDT_ENTRY,
} from '../../abi/arch-x86.ts';
import { FIRST_RESERVED_GDT_PAGE, NR_VECTORS, RFLAGS } from '../../abi/arch-x86/xen-x86_64.ts';
import { isCanonical } from '../../abi/arch-x86/page-table.ts';
import { Errno } from '../../abi/errno.ts';
import { PAGE_SIZE, loOf } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import { Gpr } from '../processor.ts';
import type { DebugRegisters } from './debug-registers.ts';
import { DR6_DEFAULT, DR7_DEFAULT } from './debug-registers.ts';
import type { DescriptorReader } from './descriptors.ts';
import { loadGdt, loadLdt } from './descriptors.ts';
import type { PageTables } from './page-tables.ts';
import { PGT } from './page-type.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { Seg, addressOkay } from './pv-vcpu.ts';
import { CR0_TS, type PrivilegedOps } from './privileged-ops.ts';

const at = VcpuGuestContext.at;
const regs = CpuUserRegs.at;
const USER_RPL = 3;
const MAX_LDT_ENTRIES = 8192;
const RFLAGS_RESERVED_1 = 2;

/** Frame number in ctrlreg[n]: xen_cr3_to_pfn. */
function cr3Frame(domain: Domain, context: number, register: number): number {
  const where = context + at.ctrlreg + register * 8;
  return domain.view.getUint32(where + 4, true) === 0 ? domain.view.getUint32(where, true) >>> 12 : -1;
}

/**
 * Checks a context and takes the references that the vCPU will hold: to its L4 tables and its GDT. Under the domain's
 * lock. 0 or an error, with nothing taken.
 */
export function checkContext(domain: Domain, tables: PageTables, context: number): number {
  const c = VcpuGuestContext.read(domain.view, context);
  const { rip } = CpuUserRegs.read(domain.view, context + at.user_regs);
  for (const address of [
    rip,
    c.event_callback_eip,
    c.failsafe_callback_eip,
    c.syscall_callback_eip,
    c.fs_base,
    c.gs_base_kernel,
    c.gs_base_user,
  ]) {
    if (!isCanonical(address)) return Errno.EINVAL;
  }
  if (c.trap_ctxt.some((trap) => !isCanonical(trap.address ?? 0))) return Errno.EINVAL;
  if (c.gdt_ents > FIRST_RESERVED_GDT_ENTRY || c.ldt_ents > MAX_LDT_ENTRIES) return Errno.EINVAL;
  if (c.ldt_base % PAGE_SIZE !== 0 || !addressOkay(c.ldt_base)) return Errno.EINVAL;
  const wanted: { readonly mfn: number; readonly type: number }[] = c.gdt_frames
    .slice(0, Math.ceil(c.gdt_ents / 512))
    .map((mfn) => ({ mfn, type: PGT.seg_desc_page }));
  wanted.push({ mfn: cr3Frame(domain, context, 3), type: PGT.l4_page_table });
  const user = cr3Frame(domain, context, 1);
  if (user !== 0) wanted.push({ mfn: user, type: PGT.l4_page_table });
  for (const [i, { mfn, type }] of wanted.entries()) {
    if (tables.getPageAndType(mfn, type) === 0) continue;
    for (const taken of wanted.slice(0, i)) tables.putPageAndType(taken.mfn);
    return Errno.EINVAL;
  }
  return 0;
}

export const gprFields = [
  [Gpr.rax, regs.rax],
  [Gpr.rcx, regs.rcx],
  [Gpr.rdx, regs.rdx],
  [Gpr.rbx, regs.rbx],
  [Gpr.rsp, regs.rsp],
  [Gpr.rbp, regs.rbp],
  [Gpr.rsi, regs.rsi],
  [Gpr.rdi, regs.rdi],
  [Gpr.r8, regs.r8],
  [Gpr.r9, regs.r9],
  [Gpr.r10, regs.r10],
  [Gpr.r11, regs.r11],
  [Gpr.r12, regs.r12],
  [Gpr.r13, regs.r13],
  [Gpr.r14, regs.r14],
  [Gpr.r15, regs.r15],
] as const;

/** Puts a checked context into the vCPU. */
export function loadContext(
  pv: PvVcpu,
  context: number,
  descriptors: DescriptorReader,
  debug: DebugRegisters,
  privileged: Pick<PrivilegedOps, 'setCr4'>,
): void {
  const { cpu, state, domain, vcpu, tlb, processor } = pv;
  const { view } = domain;
  const c = VcpuGuestContext.read(view, context);
  const user = CpuUserRegs.read(view, context + at.user_regs);
  const kernel = (c.flags & VGCF_in_kernel) !== 0;

  if ((c.flags & VGCF_I387_VALID) !== 0) cpu.loadFpu(view, context + at.fpu_ctxt);
  for (const [gpr, offset] of gprFields) {
    const where = context + at.user_regs + offset;
    cpu.setLoHi(gpr, view.getUint32(where, true), view.getUint32(where + 4, true));
  }
  cpu.rip = user.rip;
  const rflags = user.rflags.lo;
  vcpu.set('ioplRing', (rflags & RFLAGS.IOPL) >>> 12);
  cpu.rflags = (rflags & ~(RFLAGS.IOPL | RFLAGS.VM)) | RFLAGS.IF | RFLAGS_RESERVED_1;
  cpu.taskSwitched = ((c.ctrlreg[0]?.lo ?? 0) & CR0_TS) !== 0;
  cpu.tscAux = state.word('tscAux');

  for (let vector = 0; vector < NR_VECTORS; vector++) {
    const where = context + at.trap_ctxt + vector * TrapInfo.size;
    const address = where + TrapInfo.at.address;
    state.setTrap(
      vector,
      view.getUint8(where + TrapInfo.at.flags),
      view.getUint16(where + TrapInfo.at.cs, true) | USER_RPL,
      view.getUint32(address, true),
      view.getUint32(address + 4, true),
    );
  }
  state.setWord('kernelSs', c.kernel_ss | USER_RPL);
  state.setAddress('kernelSp', c.kernel_sp);
  state.setAddress('eventCallback', c.event_callback_eip);
  state.setAddress('failsafeCallback', c.failsafe_callback_eip);
  state.setAddress('syscallCallback', c.syscall_callback_eip);
  state.setWord('failsafeDisablesEvents', c.flags & VGCF_failsafe_disables_events ? 1 : 0);
  state.setWord('syscallDisablesEvents', c.flags & VGCF_syscall_disables_events ? 1 : 0);
  if (vcpu.id === 0) domain.set('vmAssist', loOf(c.vm_assist));

  privileged.setCr4(c.ctrlreg[4]?.lo ?? 0);
  state.setWord('dr6', DR6_DEFAULT);
  state.setWord('dr7', DR7_DEFAULT);
  for (let n = 0; n < 8; n++) {
    const value = c.debugreg[n];
    if (value !== undefined && (value.lo !== 0 || value.hi !== 0)) debug.set(n, value.lo, value.hi);
  }

  state.setWord('gdtEnts', c.gdt_ents);
  for (let i = 0; i < FIRST_RESERVED_GDT_PAGE; i++)
    state.setGdtFrame(i, i * 512 < c.gdt_ents ? (c.gdt_frames[i] ?? 0) : 0);
  state.setAddress('ldtBase', c.ldt_base);
  state.setWord('ldtEnts', c.ldt_ents);
  state.setWord('cr3', cr3Frame(domain, context, 3));
  state.setWord('userCr3', cr3Frame(domain, context, 1));
  processor.setSpace(kernel ? 0 : 1);
  vcpu.kernelMode = kernel;
  tlb.setRoot(0, state.word('cr3'));
  if (state.word('userCr3') !== 0) tlb.setRoot(1, state.word('userCr3'));
  loadGdt(pv);
  loadLdt(pv);

  const cs = user.cs | USER_RPL;
  cpu.setSelector(Seg.cs, cs);
  cpu.setSelector(Seg.ss, user.ss | USER_RPL);
  cpu.setSelector(Seg.ds, user.ds);
  cpu.setSelector(Seg.es, user.es);
  cpu.setSelector(Seg.fs, user.fs);
  cpu.setSelector(Seg.gs, user.gs);
  cpu.long64 = !(descriptors.read(cs) && descriptors.isPresentCode) || descriptors.is64Bit;
  cpu.fsBase = c.fs_base;
  cpu.gsBase = kernel ? c.gs_base_kernel : c.gs_base_user;
  state.setAddress('gsInactive', kernel ? c.gs_base_user : c.gs_base_kernel);
}
