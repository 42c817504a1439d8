/** Why `run` came back. */
export const Exit = {
  /** No decoded operation at RIP: for the processor's own use, never seen outside. */
  Decode: 0,
  /** A fault or trap: vector, error code and fault address are in the state. RIP is at the instruction for faults, after it for #BP and #OF. */
  Exception: 1,
  /** SYSCALL; RIP is after it, RCX and R11 are untouched. */
  Syscall: 2,
  /** SYSENTER; RIP is after it. */
  Sysenter: 3,
  /** INT n; RIP is after it, vector in the state. */
  SoftwareInterrupt: 4,
  /** An instruction that CPL 3 may not execute; RIP is at it, what it is stands in the details. */
  Privileged: 5,
  /** CPUID; RIP is at it (2 bytes). */
  Cpuid: 6,
  /** `exitRequest` was seen. */
  Interrupt: 7,
  /** The instruction budget is used up. */
  Budget: 8,
  /** An instruction that loads a segment register or changes CS: completed by segmentation.ts, never seen outside. */
  Segment: 9,
  /** A translated region met what it leaves to a single step of the interpreter: for the processor's own use. RIP is at the instruction. */
  Step: 10,
  /** A translated region is to be checked against the interpreter first: for the processor's own use. RIP is at its entry. */
  Check: 11,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** What a privileged exit is about: `detail[0]`. The other details are given with each. */
export const Privileged = {
  in: 1, // detail[1] bits, detail[2] port
  out: 2, // detail[1] bits, detail[2] port; value in rAX
  ins: 3,
  outs: 4,
  cli: 5,
  sti: 6,
  hlt: 7,
  rdmsr: 8,
  wrmsr: 9,
  movFromCr: 10, // detail[1] general register, detail[2] control register
  movToCr: 11,
  movFromDr: 12,
  movToDr: 13,
  clts: 14,
  invlpg: 15, // fault address = the linear address
  wbinvd: 16,
  xsetbv: 17,
  lgdt: 18,
  lidt: 19,
  lldt: 20,
  ltr: 21,
  lmsw: 22,
  swapgs: 23,
  sysret: 24,
  sysexit: 25,
  rdpmc: 26,
  invd: 27,
  clac: 28,
  stac: 29,
  monitor: 30,
  mwait: 31,
  vmcall: 32,
  vmmcall: 33,
} as const;
export type Privileged = (typeof Privileged)[keyof typeof Privileged];

/** Exception vectors (SDM Vol. 3A, "Exception and Interrupt Vectors"). */
export const Vector = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
} as const;
export type Vector = (typeof Vector)[keyof typeof Vector];
