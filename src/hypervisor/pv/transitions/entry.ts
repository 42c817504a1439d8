/** Entries into the guest's kernel: the simple case of bounce.ts. */
import { HYPERVISOR_VIRT_END, VcpuInfo } from '../../../abi/arch-x86.ts';
import { FLAT_KERNEL_CS, FLAT_KERNEL_SS, RFLAGS, VMASST_TYPE } from '../../../abi/arch-x86/xen-x86_64.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import { Exit } from '../../../cpu/exits.ts';
import { type HookServices, resume, setSpace } from '../../../cpu/hooks.ts';
import { S } from '../../../cpu/index.ts';
import type { Fn } from '../../../cpu/wasm/code.ts';
import type { ModuleBuilder } from '../../../cpu/wasm/module.ts';
import { I32, ValType } from '../../../cpu/wasm/value.ts';
import { Gpr } from '../../processor.ts';
import { CLEARED_FLAGS } from '../bounce.ts';
import { Seg } from '../pv-vcpu.ts';
import { VcpuCode } from './vcpu-code.ts';

const { i32, i64 } = ValType;
export const NO_ERROR_CODE = -1;

export interface Entry {
  /**
   * (vcpu, words) → host address of a frame of so many words on the kernel's stack, or 0 when it is not simple; then
   * nothing has changed. With a frame the kernel's view is active and `enter` has to follow.
   */
  readonly frame: Fn<typeof i32>;
  /** (vcpu, frame, handler, mask events, error code or -1): fills the frame in and makes the handler the next instruction. */
  readonly enter: Fn<undefined>;
  /** (vcpu, instructions) → exit: the guest goes on at RIP, after the upcall if one is due. */
  readonly goOn: Fn<typeof i32>;
}

/** Words of a frame without and with an error code. */
export const words = (errorCode: boolean): number => (errorCode ? 8 : 7);

export function defineEntry(m: ModuleBuilder, services: HookServices): Entry {
  const frame = m.function('frame', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const bytes = c.param(i32, 1).shl(3);
    const v = new VcpuCode(c, vcpu, services);
    const kernel = c.let(v.word('kernelMode'));
    const sp = c.variable(i64, v.gpr(Gpr.rsp));
    c.if(kernel.eqz(), () => sp.set(v.address('kernelSp')));
    sp.set(sp.get.and(~0xfn));
    const bad = sp.get.ltS(0).and(sp.get.ltS(HYPERVISOR_VIRT_END + 64));
    const top = c.let(sp.get.sub(bytes.extendU()));
    const inPage = c.let(top.wrap().and(PAGE_SIZE - 1));
    c.if(bad.or(inPage.add(bytes).gtU(PAGE_SIZE)), () => c.return(I32.of(0)));
    // A fault here is not the guest's: what stands in the state about another one must stay.
    const vector = c.let(vcpu.load32(S.vector));
    const errorCode = c.let(vcpu.load32(S.errorCode));
    const hasErrorCode = c.let(vcpu.load32(S.hasErrorCode));
    const faultAddress = c.let(vcpu.load64(S.faultAddress));
    c.if(kernel.eqz(), () => setSpace(c, vcpu, 0));
    const host = c.let(c.call(services.writeSlow, vcpu, top, bytes));
    c.if(host.eqz(), () => {
      c.if(kernel.eqz(), () => setSpace(c, vcpu, 1));
      c.store32(vcpu, vector, S.vector);
      c.store32(vcpu, errorCode, S.errorCode);
      c.store32(vcpu, hasErrorCode, S.hasErrorCode);
      c.store64(vcpu, faultAddress, S.faultAddress);
    });
    c.return(host);
    c.unreachable();
  });

  const enter = m.function('enter', [i32, i32, i64, i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const at = c.param(i32, 1);
    const errorCode = c.param(i32, 4);
    const v = new VcpuCode(c, vcpu, services);
    const info = c.let(v.word('infoAt'));
    const masked = v.eventsMasked(info);
    c.if(c.param(i32, 3).and(masked.eqz()), () => c.store8(info, I32.of(1), VcpuInfo.at.evtchn_upcall_mask));
    const flags = c.let(c.call(services.readFlags, vcpu));
    const shown = c.variable(i32, flags.and(~(RFLAGS.IF | RFLAGS.IOPL)));
    c.if(masked.eqz(), () => shown.set(shown.get.or(RFLAGS.IF)));
    c.if(v.assisted(VMASST_TYPE.architectural_iopl), () => shown.set(shown.get.or(v.word('ioplRing').shl(12))));
    c.store64(at, v.gpr(Gpr.rcx));
    c.store64(at, v.gpr(Gpr.r11), 8);
    const sp = c.variable(i64, v.address('kernelSp'));
    const cs = c.variable(i32, v.selector(Seg.cs));
    const kernel = c.let(v.word('kernelMode'));
    c.if(kernel, () => {
      sp.set(v.gpr(Gpr.rsp));
      cs.set(cs.get.and(~3)); // shows the guest that its kernel was interrupted
    });
    const rest = c.variable(i32, at.add(16));
    const top = c.variable(i64, sp.get.and(~0xfn).sub(words(false) * 8));
    c.if(errorCode.ne(NO_ERROR_CODE), () => {
      c.store64(at, errorCode.extendU(), 16);
      rest.set(at.add(24));
      top.set(top.get.sub(8));
    });
    c.store64(rest.get, vcpu.load64(S.rip));
    c.store64(rest.get, cs.get.extendU().or(masked.extendU().shl(32)), 8);
    c.store64(rest.get, shown.get.extendU(), 16);
    c.store64(rest.get, v.gpr(Gpr.rsp), 24);
    c.store64(rest.get, v.selector(Seg.ss).extendU(), 32);
    v.setGpr(Gpr.rsp, top.get);
    c.store32(vcpu, vcpu.load32(S.flagsRest).and(~CLEARED_FLAGS), S.flagsRest);
    c.store64(vcpu, c.param(i64, 2), S.rip);
    v.setSelector(Seg.cs, FLAT_KERNEL_CS);
    v.setSelector(Seg.ss, FLAT_KERNEL_SS);
    c.if(kernel.eqz(), () => v.toggleMode('kernel'));
  });

  const goOn = m.function('goOn', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const v = new VcpuCode(c, vcpu, services);
    const info = c.let(v.word('infoAt'));
    c.if(info, () => {
      // The order of Vcpu.eventsDeliverable: pending first.
      c.if(info.atomicLoad8(VcpuInfo.at.evtchn_upcall_pending), () => {
        c.if(info.load8U(VcpuInfo.at.evtchn_upcall_mask).eqz(), () => {
          // What is not simple is left to the vCPU's loop, which delivers before it runs the guest.
          const handler = c.let(v.address('eventCallback'));
          c.if(handler.eqz(), () => c.return(I32.of(Exit.Interrupt)));
          const at = c.let(c.call(frame, vcpu, I32.of(words(false))));
          c.if(at.eqz(), () => c.return(I32.of(Exit.Interrupt)));
          c.do(enter, vcpu, at, handler, I32.of(1), I32.of(NO_ERROR_CODE));
        });
      });
    });
    resume(c, services, vcpu, vcpu.load64(S.rip), c.param(i32, 1));
    c.unreachable();
  });

  return { frame, enter, goOn };
}
