/**
 * What the hypervisor needs of a processor. src/cpu satisfies it; tests hand in a processor that follows a script.
 */
import type { HostAddress, Mfn, Vaddr } from '../abi/numbers.ts';
import type { TableChanges } from '../cpu/address-spaces.ts';

export type Access = 'read' | 'write' | 'execute';

export interface Processor {
  readonly state: CpuState;
  /** Runs about `budget` instructions; returns an `Exit`. */
  run(budget: number): number;
  step(): number;
  /** `before` is called when the instruction is known, with the bytes that it stores at most. */
  stepWithWritableFrame(mfn: Mfn, before?: (bytes: number) => void): number;
  /** 0: kernel view, U/S ignored. 1: user view, U/S enforced. Each has its own root and TLB set. */
  setSpace(index: 0 | 1): void;
  /** Translations that it had with these tables are used again, as far as `tables` knows them to be right. */
  setRoot(index: 0 | 1, mfn: Mfn, tables?: TableChanges): void;
  /** Drops the translations that changes of page tables have made wrong. */
  refreshTlb(tables: TableChanges): void;
  flushTlb(): void;
  flushPage(va: Vaddr): void;
  /** Host address of a guest byte in the kernel view, 0 when the access would fault (details in `state`). */
  translate(va: Vaddr, access: Access): HostAddress;
  copyFromGuest(va: Vaddr, length: number): Uint8Array | undefined;
  copyToGuest(va: Vaddr, bytes: Uint8Array): boolean;
  /** Functions that run in the place of exits (src/cpu/hooks.ts); a processor without generated code has none. */
  installHooks?(module: WebAssembly.Module): void;
  /** To be called after any write into a frame that may hold code. */
  frameWritten(mfn: Mfn, offset: number, length: number): void;
  /** Several processors of a memory, see src/cpu/siblings.ts: others wrote these bytes … */
  codeChanged(host: HostAddress, length: number): void;
  /** … or decoded from pages that none of them had decoded from before. */
  yieldHeld(): void;
}

export interface CpuState {
  /** Register halves by x86 number: rax 0, rcx 1, rdx 2, rbx 3, rsp 4, rbp 5, rsi 6, rdi 7, r8 … r15. */
  lo(gpr: number): number;
  hi(gpr: number): number;
  num(gpr: number): number;
  set(gpr: number, value: number): void;
  setLoHi(gpr: number, lo: number, hi: number): void;
  rip: Vaddr;
  rflags: number;
  selector(segment: number): number;
  setSelector(segment: number, value: number): void;
  fsBase: Vaddr;
  gsBase: Vaddr;
  long64: boolean;
  readonly vector: number;
  readonly errorCode: number;
  readonly hasErrorCode: boolean;
  faultAddress: Vaddr;
  readonly instructionsRetired: number;
  /** PAUSE instructions executed, modulo 2^32. */
  readonly pauses: number;
  /** Bytes of the instruction that caused the exit. */
  readonly instructionLength: number;
  /** Operands of a privileged exit: src/cpu/exits.ts, Privileged, says which. */
  detail(index: number): number;
  /** CR0.TS: the next x87, MMX or SSE instruction raises #NM. */
  taskSwitched: boolean;
  /** CR4.FSGSBASE: RDFSBASE and its kin do not raise #UD. */
  fsGsBaseEnabled: boolean;
  /** What RDTSCP and RDPID give. */
  tscAux: number;
  /** Limit of the GDT in bytes, inclusive, and the host address of each of its 16 pages (0: reads as not present). */
  gdtLimit: number;
  setGdtPage(page: number, at: HostAddress): void;
  /** Linear base and inclusive limit of the LDT; `ldtLimit` -1: none. */
  ldtBase: Vaddr;
  ldtLimit: number;
  saveFpu(view: DataView, at: number): void;
  loadFpu(view: DataView, at: number): void;
}

/** How the memory of a processor fits into a vCPU's block. */
export interface ProcessorShape {
  /** Bytes of the CPU region of a domain with so many frames, a multiple of 4 KiB. */
  readonly regionSize: (frameCount: number) => number;
  /** Offset in the region of the word that makes `run` return soon once it is not zero. */
  readonly exitRequest: number;
  /** Offset in the region of 8 bytes for each frame that are zero while no code of the frame is decoded. */
  readonly codeMask: number;
  /** From and up to which offset what is decoded lies, multiples of 4 KiB, when a processor can go on with that in a copy of the memory. */
  readonly decoded?: readonly [from: number, end: number];
  /** Offset of the f64 that counts instructions executed. */
  readonly retired: number;
  /** Offset of what src/cpu/profile.ts writes; absent when the processor keeps no profile. */
  readonly profile?: number;
}

export const Gpr = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;
