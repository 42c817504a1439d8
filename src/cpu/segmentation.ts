import { Exit, Vector } from './exits.ts';
import { Flag } from './flags.ts';
import type { Processor, Vaddr } from './processor.ts';

/** What a segment exit is about: `detail[0]`. The other details are given with each. */
export const SegmentOperation = {
  load: 1, // segment, selector
  pop: 2, // segment, selector, bytes on the stack
  loadFar: 3, // segment, selector, offset low, offset high, slot, bits
  farJump: 4, // selector, offset low, offset high, bits
  farCall: 5, // as farJump
  farReturn: 6, // 0, extra bytes, 0, bits
  iret: 7, // 0, 0, 0, bits
  lar: 8, // selector, slot, bits
  lsl: 9, // selector, slot, bits
  verr: 10, // selector
  verw: 11, // selector
} as const;

const CS = 1;
const SS = 2;
const RSP = 4;
const CPL = 3;

/** Access byte of a descriptor (SDM Vol. 3A, "Segment Descriptors"). */
const Type = { accessed: 1, writableOrReadable: 2, conformingOrDown: 4, code: 8, user: 0x10, present: 0x80 } as const;
/** System descriptors that LAR and LSL accept in 64-bit mode (SDM Vol. 2A, "LAR", "LSL"): LDT, TSS available and busy, and for LAR a call gate. */
const SYSTEM_LSL = new Set([0x2, 0x9, 0xb]);
const SYSTEM_LAR = new Set([0x2, 0x9, 0xb, 0xc]);

interface Descriptor {
  readonly lo: number;
  readonly hi: number;
  readonly access: number;
  readonly dpl: number;
  readonly base: number;
  /** Host address of the entry. */
  readonly at: number;
}

/** Thrown inside this file only: the instruction faults. */
class Fault extends Error {
  readonly vector: number;
  readonly errorCode: number;
  constructor(vector: number, errorCode: number) {
    super('segment fault');
    this.vector = vector;
    this.errorCode = errorCode;
  }
}
/** A memory access failed; vector, error code and address are in the state already. */
const MEMORY_FAULT = new Fault(-1, 0);

/**
 * Completes an instruction that loads a segment register, asks about one, or transfers control through one. All at CPL 3 with CPL 3 as target: what goes
 * to another privilege level is refused as the processor refuses it.
 * @returns Exit.Segment when it completed, Exit.Exception when it faulted (RIP unchanged)
 */
export function completeSegmentOperation(p: Processor): number {
  try {
    operations[p.state.detail(0)]?.(p);
    return Exit.Segment;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error !== MEMORY_FAULT) p.state.setException(error.vector, error.errorCode);
    return Exit.Exception;
  }
}

