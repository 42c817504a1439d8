/** vcpu_guest_context of a vCPU that rests: the reverse of context.ts. After arch_get_info_guest in xen/arch/x86/domctl.c. */
import {
  CpuUserRegs,
  TrapInfo,
  VGCF_I387_VALID,
  VGCF_failsafe_disables_events,
  VGCF_in_kernel,
  VGCF_online,
  VGCF_syscall_disables_events,
  VcpuGuestContext,
} from '../../abi/arch-x86.ts';
import { isCanonical } from '../../abi/arch-x86/page-table.ts';
import { NR_VECTORS, RFLAGS } from '../../abi/arch-x86/xen-x86_64.ts';
import { PAGE_SIZE, hiOf, loOf, type HostAddress } from '../../abi/numbers.ts';
import type { VcpuExtended } from '../control.ts';
import { vcpuBlock } from '../domain-memory.ts';
import type { Domain } from '../domain.ts';
import { gprFields } from './context.ts';
import type { DebugRegisters } from './debug-registers.ts';
import { PvState, PvVcpuState } from './pv-state.ts';
import { Seg, type PvVcpu } from './pv-vcpu.ts';

const at = VcpuGuestContext.at;
const GDT_FRAMES = 16;
/** struct vcpu_guest_context: ctrlreg[1] is the user's table, as CR1 does not exist. */
const CTRLREGS = 8;
const DEBUGREGS = 8;

const halves = (value: number): { lo: number; hi: number } => ({ lo: loOf(value), hi: hiOf(value) });

export function saveContext(pv: PvVcpu, context: HostAddress, debug: DebugRegisters, cr0: number): void {
  const { cpu, state, domain, vcpu } = pv;
  const { view } = domain;
  const flag = (set: boolean, bit: number): number => (set ? bit : 0);
  const kernel = vcpu.kernelMode;
  const controls = [
    cr0,
    state.word('userCr3') * PAGE_SIZE,
    state.address('cr2'),
    state.word('cr3') * PAGE_SIZE,
    state.word('cr4'),
  ];
  VcpuGuestContext.write(view, context, {
    flags:
      VGCF_I387_VALID |
      flag(kernel, VGCF_in_kernel) |
      flag(vcpu.load('online') !== 0, VGCF_online) |
      flag(state.word('failsafeDisablesEvents') !== 0, VGCF_failsafe_disables_events) |
      flag(state.word('syscallDisablesEvents') !== 0, VGCF_syscall_disables_events),
    ldt_base: state.address('ldtBase'),
    ldt_ents: state.word('ldtEnts'),
    gdt_ents: state.word('gdtEnts'),
    // Those that are Xen's are not told.
    gdt_frames: Array.from({ length: GDT_FRAMES }, (_, i) => (i * 512 < state.word('gdtEnts') ? state.gdtFrame(i) : 0)),
    kernel_ss: state.word('kernelSs'),
    kernel_sp: state.address('kernelSp'),
    ctrlreg: Array.from({ length: CTRLREGS }, (_, i) => halves(controls[i] ?? 0)),
    debugreg: Array.from({ length: DEBUGREGS }, (_, i) => halves(debug.get(i) ?? 0)),
    event_callback_eip: state.address('eventCallback'),
    failsafe_callback_eip: state.address('failsafeCallback'),
    syscall_callback_eip: state.address('syscallCallback'),
    vm_assist: domain.get('vmAssist'),
    fs_base: cpu.fsBase,
    gs_base_kernel: kernel ? cpu.gsBase : state.address('gsInactive'),
    gs_base_user: kernel ? state.address('gsInactive') : cpu.gsBase,
  });
  cpu.saveFpu(view, context + at.fpu_ctxt);
  // The table has the public structure's form already.
  const traps = state.at + PvVcpuState.at.trapTable;
  domain.u8.copyWithin(context + at.trap_ctxt, traps, traps + NR_VECTORS * TrapInfo.size);
  const user = context + at.user_regs;
  domain.u8.fill(0, user, user + CpuUserRegs.size);
  CpuUserRegs.write(view, user, {
    rip: cpu.rip,
    cs: cpu.selector(Seg.cs),
    ss: cpu.selector(Seg.ss),
    ds: cpu.selector(Seg.ds),
    es: cpu.selector(Seg.es),
    fs: cpu.selector(Seg.fs),
    gs: cpu.selector(Seg.gs),
    rflags: { lo: (cpu.rflags & ~RFLAGS.IOPL) | (vcpu.get('ioplRing') << 12), hi: 0 },
    saved_upcall_mask: vcpu.upcallMask ? 1 : 0,
  });
  for (const [gpr, offset] of gprFields) {
    view.setUint32(user + offset, cpu.lo(gpr), true);
    view.setUint32(user + offset + 4, cpu.hi(gpr), true);
  }
}

/** What of it is no part of vcpu_guest_context. */
export function readExtended(domain: Domain, vcpu: number): VcpuExtended {
  const state = stateOf(domain, vcpu);
  return {
    syscall32Callback: state.address('syscall32Callback'),
    sysenterCallback: state.address('sysenterCallback'),
    syscall32DisablesEvents: state.word('syscall32DisablesEvents') !== 0,
    sysenterDisablesEvents: state.word('sysenterDisablesEvents') !== 0,
    tscAux: state.word('tscAux'),
  };
}

/** For a vCPU whose context is to be loaded. A callback that is no address is as good as none. */
export function writeExtended(domain: Domain, vcpu: number, extended: VcpuExtended): void {
  const state = stateOf(domain, vcpu);
  const address = (va: number): number => (isCanonical(va) ? va : 0);
  state.setAddress('syscall32Callback', address(extended.syscall32Callback));
  state.setAddress('sysenterCallback', address(extended.sysenterCallback));
  state.setWord('syscall32DisablesEvents', extended.syscall32DisablesEvents ? 1 : 0);
  state.setWord('sysenterDisablesEvents', extended.sysenterDisablesEvents ? 1 : 0);
  state.setWord('tscAux', extended.tscAux);
}

function stateOf(domain: Domain, vcpu: number): PvState {
  return new PvState(domain, domain.vcpuAt(vcpu) + vcpuBlock.pv);
}
