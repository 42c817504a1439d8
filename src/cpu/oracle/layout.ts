/**
 * Where a test case lives, for the native harness and for our processor alike: code, a few data pages at fixed linear addresses, and the layout of a
 * machine state in bytes. The harness learns the regions from the head of the stream; the state layout is `struct state` in harness.c.
 */

/** Two executable, writable pages; what lies around them is not mapped. Code usually starts in the middle, so that branches have room. */
export const CODE = { at: 0x1000_0000, size: 0x2000, start: 0x1000_0800 } as const;

export interface Region {
  readonly name: string;
  readonly at: number;
  readonly size: number;
  readonly writable: boolean;
  /** Place of the region's bytes in the memory image. */
  readonly image: number;
}

/** The data regions. All are separated by unmapped pages, except that `edge` is followed by the read-only page. */
export const REGIONS = [
  { name: 'data', at: 0x2000_0000, size: 0x2000, writable: true, image: 0 },
  { name: 'edge', at: 0x2000_3000, size: 0x1000, writable: true, image: 0x2000 },
  { name: 'readOnly', at: 0x2000_4000, size: 0x1000, writable: false, image: 0x3000 },
  { name: 'stack', at: 0x3000_0000, size: 0x2000, writable: true, image: 0x4000 },
  // Bit 31 set: found only with zero-extended 32-bit addresses or full 64-bit ones.
  { name: 'upper', at: 0x9000_0000, size: 0x1000, writable: true, image: 0x6000 },
  // Beyond 4 GiB, with the low half of `data`: an address computed in 32 bits finds the wrong page.
  { name: 'high', at: 0x5000_2000_0000, size: 0x1000, writable: true, image: 0x7000 },
] as const satisfies readonly Region[];

export const IMAGE_SIZE = 0x8000;
export const STACK_TOP = 0x3000_1000;

export function regionAt(va: number): Region | undefined {
  return REGIONS.find((r) => va >= r.at && va < r.at + r.size);
}

/** Byte of the image behind a linear address, or undefined. */
export function imageOffset(va: number): number | undefined {
  const region = regionAt(va);
  return region && region.image + (va - region.at);
}

export function addressOfImage(offset: number): number {
  const region = REGIONS.find((r: Region) => offset >= r.image && offset < r.image + r.size);
  if (!region) throw new RangeError(`image offset ${offset}`);
  return region.at + (offset - region.image);
}

/** `struct state` of harness.c. */
export const StateAt = {
  gpr: 0,
  rflags: 128,
  rip: 136,
  fsBase: 144,
  gsBase: 152,
  selector: 160, // 8 × u16: es cs ss ds fs gs
  fx: 176,
} as const;
export const STATE_SIZE = 688;

/** FXSAVE image (SDM Vol. 1, "FXSAVE Area"), 64-bit layout. */
export const FxAt = {
  control: 0,
  status: 2,
  tags: 4, // abridged: bit n set when R_n is not empty
  opcode: 6,
  ip: 8,
  dp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32, // 8 × 16: ST(0)…ST(7), ten bytes each
  xmm: 160, // 16 × 16
  end: 416,
} as const;

export const Mode = { long64: 0, compat32: 1 } as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

export const GPR_NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;

/** Selectors of the harness's system (Linux), which our side imitates with a descriptor table of its own. */
export const Selector = { compat32: 0x23, data: 0x2b, long64: 0x33 } as const;

/** The bytes every case finds in memory unless it patches them: the same pseudo-random ones on every run. */
export function pristineImage(): Uint8Array {
  const words = new Uint32Array(IMAGE_SIZE / 4);
  let x = 0x9e37_79b9;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer);
}
