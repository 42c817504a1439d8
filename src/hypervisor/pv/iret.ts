/**
 * HYPERVISOR_iret: the way back from every entry into the guest's kernel. After xen/arch/x86/pv/iret.c. The frame at RSP
 * is struct iret_context; nothing but it decides where the guest goes on.
 */
import { FLAT_KERNEL_CS, IretContext, RFLAGS, VMASST_TYPE } from '../../abi/arch-x86/xen-x86_64.ts';
import { VGCF_in_syscall } from '../../abi/arch-x86.ts';
import { Vector } from '../../cpu/exits.ts';
import { Gpr } from '../processor.ts';
import type { Bounce } from './bounce.ts';
import type { DescriptorReader } from './descriptors.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { Seg, addressOkay } from './pv-vcpu.ts';

const at = IretContext.at;
const SIZE = IretContext.size;
export const RFLAGS_RESERVED_1 = 2;
/** What IRET loads at CPL 3 (SDM Vol. 1, "EFLAGS Register"): CF PF AF ZF SF TF DF OF NT RF AC ID. */
export const LOADABLE = 0x00254dd5;

export class Iret {
  readonly #pv: PvVcpu;
  readonly #bounce: Bounce;
  readonly #descriptors: DescriptorReader;
  readonly #frame = new Int32Array(SIZE / 4);

  constructor(pv: PvVcpu, bounce: Bounce, descriptors: DescriptorReader) {
    this.#pv = pv;
    this.#bounce = bounce;
    this.#descriptors = descriptors;
  }

  run(): void {
    const { vcpu, cpu, domain, state } = this.#pv;
    const frame = this.#frame;
    if (!this.#readFrame()) {
      vcpu.glue.log('guestError', `d${domain.domid}v${vcpu.id} Fault while reading IRET context from guest stack`);
      vcpu.crash('domain_crash called from arch/x86/pv/iret.c');
      return;
    }
    const cs = word(frame, at.cs) & 0xffff;
    const rflags = word(frame, at.rflags);
    const flags = word(frame, at.flags);
    if ((cs & 3) === 3) {
      if (state.word('userCr3') === 0) {
        vcpu.glue.log(
          'guestError',
          `d${domain.domid}v${vcpu.id} Guest switching to user mode with no user page tables`,
        );
        vcpu.crash('domain_crash called from arch/x86/pv/iret.c');
        return;
      }
      this.#pv.toggleMode();
    }
    if ((domain.get('vmAssist') & (1 << VMASST_TYPE.architectural_iopl)) !== 0)
      vcpu.set('ioplRing', (rflags & RFLAGS.IOPL) >>> 12);
    if ((flags & VGCF_in_syscall) === 0) {
      cpu.setLoHi(Gpr.r11, word(frame, at.r11) >>> 0, word(frame, at.r11 + 4) >>> 0);
      cpu.setLoHi(Gpr.rcx, word(frame, at.rcx) >>> 0, word(frame, at.rcx + 4) >>> 0);
    } else {
      // Left as SYSRET leaves them: the target and its flags.
      cpu.setLoHi(Gpr.rcx, word(frame, at.rip) >>> 0, word(frame, at.rip + 4) >>> 0);
      cpu.setLoHi(Gpr.r11, ((rflags & ~(RFLAGS.IOPL | RFLAGS.VM)) | RFLAGS.IF) >>> 0, 0);
    }
    cpu.setLoHi(Gpr.rax, word(frame, at.rax) >>> 0, word(frame, at.rax + 4) >>> 0);
    cpu.setLoHi(Gpr.rsp, word(frame, at.rsp) >>> 0, word(frame, at.rsp + 4) >>> 0);
    cpu.rip = word(frame, at.rip + 4) * 0x1_0000_0000 + (word(frame, at.rip) >>> 0);
    cpu.rflags = (rflags & LOADABLE) | RFLAGS.IF | RFLAGS_RESERVED_1;
    const unmasked = (rflags & RFLAGS.IF) !== 0;
    if (vcpu.upcallMask === unmasked) vcpu.upcallMask = !unmasked;
    state.setWord('nmiMasked', 0);
    this.#loadSegments(cs | 3, (word(frame, at.ss) & 0xffff) | 3);
  }

  /** CS and SS as IRETQ loads them; a selector that cannot be gives the guest a fault at the target. */
  #loadSegments(cs: number, ss: number): void {
    const { cpu } = this.#pv;
    const descriptors = this.#descriptors;
    let long64 = true;
    if (cs !== FLAT_KERNEL_CS) {
      if (!descriptors.read(cs) || !descriptors.isPresentCode) {
        this.#pv.enterKernelSegments();
        this.#bounce.exception(Vector.GP, cs & ~3);
        return;
      }
      long64 = descriptors.is64Bit;
    }
    cpu.setSelector(Seg.cs, cs);
    cpu.setSelector(Seg.ss, ss);
    cpu.long64 = long64;
    if (!long64) {
      cpu.rip = cpu.rip >>> 0;
      cpu.setLoHi(Gpr.rsp, cpu.lo(Gpr.rsp), 0);
    }
  }

  #readFrame(): boolean {
    const { processor, cpu, domain } = this.#pv;
    const rsp = cpu.num(Gpr.rsp);
    if (!addressOkay(rsp) || !addressOkay(rsp + SIZE)) return false;
    const frame = this.#frame;
    const { i32 } = domain;
    // Whole words of one page at a time; RSP need not be aligned, though every guest has it so.
    if ((rsp & 7) === 0) {
      const inFirst = Math.min(SIZE, 4096 - (rsp & 4095)) >>> 2;
      const first = processor.translate(rsp, 'read');
      if (first === 0) return false;
      for (let i = 0; i < inFirst; i++) frame[i] = i32[(first >>> 2) + i] ?? 0;
      if (inFirst === SIZE >>> 2) return true;
      const second = processor.translate(rsp + inFirst * 4, 'read');
      if (second === 0) return false;
      for (let i = inFirst; i < SIZE >>> 2; i++) frame[i] = i32[(second >>> 2) + i - inFirst] ?? 0;
      return true;
    }
    const view = this.#pv.vcpu.guest.view(rsp, SIZE);
    if (view === undefined) return false;
    for (let i = 0; i < SIZE >>> 2; i++) frame[i] = view.getInt32(i * 4, true);
    return true;
  }
}

function word(frame: Int32Array, offset: number): number {
  return frame[offset >>> 2] ?? 0;
}
