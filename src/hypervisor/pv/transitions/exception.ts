/** Exceptions that are the guest's own affair: page faults, and #NM. The rest, and stores into page tables, is exits.ts's. */
import { TrapInfo, VcpuInfo } from '../../../abi/arch-x86.ts';
import { TI_IF, VMASST_TYPE } from '../../../abi/arch-x86/xen-x86_64.ts';
import { Exit, Vector } from '../../../cpu/exits.ts';
import { type HookServices, hookType } from '../../../cpu/hooks.ts';
import { Mode, S } from '../../../cpu/index.ts';
import type { Fn } from '../../../cpu/wasm/code.ts';
import type { ModuleBuilder } from '../../../cpu/wasm/module.ts';
import { I32, type I64, ValType } from '../../../cpu/wasm/value.ts';
import { PFEC_user_mode } from '../bounce.ts';
import { PFEC } from '../writable-page-tables.ts';
import { type Entry, NO_ERROR_CODE, words } from './entry.ts';
import { notCanonical, VcpuCode } from './vcpu-code.ts';

const { i32 } = ValType;
/** Exceptions are counted as one instruction: how many came before in the block is not known. */
const INSTRUCTIONS = 1;
const STORE_BITS = PFEC.present | PFEC.write | PFEC.reserved | PFEC.fetch;

export function defineException(m: ModuleBuilder, services: HookServices, entry: Entry): Fn {
  const refuse = I32.of(Exit.Exception);

  return m.function('exception', hookType.params, hookType.result, (c) => {
    const vcpu = c.param(i32, 0);
    const v = new VcpuCode(c, vcpu, services);
    const refuseIf = (condition: I32): void => c.if(condition, () => c.return(refuse));
    const handlerOf = (vector: number): I64 => {
      const table = v.trapTable();
      const handler = c.let(table.at.load64(table.offset + vector * TrapInfo.size + TrapInfo.at.address));
      refuseIf(handler.eqz().or(notCanonical(handler)));
      return handler;
    };
    const masks = (vector: number): I32 => {
      const table = v.trapTable();
      return table.at
        .load8U(table.offset + vector * TrapInfo.size + TrapInfo.at.flags)
        .and(TI_IF)
        .ne(0);
    };
    const frame = (errorCode: boolean): I32 => {
      const at = c.let(c.call(entry.frame, vcpu, I32.of(words(errorCode))));
      refuseIf(at.eqz());
      return at;
    };
    refuseIf(vcpu.load32(S.mode).ne(Mode.long64));
    const vector = c.let(vcpu.load32(S.vector));
    c.if(vector.eq(Vector.PF), () => {
      const kernel = c.let(v.word('kernelMode'));
      const errorCode = c.let(vcpu.load32(S.errorCode));
      const isStore = errorCode.and(STORE_BITS).eq(PFEC.present | PFEC.write);
      // It may be one into a page table.
      refuseIf(kernel.and(isStore).and(v.assisted(VMASST_TYPE.writable_pagetables).ne(0)));
      const handler = handlerOf(Vector.PF);
      const at = frame(true);
      const va = c.let(vcpu.load64(S.faultAddress));
      v.setAddress('cr2', va);
      const info = c.let(v.word('infoAt'));
      c.if(info, () => c.store64(info, va, VcpuInfo.at.cr2));
      // The processor runs everything at CPL 3: the guest is to see its own two modes.
      const seen = kernel.select(errorCode.and(~PFEC_user_mode), errorCode.or(PFEC_user_mode));
      c.do(entry.enter, vcpu, at, handler, masks(Vector.PF), seen);
      c.returnCall(entry.goOn, vcpu, I32.of(INSTRUCTIONS));
    });
    c.if(vector.eq(Vector.NM), () => {
      const handler = handlerOf(Vector.NM);
      c.do(entry.enter, vcpu, frame(false), handler, masks(Vector.NM), I32.of(NO_ERROR_CODE));
      // Delivered once: Xen clears the virtual TS itself.
      c.store32(vcpu, I32.of(0), S.taskSwitched);
      c.returnCall(entry.goOn, vcpu, I32.of(INSTRUCTIONS));
    });
    c.return(refuse);
    c.unreachable();
  });
}
