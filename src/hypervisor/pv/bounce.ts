/**
 * Entries into the guest's kernel: exceptions, interrupts, system calls and upcalls all push the same kind of frame.
 * After create_bounce_frame in xen/arch/x86/x86_64/entry.S. From the new stack pointer up:
 *
 *   RCX · R11 · [error code] · RIP · CS, with the saved upcall mask in bits 39:32 · RFLAGS · RSP · SS
 */
import { HYPERVISOR_VIRT_END } from '../../abi/arch-x86.ts';
import { RFLAGS, TI_IF } from '../../abi/arch-x86/xen-x86_64.ts';
import { VMASST_TYPE } from '../../abi/arch-x86/xen-x86_64.ts';
import { Vector } from '../../cpu/exits.ts';
import { VcpuInfo } from '../../abi/arch-x86.ts';
import { hexAddress, loOf, hiOf } from '../../abi/numbers.ts';
import { Gpr } from '../processor.ts';
import type { PvVcpu } from './pv-vcpu.ts';
import { Seg } from './pv-vcpu.ts';

/** Vectors whose frame has an error code: #DF #TS #NP #SS #GP #PF #AC #CP. */
const HAS_ERROR_CODE = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17) | (1 << 21);
export const hasErrorCode = (vector: number): boolean => vector < 32 && ((HAS_ERROR_CODE >>> vector) & 1) !== 0;

/** Page-fault error code bit 2: the access was made in user mode. */
export const PFEC_user_mode = 4;
/** What every entry clears. */
export const CLEARED_FLAGS = RFLAGS.AC | RFLAGS.VM | RFLAGS.RF | RFLAGS.NT | RFLAGS.TF;
const NO_ERROR_CODE = -1;
const WORDS = 7;

export class Bounce {
  readonly #pv: PvVcpu;
  /** Where the frame's words go when it lies in two pages, and how many of them belong to the first. */
  #secondPage = 0;
  #split = 0;

  constructor(pv: PvVcpu) {
    this.#pv = pv;
  }

  /** An exception of the guest's own: pv_inject_event. RIP is where its handler is to return to. */
  exception(vector: number, errorCode: number): void {
    const { state } = this.#pv;
    const handler = state.trapHandler(vector);
    const mask = (state.trapFlags(vector) & TI_IF) !== 0;
    if (handler === 0) this.#unhandled(vector, errorCode);
    this.enter(handler, mask, hasErrorCode(vector) ? errorCode : NO_ERROR_CODE);
  }

  pageFault(va: number, errorCode: number): void {
    const { state, vcpu, domain } = this.#pv;
    state.setAddress('cr2', va);
    const info = vcpu.infoAt;
    if (info !== 0) {
      const index = (info + VcpuInfo.at.cr2) >>> 2;
      domain.i32[index] = va | 0;
      domain.i32[index + 1] = Math.floor(va / 0x1_0000_0000);
    }
    // The processor runs everything at CPL 3: the guest is to see its own two modes.
    this.exception(Vector.PF, vcpu.kernelMode ? errorCode & ~PFEC_user_mode : errorCode | PFEC_user_mode);
  }

  /** `int n` that the trap table permits. */
  softwareInterrupt(vector: number): void {
    const { state } = this.#pv;
    this.enter(state.trapHandler(vector), (state.trapFlags(vector) & TI_IF) !== 0, NO_ERROR_CODE);
  }