const operations: Readonly<Record<number, (p: Processor) => void>> = {
  [SegmentOperation.load]: (p) => {
    loadDataSegment(p, p.state.detail(1), p.state.detail(2) & 0xffff);
    skip(p);
  },
  [SegmentOperation.pop]: (p) => {
    loadDataSegment(p, p.state.detail(1), p.state.detail(2) & 0xffff);
    setStackPointer(p, stackPointer(p) + p.state.detail(3));
    skip(p);
  },
  [SegmentOperation.loadFar]: (p) => {
    const s = p.state;
    loadDataSegment(p, s.detail(1), s.detail(2) & 0xffff);
    writeRegister(p, s.detail(5), s.detail(6), s.detail(3), s.detail(4));
    skip(p);
  },
  [SegmentOperation.farJump]: (p) => {
    const s = p.state;
    transfer(p, s.detail(1) & 0xffff, offsetOf(s.detail(2), s.detail(3), s.detail(4)));
  },
  [SegmentOperation.farCall]: (p) => {
    const s = p.state;
    const bytes = s.detail(4) / 8;
    const offset = offsetOf(s.detail(2), s.detail(3), s.detail(4));
    const target = codeDescriptor(p, s.detail(1) & 0xffff, offset);
    const back = s.rip + s.instructionLength;
    const sp = stackPointer(p) - 2 * bytes;
    const frame = new Uint8Array(2 * bytes);
    const view = new DataView(frame.buffer);
    putOffset(view, 0, bytes, back);
    view.setUint16(bytes, s.selector(CS), true);
    if (!p.copyToGuest(sp, frame)) throw MEMORY_FAULT;
    setStackPointer(p, sp);
    enter(p, s.detail(1) & 0xffff, target, offset);
  },
  [SegmentOperation.farReturn]: (p) => {
    const s = p.state;
    const bytes = s.detail(4) / 8;
    const frame = readStack(p, 2 * bytes);
    const selector = frame.getUint16(bytes, true);
    const offset = takeOffset(frame, 0, bytes);
    const target = codeDescriptor(p, selector, offset, true);
    setStackPointer(p, stackPointer(p) + 2 * bytes + (s.detail(2) & 0xffff));
    enter(p, selector, target, offset);
  },
  [SegmentOperation.iret]: (p) => {
    const s = p.state;
    const bytes = s.detail(4) / 8;
    // In 64-bit mode the stack pointer and SS are popped in any case (SDM Vol. 2A, "IRET").
    const values = s.long64 ? 5 : 3;
    const frame = readStack(p, values * bytes);
    const selector = frame.getUint16(bytes, true);
    const offset = takeOffset(frame, 0, bytes);
    const target = codeDescriptor(p, selector, offset, true);
    const image = bytes === 2 ? frame.getUint16(2 * bytes, true) : frame.getUint32(2 * bytes, true);
    if (s.long64) {
      const stack = takeOffset(frame, 3 * bytes, bytes);
      loadStackSegment(p, frame.getUint16(4 * bytes, true), (target.hi & LONG) !== 0);
      enter(p, selector, target, offset);
      s.set(RSP, stack);
    } else {
      setStackPointer(p, stackPointer(p) + 3 * bytes);
      enter(p, selector, target, offset);
    }
    const kept = Flag.IF | Flag.IOPL | (bytes === 2 ? ~0xffff : 0);
    s.rflags = (s.rflags & kept) | (image & ~kept & ~Flag.VM);
  },
  [SegmentOperation.lar]: (p) => {
    const d = visible(p, p.state.detail(1), SYSTEM_LAR);
    answer(p, d, d ? d.hi & 0x00ff_ff00 : 0);
  },
  [SegmentOperation.lsl]: (p) => {
    const d = visible(p, p.state.detail(1), SYSTEM_LSL);
    answer(p, d, d ? limitOf(d) : 0);
  },
  [SegmentOperation.verr]: (p) =>
    verify(p, (access) => (access & Type.code) === 0 || (access & Type.writableOrReadable) !== 0),
  [SegmentOperation.verw]: (p) =>
    verify(p, (access) => (access & Type.code) === 0 && (access & Type.writableOrReadable) !== 0),
};

const LONG = 1 << 21;
const DEFAULT_32 = 1 << 22;
const GRANULARITY = 1 << 23;

/** The descriptor of a selector that is not null; undefined beyond its table's limit. */
function descriptor(p: Processor, selector: number): Descriptor | undefined {
  const offset = selector & ~7;
  const at = (selector & 4) === 0 ? gdtEntry(p, offset) : ldtEntry(p, offset);
  if (at === 0) return undefined;
  const lo = p.memory.getUint32(at, true);
  const hi = p.memory.getUint32(at + 4, true);
  const base = ((lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff00_0000)) >>> 0;
  return { lo, hi, access: (hi >> 8) & 0xff, dpl: (hi >> 13) & 3, base, at };
}

function gdtEntry(p: Processor, offset: number): number {
  if (offset + 7 > p.state.gdtLimit) return 0;
  const page = p.state.gdtPage(offset >> 12);
  return page === 0 ? 0 : page + (offset & 4095);
}

