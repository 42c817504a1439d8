import { hex64, signedOf } from '../abi/numbers.ts';
import type { CrashDump } from './crash-dump.ts';
import { Gpr } from './processor.ts';
import type { Vcpu } from './vcpu.ts';

/** Xen prints 20 lines of four words unless told otherwise by `debug_stack_lines`. */
const STACK_WORDS = 80;

/** Takes the last state of a vCPU; what is printed of it is crash-dump.ts's concern. */
export function collectCrash(vcpu: Vcpu, reason: string): CrashDump {
  const { state } = vcpu.processor;
  const control = vcpu.platform.controlRegisters();
  const stackAt = state.num(Gpr.rsp);
  const stack: number[] = [];
  const stackText: string[] = [];
  for (let i = 0; i < STACK_WORDS; i++) {
    const word = vcpu.guest.view(stackAt + i * 8, 8);
    if (word === undefined) break;
    const lo = word.getUint32(0, true);
    const hi = word.getUint32(4, true);
    stack.push(signedOf(lo, hi));
    stackText.push(hex64(lo, hi));
  }
  return {
    domid: vcpu.domain.domid,
    vcpu: vcpu.id,
    reason,
    userMode: !vcpu.kernelMode,
    rip: state.rip,
    rflags: state.rflags,
    gpr: Array.from({ length: 16 }, (_, gpr) => hex64(state.lo(gpr), state.hi(gpr))),
    cr0: control.cr0,
    cr2: control.cr2,
    cr3: control.cr3,
    cr4: control.cr4,
    fsBase: state.fsBase,
    gsBase: state.gsBase,
    gsShadow: control.gsShadow,
    selectors: Array.from({ length: 6 }, (_, segment) => state.selector(segment)),
    stackAt,
    stack,
    stackText,
  };
}