  upcall(): void {
    this.enter(this.#pv.state.address('eventCallback'), true, NO_ERROR_CODE);
  }

  /** Pushes the frame for what the registers hold now and makes `handler` the next instruction. */
  enter(handler: number, maskEvents: boolean, errorCode: number): void {
    const { vcpu, cpu, domain, state } = this.#pv;
    let cs = cpu.selector(Seg.cs);
    let sp: number;
    if (vcpu.kernelMode) {
      sp = cpu.num(Gpr.rsp);
      cs &= ~3; // shows the guest that its kernel was interrupted
    } else {
      this.#pv.toggleMode();
      sp = state.address('kernelSp');
    }
    sp -= sp & 15;
    if (handler === 0) return this.#crash('create_bounce_frame: no handler', handler);
    if (sp < HYPERVISOR_VIRT_END + 64 && sp < 0) return this.#crash('create_bounce_frame: bad stack', sp);
    const words = errorCode === NO_ERROR_CODE ? WORDS : WORDS + 1;
    const top = sp - words * 8;
    const at = this.#frameAt(top, words);
    if (at === 0) return this.#crash('create_bounce_frame: fault on the stack', top);

    const masked = vcpu.upcallMask;
    if (maskEvents && !masked) vcpu.upcallMask = true;
    const flags = cpu.rflags;
    let shown = flags & ~(RFLAGS.IF | RFLAGS.IOPL);
    if (!masked) shown |= RFLAGS.IF;
    if ((domain.get('vmAssist') & (1 << VMASST_TYPE.architectural_iopl)) !== 0) shown |= vcpu.get('ioplRing') << 12;
    const rip = cpu.rip;
    const e = errorCode === NO_ERROR_CODE ? 2 : 3;
    if (this.#split >= words) {
      const { i32 } = domain;
      const w = at >>> 2;
      i32[w] = cpu.lo(Gpr.rcx);
      i32[w + 1] = cpu.hi(Gpr.rcx);
      i32[w + 2] = cpu.lo(Gpr.r11);
      i32[w + 3] = cpu.hi(Gpr.r11);
      if (e === 3) {
        i32[w + 4] = errorCode;
        i32[w + 5] = 0;
      }
      const r = w + e * 2;
      i32[r] = rip | 0;
      i32[r + 1] = Math.floor(rip / 0x1_0000_0000);
      i32[r + 2] = cs;
      i32[r + 3] = masked ? 1 : 0;
      i32[r + 4] = shown;
      i32[r + 5] = 0;
      i32[r + 6] = cpu.lo(Gpr.rsp);
      i32[r + 7] = cpu.hi(Gpr.rsp);
      i32[r + 8] = cpu.selector(Seg.ss);
      i32[r + 9] = 0;
      this.#written(at, words * 8);
    } else {
      this.#store(at, 0, cpu.lo(Gpr.rcx), cpu.hi(Gpr.rcx));
      this.#store(at, 1, cpu.lo(Gpr.r11), cpu.hi(Gpr.r11));
      if (e === 3) this.#store(at, 2, errorCode, 0);
      this.#store(at, e, loOf(rip), hiOf(rip));
      this.#store(at, e + 1, cs, masked ? 1 : 0);
      this.#store(at, e + 2, shown, 0);
      this.#store(at, e + 3, cpu.lo(Gpr.rsp), cpu.hi(Gpr.rsp));
      this.#store(at, e + 4, cpu.selector(Seg.ss), 0);
      this.#written(at, this.#split * 8);
      this.#written(this.#secondPage, (words - this.#split) * 8);
    }
    cpu.set(Gpr.rsp, top);
    cpu.rflags = flags & ~CLEARED_FLAGS;
    cpu.rip = handler;
    this.#pv.enterKernelSegments();
  }

  /** Host address of the frame's first word, with the second page's in `#secondPage` when there is one. 0: a fault. */
  #frameAt(top: number, words: number): number {
    const { processor } = this.#pv;
    const offset = top & 4095;
    this.#split = Math.min(words, (4096 - offset) >>> 3);
    const at = processor.translate(top, 'write');
    if (at === 0 || this.#split === words) return at;
    this.#secondPage = processor.translate(top + this.#split * 8, 'write');
    return this.#secondPage === 0 ? 0 : at;
  }

  #store(at: number, word: number, lo: number, hi: number): void {
    const { i32 } = this.#pv.domain;
    const to = word < this.#split ? at + word * 8 : this.#secondPage + (word - this.#split) * 8;
    i32[to >>> 2] = lo;
    i32[(to >>> 2) + 1] = hi;
  }

  #written(at: number, length: number): void {
    const offset = at - this.#pv.domain.layout.framesAt;
    this.#pv.processor.frameWritten(Math.floor(offset / 4096), offset & 4095, length);
  }

  #crash(what: string, address: number): void {
    this.#pv.vcpu.crash(`domain_crash_sync called from entry.S: fault at ${hexAddress(address)} ${what}`);
  }

  #unhandled(vector: number, errorCode: number): void {
    const { vcpu } = this.#pv;
    const code = (errorCode < 0 ? 0 : errorCode).toString(16).padStart(4, '0');
    vcpu.glue.log(
      'guestError',
      `d${vcpu.domain.domid}v${vcpu.id} Unhandled: vec ${vector}, ${vectorName(vector)}[${code}]`,
    );
  }
}

const vectorNames = '#DE #DB NMI #BP #OF #BR #UD #NM #DF ??? #TS #NP #SS #GP #PF SPV #MF #AC #MC #XM #VE #CP'.split(
  ' ',
);

function vectorName(vector: number): string {
  return vectorNames[vector] ?? '???';
}
