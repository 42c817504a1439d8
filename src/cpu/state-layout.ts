/**
 * Where the processor keeps things, as byte offsets from the vCPU's base address in the domain's memory. Interpreter, translator and the JavaScript
 * around them all use these names. Registers are slots of 8 bytes so that an operation names any of them by its offset.
 */
export const S = {
  gpr: 0x000, // 16 × 8: rax rcx rdx rbx rsp rbp rsi rdi r8…r15 (numbers of SDM Vol. 2A, "ModR/M and SIB Bytes")
  zero: 0x080, // always 0: stands for an absent base, index or segment base
  rip: 0x088, // linear address; current only while the vCPU is out of `run`
  pageVa: 0x090, // linear address of the page the current operation lies in
  flagResult: 0x098, // lazy status flags, see flags.ts
  flagAux: 0x0a0,
  flagsRest: 0x0a4, // RFLAGS without the six status flags
  ea: 0x0a8, // effective address computed by a separate operation (32-bit and 16-bit addressing)
  segmentBase: 0x0b0, // 6 × 8: es cs ss ds fs gs
  selector: 0x0e0, // 6 × 2
  ldtSelector: 0x0ec,
  mode: 0x0f0, // Mode
  space: 0x0f4, // 0 kernel view, 1 user view
  tlb: 0x0f8, // host address of the active TLB set
  jumpCache: 0x0fc, // host address of the active jump cache
  root: 0x100, // 2 × 4: host address of each space's top page table, 0 = none
  framesAt: 0x108, // host address of frame 0
  frameCount: 0x10c,
  codeMaskAt: 0x110, // host address of the 8 bytes per frame that tell which 64-byte pieces hold decoded code
  writableFrame: 0x114, // frame that may be written although its mapping is read-only, or -1
  exitRequest: 0x118, // non-zero: leave `run` soon; written by any thread
  budget: 0x11c, // instructions left
  length: 0x120, // bytes of the instruction that made an exit
  vector: 0x124,
  errorCode: 0x128,
  hasErrorCode: 0x12c,
  faultAddress: 0x130,
  detail: 0x138, // 8 × 4: operands of a privileged instruction or other exit
  crossing: 0x158, // host addresses of the two pieces of a page-crossing write, bytes in the first, bytes in all
  taskSwitched: 0x168, // CR0.TS: x87/SSE instructions raise #NM
  tscOffset: 0x170,
  mxcsr: 0x178,
  gdtLimit: 0x17c,
  gdtFrames: 0x180, // 16 × 4: host addresses of the GDT's pages, 0 = none
  ldtBase: 0x1c0, // linear
  ldtLimit: 0x1c8,
  fsGsBaseEnabled: 0x1cc,
  tscAux: 0x1d0,
  pauses: 0x1d4, // PAUSE instructions executed, modulo 2^32
  mxcsrPending: 0x1d8, // exceptions found by the SSE instruction that runs, not yet in MXCSR; 0 between instructions
  retired: 0x1e0, // f64: instructions executed since power-on
  hookSyscall: 0x1e8, // table index of what runs in the place of an exit (hooks.ts), 0 = none
  hookException: 0x1ec,
  jumpKey: 0x1f0, // the active jump cache's generation, see JumpCache
  xmm: 0x200, // 16 × 32: room for YMM
  x87: 0x400, // 8 × 16: physical registers R0…R7 (80 bits each); MMn aliases the significand of Rn
  x87Control: 0x480,
  x87Status: 0x484, // without TOP
  x87Top: 0x488,
  x87Tags: 0x48c, // bit n set: Rn is not empty
  x87Opcode: 0x490,
  x87Ip: 0x498,
  x87Dp: 0x4a0,
  gdtBase: 0x4a8, // what SGDT, SIDT and STR tell; nothing else uses these
  idtBase: 0x4b0,
  idtLimit: 0x4b8,
  taskSelector: 0x4bc,
  scratch: 0x4c0, // 64 bytes for an instruction's own use
  scratchOps: 0x500, // room for a single-stepped instruction's operations
  bounce: 0x700, // a page-crossing access is done here: up to 576 bytes
  views: 0x940, // 2 × View.size: kernel view, user view
  apart: 0x980, // host address of the pages that a checked run writes to (apart.ts), 0 = none
  siblingMasks: 0x984, // siblings.ts: host address of the first code mask, and behind the last; 0 = there are no others
  siblingMasksEnd: 0x988,
  siblingStride: 0x98c,
  storesNext: 0x990, // place of the next one, in bytes
  stores: 0x998, // 8 × Stores.size: stores on the slow path that others may have to hear of
  busLockAt: 0x9d8, // host address of the processors' common lock, which is the first one's `busLock`
  busLock: 0x9dc,
  end: 0x1000,
} as const;

export const Mode = { long64: 0, compat32: 1 } as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

/** What each view's translations are cached in; the active view's are copied to `tlb`, `jumpCache` and `jumpKey`. */
export const View = {
  size: 32,
  tlb: 0,
  jumpCache: 4,
  mode: 8, // the Mode of what its jump cache holds
  jumpKey: 16,
} as const;

/** Address spaces whose translations are kept, see address-spaces.ts: each has a TLB set and a jump cache. */
export const ADDRESS_SPACES = 8;

/**
 * TLB entry: three tags (linear page, or -1), host address of the page, and what is to be added to the low half of a linear address in it to get the host
 * address.
 */