function ldtEntry(p: Processor, offset: number): number {
  if (p.state.ldtLimit < 0 || offset + 7 > p.state.ldtLimit) return 0;
  // The LDT is read with the supervisor's rights, whoever loads the selector.
  const space = p.space;
  p.setSpace(0);
  const at = p.translate(p.state.ldtBase + offset, 'read');
  p.setSpace(space);
  return at;
}

const isNull = (selector: number): boolean => (selector & ~3) === 0;

/** SDM Vol. 2B, "MOV", "Protected Mode Exceptions", and Vol. 3A, "Loading Segment Selectors in IA-32e Mode". */
function loadDataSegment(p: Processor, segment: number, selector: number): void {
  if (segment === SS) return loadStackSegment(p, selector, p.state.long64);
  if (isNull(selector)) {
    p.state.setSelector(segment, selector);
    p.state.setSegmentBase(segment, 0);
    return;
  }
  const code = selector & ~3;
  const d = descriptor(p, selector);
  if (!d) throw new Fault(Vector.GP, code);
  const isCode = (d.access & Type.code) !== 0;
  const conforming = isCode && (d.access & Type.conformingOrDown) !== 0;
  if ((d.access & Type.user) === 0 || (isCode && (d.access & Type.writableOrReadable) === 0))
    throw new Fault(Vector.GP, code);
  if (!conforming && d.dpl < Math.max(CPL, selector & 3)) throw new Fault(Vector.GP, code);
  if ((d.access & Type.present) === 0) throw new Fault(Vector.NP, code);
  touch(p, d);
  p.state.setSelector(segment, selector);
  p.state.setSegmentBase(segment, d.base);
}

function loadStackSegment(p: Processor, selector: number, toLong: boolean): void {
  // A null SS is good only for 64-bit code of a level below 3.
  if (isNull(selector)) throw new Fault(Vector.GP, 0);
  const code = selector & ~3;
  const d = descriptor(p, selector);
  if (!d || (selector & 3) !== CPL || d.dpl !== CPL) throw new Fault(Vector.GP, code);
  if ((d.access & (Type.user | Type.code | Type.writableOrReadable)) !== (Type.user | Type.writableOrReadable))
    throw new Fault(Vector.GP, code);
  if ((d.access & Type.present) === 0) throw new Fault(Vector.SS, code);
  touch(p, d);
  p.state.setSelector(SS, selector);
  p.state.setSegmentBase(SS, toLong ? 0 : d.base);
}

/** Sets the accessed bit, as the processor does. */
function touch(p: Processor, d: Descriptor): void {
  if ((d.access & Type.accessed) === 0) p.memory.setUint32(d.at + 4, d.hi | (Type.accessed << 8), true);
}

/** The target of a far transfer, checked (SDM Vol. 2A, "JMP", "CALL", "RET", "IRET"). A return may not go to a level further in. */
function codeDescriptor(p: Processor, selector: number, offset: Vaddr, isReturn = false): Descriptor {
  if (isNull(selector)) throw new Fault(Vector.GP, 0);
  const code = selector & ~3;
  const d = descriptor(p, selector);
  if (!d || (d.access & (Type.user | Type.code)) !== (Type.user | Type.code)) throw new Fault(Vector.GP, code);
  const conforming = (d.access & Type.conformingOrDown) !== 0;
  if ((isReturn && (selector & 3) < CPL) || (conforming ? d.dpl > CPL : d.dpl !== CPL))
    throw new Fault(Vector.GP, code);
  if ((d.hi & LONG) !== 0 && (d.hi & DEFAULT_32) !== 0) throw new Fault(Vector.GP, code);
  if ((d.access & Type.present) === 0) throw new Fault(Vector.NP, code);
  const [from, to] = (d.hi & LONG) !== 0 ? [-CANONICAL, CANONICAL - 1] : [0, limitOf(d)];
  if (offset < from || offset > to) throw new Fault(Vector.GP, 0);
  return d;
}

/** Linear addresses have 48 bits, sign-extended. */
const CANONICAL = 2 ** 47;

function transfer(p: Processor, selector: number, offset: Vaddr): void {
  enter(p, selector, codeDescriptor(p, selector, offset), offset);
}

