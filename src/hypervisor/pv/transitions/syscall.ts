/** SYSCALL: of user mode to the kernel's callback, of kernel mode a hypercall. */
import { FLAT_KERNEL_CS, FLAT_KERNEL_SS, RFLAGS, SEGBASE } from '../../../abi/arch-x86/xen-x86_64.ts';
import { Exit } from '../../../cpu/exits.ts';
import { type HookServices, hookType } from '../../../cpu/hooks.ts';
import { Mode, S } from '../../../cpu/index.ts';
import { Op } from '../../../cpu/state-layout.ts';
import type { Fn } from '../../../cpu/wasm/code.ts';
import type { ModuleBuilder } from '../../../cpu/wasm/module.ts';
import { I32, I64, ValType } from '../../../cpu/wasm/value.ts';
import { Gpr } from '../../processor.ts';
import { Seg } from '../pv-vcpu.ts';
import { type Entry, NO_ERROR_CODE, words } from './entry.ts';
import { iret } from './iret.ts';
import { notCanonical, VcpuCode } from './vcpu-code.ts';

const { i32 } = ValType;
const USER_RPL = 3;

/** Hypercalls that touch a few words only: what each does, and its result in RAX. A handler may leave with `refuse`. */
type Simple = (v: VcpuCode, refuse: () => void) => I64;

function simpleHypercalls(xenVersion: number): Readonly<Record<number, Simple>> {
  return {
    // stack_switch
    3: (v) => {
      v.setPvWord('kernelSs', v.gpr(Gpr.rdi).wrap().or(USER_RPL));
      v.setAddress('kernelSp', v.gpr(Gpr.rsi));
      return I64.of(0);
    },
    // fpu_taskswitch
    5: (v) => {
      v.c.store32(v.vcpu, v.gpr(Gpr.rdi).wrap().ne(0), S.taskSwitched);
      return I64.of(0);
    },
    // xen_version: XENVER_version, by which kernels have their events delivered
    17: (v, refuse) => {
      v.c.if(v.gpr(Gpr.rdi).wrap(), refuse);
      return I64.of(xenVersion);
    },
    // set_segment_base
    25: (v, refuse) => {
      const { c, vcpu } = v;
      const base = c.let(v.gpr(Gpr.rsi));
      c.if(notCanonical(base), refuse);
      const segment = (n: number) => (): void => c.store64(vcpu, base, S.segmentBase + n * 8);
      const cases: (() => void)[] = [];
      cases[SEGBASE.FS] = segment(Seg.fs);
      cases[SEGBASE.GS_USER] = () => v.setAddress('gsInactive', base);
      cases[SEGBASE.GS_KERNEL] = segment(Seg.gs);
      c.switch(v.gpr(Gpr.rdi).wrap(), cases, refuse);
      return I64.of(0);
    },
  };
}
const IRET = 23;

export function defineSyscall(m: ModuleBuilder, services: HookServices, entry: Entry, xenVersion: number): Fn {
  const calls = simpleHypercalls(xenVersion);
  const last = Math.max(IRET, ...Object.keys(calls).map(Number));

  const hypercall = m.function('hypercall', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const v = new VcpuCode(c, vcpu, services);
    const instructions = c.let(c.param(i32, 1).load16U(Op.c));
    const refuse = (): void => c.return(I32.of(Exit.Syscall));
    const number = c.let(v.gpr(Gpr.rax));
    c.if(number.gtU(last), refuse);
    const cases = Array.from({ length: last + 1 }, (_, nr) => (): void => {
      const call = calls[nr];
      if (nr === IRET) return iret(v, entry, instructions);
      if (call === undefined) return refuse();
      v.setGpr(Gpr.rax, call(v, refuse));
    });
    c.switch(number.wrap(), cases, refuse);
    v.setGpr(Gpr.rcx, vcpu.load64(S.rip));
    v.setGpr(Gpr.r11, c.call(services.readFlags, vcpu).extendU());
    c.returnCall(entry.goOn, vcpu, instructions);
    c.unreachable();
  });

  return m.function('syscall', hookType.params, hookType.result, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const v = new VcpuCode(c, vcpu, services);
    c.if(vcpu.load32(S.mode).ne(Mode.long64), () => c.return(I32.of(Exit.Syscall)));
    c.if(v.word('kernelMode'), () => c.returnCall(hypercall, vcpu, op));
    const handler = c.let(v.address('syscallCallback'));
    c.if(handler.eqz(), () => c.return(I32.of(Exit.Syscall)));
    const at = c.let(c.call(entry.frame, vcpu, I32.of(words(false))));
    c.if(at.eqz(), () => c.return(I32.of(Exit.Syscall)));
    v.setSelector(Seg.cs, FLAT_KERNEL_CS);
    v.setSelector(Seg.ss, FLAT_KERNEL_SS);
    v.setGpr(Gpr.rcx, vcpu.load64(S.rip));
    v.setGpr(Gpr.r11, c.call(services.readFlags, vcpu).extendU());
    c.do(entry.enter, vcpu, at, handler, v.pvWord('syscallDisablesEvents').ne(0), I32.of(NO_ERROR_CODE));
    c.store32(vcpu, vcpu.load32(S.flagsRest).and(~RFLAGS.DF), S.flagsRest);
    c.returnCall(entry.goOn, vcpu, op.load16U(Op.c));
    c.unreachable();
  });
}
