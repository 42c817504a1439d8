/** The structures of a vCPU as the generated transitions see them. Everything lies at a fixed distance from the processor's region. */
import { VcpuInfo } from '../../../abi/arch-x86.ts';
import type { HookServices } from '../../../cpu/hooks.ts';
import { setSpace } from '../../../cpu/hooks.ts';
import { S } from '../../../cpu/index.ts';
import type { Code } from '../../../cpu/wasm/code.ts';
import { I32, type I64 } from '../../../cpu/wasm/value.ts';
import { DOMAIN_AT, vcpuBlock } from '../../domain-memory.ts';
import { DomainState, VcpuState } from '../../state.ts';
import { type AddressField, PvVcpuState, type WordField } from '../pv-state.ts';
import { Seg } from '../pv-vcpu.ts';

type VcpuWord = 'kernelMode' | 'infoAt' | 'ioplRing';

/** One function's view. Values are expressions: `let` what is used twice. */
export class VcpuCode {
  readonly c: Code;
  /** The processor's region: what its handlers get. */
  readonly vcpu: I32;
  readonly services: HookServices;
  readonly #block: I32;

  constructor(c: Code, vcpu: I32, services: HookServices) {
    this.c = c;
    this.vcpu = vcpu;
    this.services = services;
    this.#block = c.let(vcpu.sub(vcpuBlock.processor));
  }

  // --- the hypervisor's words -------------------------------------------------------------------------------------

  word(field: VcpuWord): I32 {
    return this.#block.load32(vcpuBlock.state + VcpuState.at[field]);
  }

  setWord(field: VcpuWord, value: I32 | number): void {
    this.c.store32(this.#block, I32.from(value), vcpuBlock.state + VcpuState.at[field]);
  }

  pvWord(field: WordField): I32 {
    return this.#block.load32(vcpuBlock.pv + PvVcpuState.at[field]);
  }

  setPvWord(field: WordField, value: I32 | number): void {
    this.c.store32(this.#block, I32.from(value), vcpuBlock.pv + PvVcpuState.at[field]);
  }

  address(field: AddressField): I64 {
    return this.#block.loadF64(vcpuBlock.pv + PvVcpuState.at[field]).toI64S();
  }

  setAddress(field: AddressField, value: I64): void {
    this.c.store64(this.#block, value.toF64S().asI64(), vcpuBlock.pv + PvVcpuState.at[field]);
  }

  /** The trap table begins at this offset from the result. */
  trapTable(): { readonly at: I32; readonly offset: number } {
    return { at: this.#block, offset: vcpuBlock.pv + PvVcpuState.at.trapTable };
  }

  /** Whether a VMASST_TYPE is on: not zero. */
  assisted(type: number): I32 {
    return I32.of(DOMAIN_AT)
      .load32(DomainState.at.vmAssist)
      .and(1 << type);
  }

  // --- vcpu_info --------------------------------------------------------------------------------------------------

  /** 0 or 1; without a vcpu_info events are masked. */
  eventsMasked(info: I32): I32 {
    const masked = this.c.variable(info.type, I32.of(1));
    this.c.if(info, () => masked.set(info.load8U(VcpuInfo.at.evtchn_upcall_mask).ne(0)));
    return masked.get;
  }

  // --- registers --------------------------------------------------------------------------------------------------

  gpr(n: number): I64 {
    return this.vcpu.load64(S.gpr + n * 8);
  }

  setGpr(n: number, value: I64): void {
    this.c.store64(this.vcpu, value, S.gpr + n * 8);
  }

  selector(segment: number): I32 {
    return this.vcpu.load16U(S.selector + segment * 2);
  }

  setSelector(segment: number, value: I32 | number): void {
    this.c.store16(this.vcpu, I32.from(value), S.selector + segment * 2);
  }

  /** toggle_guest_mode, once the view's own conditions were looked at: `PvVcpu.toggleMode`. */
  toggleMode(to: 'kernel' | 'user'): void {
    const { c, vcpu } = this;
    const gs = S.segmentBase + Seg.gs * 8;
    const inactive = c.let(this.address('gsInactive'));
    this.setAddress('gsInactive', vcpu.load64(gs));
    c.store64(vcpu, inactive, gs);
    this.setWord('kernelMode', to === 'kernel' ? 1 : 0);
    setSpace(c, vcpu, to === 'kernel' ? 0 : 1);
  }
}

export const notCanonical = (va: I64): I32 => va.shl(16).shrS(16).ne(va);