export const Tlb = {
  entries: 2048,
  entrySize: 32,
  read: 0,
  write: 8,
  execute: 16,
  host: 24,
  addend: 28,
} as const;

/**
 * Jump cache: linear address → operation, and the host page it was found in. The address is XORed with the cache's generation in bits 62:48, which are
 * copies of bit 47: with a new generation no entry matches, but as long as the address leads to the same host page it need not be looked for again. Entries
 * without one are filled with the byte `free`: no address, as every guest can jump to -1, and none that RIP can be given either.
 */
export const JumpCache = {
  entries: 16384,
  group: 64,
  entrySize: 16,
  va: 0,
  op: 8,
  host: 12,
  free: 0x80,
  generation: 1n << 48n,
  /** No XOR with one below makes `free` bytes a canonical address. */
  generations: 0x4000n << 48n,
} as const;

/** A store that was noted, see siblings.ts; none where `bytes` is 0. */
export const Stores = { entries: 8, size: 8, host: 0, bytes: 4 } as const;

/**
 * Block table: (host address of the first byte, mode) → operation; open addressing, linear probing. `size`: bytes of the block's operations, and in the high half those of
 * the code that they came from.
 */
export const BlockTable = { entries: 1 << 18, entrySize: 16, key: 0, op: 8, size: 12 } as const;

/** Of a processor's translated code at most; the oldest goes first. */
export const MAX_REGIONS = 4096;

/**
 * For the processor of a clone, which finds this and all that was decoded (code-cache.ts): where the next operation goes, how many blocks there are, and by its place in the table
 * behind the interpreter's handlers the operation that enters a translated region, with the handler that it had. (The table has a few places that
 * are no region's, for checks.)
 */
export const Kept = {
  next: 0,
  count: 4,
  regions: 16,
  entries: MAX_REGIONS + 254,
  entrySize: 8,
  size: 4096 * 9,
} as const;

/** A predecoded operation. Fields a, b, c name registers by slot offset. */
export const Op = {
  size: 32,
  handler: 0, // u32 table index
  off: 4, // u16 offset of the instruction in its page
  len: 6, // u8 bytes of the instruction
  scale: 7, // u8 shift of the index
  a: 8, // u16
  b: 10, // u16
  base: 12, // u16
  index: 14, // u16
  segment: 16, // u16 slot of the segment base
  c: 18, // u16; in branches: instructions since the block's entry
  disp: 20, // i32; in direct branches: the linked operation, 0 = not yet
  imm: 24, // i64, truncated to the operand's width; in direct branches: target relative to the page
} as const;

/** What a profile is made from, see profile.ts: words that count modulo 2^32, and a ring of samples. */
export const Profile = {
  exits: 0x00, // 16 × 4: by Exit
  taken: 0x40, // samples written so far; the next goes to this place in the ring
  regions: 0x44, // translated regions that can run now
  waiting: 0x48, // regions that are being compiled
  compiled: 0x4c, // regions that were compiled so far
  dropped: 0x50, // of those, the ones whose code was written to, or that had to make room
  ring: 0x80,
  entries: 4096,
  entrySize: 16,
  rip: 0, // f64
  kind: 8, // u32: SampleKind bits
  size: 0x80 + 4096 * 16,
} as const;

export const SampleKind = { translated: 1, user: 2 } as const;

/** The pages that a checked run writes, see apart.ts: how many, the host address of each, and their copies. Two runs are compared. */
export const Apart = { runs: 2, pages: 32, count: 0, page: 16, copies: 4096, size: 4096 * 33 } as const;

/** Gates of regions that are checked, see translator/gates.ts: which one asks for it, by which operation, and what each lets pass before it does. */
export const Gates = { most: 4096, due: 0, op: 4, left: 16, size: 4096 * 5 } as const;

const OPS = 1 << 20;
const align = (n: number): number => (n + 4095) & ~4095;

const tlbAt = S.end;
const tlbSet = Tlb.entries * Tlb.entrySize;
const jumpCacheAt = tlbAt + ADDRESS_SPACES * tlbSet;
const jumpCacheSet = JumpCache.entries * JumpCache.entrySize;
const keptAt = jumpCacheAt + ADDRESS_SPACES * jumpCacheSet;
const blockTableAt = keptAt + Kept.size;
const opsAt = blockTableAt + BlockTable.entries * BlockTable.entrySize;
const profileAt = opsAt + OPS * Op.size;
const apartAt = profileAt + align(Profile.size);
const apartTlbAt = apartAt + Apart.runs * Apart.size;
const gatesAt = apartTlbAt + tlbSet;
const codeMaskAt = gatesAt + Gates.size;

export const Region = {
  tlbAt,
  tlbSet,
  jumpCacheAt,
  jumpCacheSet,
  keptAt,
  blockTableAt,
  opsAt,
  opsEnd: profileAt,
  profileAt,
  apartAt,
  apartTlbAt,
  gatesAt,
  codeMaskAt,
} as const;

/** Where a bit for each frame lies, all clear unless translations are being dropped. */
export const frameBitsAt = (frameCount: number): number => align(codeMaskAt + frameCount * 8);

/** Bytes of a vCPU's processor region in a domain of so many frames. Most of it is touched only when used. */
export function cpuRegionSize(frameCount: number): number {
  return frameBitsAt(frameCount) + align(frameCount / 8);
}