function enter(p: Processor, selector: number, d: Descriptor, offset: Vaddr): void {
  touch(p, d);
  const long64 = (d.hi & LONG) !== 0;
  p.state.setSelector(CS, selector | CPL);
  p.state.setSegmentBase(CS, long64 ? 0 : d.base);
  p.state.long64 = long64;
  p.state.rip = long64 ? offset : (offset + d.base) >>> 0;
}

/** A descriptor that LAR, LSL, VERR and VERW may look at from CPL 3. */
function visible(p: Processor, selector: number, system: ReadonlySet<number>): Descriptor | undefined {
  if (isNull(selector & 0xffff)) return undefined;
  const d = descriptor(p, selector & 0xffff);
  if (!d) return undefined;
  if ((d.access & Type.user) === 0 && !system.has(d.access & 15)) return undefined;
  const conforming =
    (d.access & (Type.user | Type.code | Type.conformingOrDown)) === (Type.user | Type.code | Type.conformingOrDown);
  return conforming || d.dpl >= Math.max(CPL, selector & 3) ? d : undefined;
}

const NO_SYSTEM = new Set<number>();

function verify(p: Processor, allows: (access: number) => boolean): void {
  const d = visible(p, p.state.detail(1), NO_SYSTEM);
  setZero(p, d !== undefined && allows(d.access));
  skip(p);
}

function answer(p: Processor, d: Descriptor | undefined, value: number): void {
  setZero(p, d !== undefined);
  if (d) writeRegister(p, p.state.detail(2), p.state.detail(3), value, 0);
  skip(p);
}

function limitOf(d: Descriptor): number {
  const raw = (d.lo & 0xffff) | (d.hi & 0xf_0000);
  return (d.hi & GRANULARITY) === 0 ? raw : ((raw << 12) | 0xfff) >>> 0;
}

function setZero(p: Processor, zero: boolean): void {
  p.state.rflags = (p.state.rflags & ~Flag.ZF) | (zero ? Flag.ZF : 0);
}

const skip = (p: Processor): void => {
  p.state.rip += p.state.instructionLength;
};

function writeRegister(p: Processor, slot: number, bits: number, lo: number, hi: number): void {
  const at = p.regionAt + slot;
  if (bits === 16) return p.memory.setUint16(at, lo & 0xffff, true);
  p.memory.setUint32(at, lo, true);
  p.memory.setUint32(at + 4, bits === 64 ? hi : 0, true);
}

const stackPointer = (p: Processor): Vaddr => (p.state.long64 ? p.state.num(RSP) : p.state.lo(RSP));
const setStackPointer = (p: Processor, value: Vaddr): void => {
  if (p.state.long64) p.state.set(RSP, value);
  else p.state.setLoHi(RSP, value >>> 0, 0);
};

function readStack(p: Processor, bytes: number): DataView {
  const frame = p.copyFromGuest(stackPointer(p), bytes);
  if (!frame) {
    // A non-canonical stack pointer is a stack fault.
    if (p.state.vector === Vector.GP) throw new Fault(Vector.SS, 0);
    throw MEMORY_FAULT;
  }
  return new DataView(frame.buffer);
}

function offsetOf(lo: number, hi: number, bits: number): Vaddr {
  return bits === 64 ? (hi | 0) * 2 ** 32 + lo : bits === 32 ? lo : lo & 0xffff;
}

const takeOffset = (view: DataView, at: number, bytes: number): Vaddr =>
  bytes === 8
    ? offsetOf(view.getUint32(at, true), view.getUint32(at + 4, true), 64)
    : bytes === 4
      ? view.getUint32(at, true)
      : view.getUint16(at, true);

function putOffset(view: DataView, at: number, bytes: number, value: Vaddr): void {
  const hi = Math.floor(value / 2 ** 32);
  if (bytes === 2) return view.setUint16(at, value & 0xffff, true);
  view.setUint32(at, value - hi * 2 ** 32, true);
  if (bytes === 8) view.setInt32(at + 4, hi, true);
}
