import { CODE, IMAGE_SIZE, type Mode, pristineImage, type Region, REGIONS, STATE_SIZE } from './layout.ts';
import { MachineState } from './machine-state.ts';

/** Bytes put into the memory image before a case runs, or found changed after it. */
export interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** What runs: code at `before.rip`, with this state and these memory bytes. It ends at the first byte after the code. */
export interface Case {
  readonly mode: Mode;
  readonly code: Uint8Array;
  readonly before: MachineState;
  readonly patches: readonly Piece[];
  /** The code may jump to anywhere near itself: end it with INT3 only (slower: a signal). */
  readonly branches?: boolean;
}

export const Stop = { end: 0, trap: 1, timeout: 2 } as const;
export type Stop = (typeof Stop)[keyof typeof Stop];

export interface Outcome {
  readonly stop: Stop;
  /** For a trap: vector, error code, and CR2 when it is a page fault. */
  readonly trap: number;
  readonly errorCode: number;
  readonly faultAddress: bigint;
  readonly after: MachineState;
  /** Image bytes that differ from before, in ascending order. */
  readonly changes: readonly Piece[];
}

const MAGIC = 0x434c_5258;
const STREAM_HEADER = 24;
const REGION_RECORD = 24;
const CASE_HEADER = 16;
const RESULT_HEADER = 24;
const align8 = (n: number): number => (n + 7) & ~7;

/** The head of a stream: where code and data regions are, and the memory image. */
export function encodeStreamHead(): Uint8Array {
  const bytes = new Uint8Array(STREAM_HEADER + REGIONS.length * REGION_RECORD + IMAGE_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, REGIONS.length, true);
  view.setBigUint64(8, BigInt(CODE.at), true);
  view.setUint32(16, CODE.size, true);
  view.setUint32(20, IMAGE_SIZE, true);
  REGIONS.forEach((r: Region, i) => {
    const at = STREAM_HEADER + i * REGION_RECORD;
    view.setBigUint64(at, BigInt(r.at), true);
    view.setUint32(at + 8, r.image, true);
    view.setUint32(at + 12, r.size, true);
    view.setUint32(at + 16, r.writable ? 1 : 0, true);
  });
  bytes.set(pristineImage(), STREAM_HEADER + REGIONS.length * REGION_RECORD);
  return bytes;
}

function caseSize(c: Case): number {
  let size = CASE_HEADER + STATE_SIZE + align8(c.code.length);
  for (const p of c.patches) size += 8 + align8(p.bytes.length);
  return size;
}

export function encodeCases(cases: readonly Case[]): Uint8Array {
  const bytes = new Uint8Array(cases.reduce((sum, c) => sum + caseSize(c), 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const c of cases) {
    view.setUint32(at, caseSize(c), true);
    view.setUint16(at + 4, c.mode, true);
    view.setUint16(at + 6, c.code.length, true);
    view.setUint32(at + 8, c.patches.length, true);
    view.setUint32(at + 12, c.branches ? 1 : 0, true);
    at += CASE_HEADER;
    bytes.set(c.before.bytes, at);
    at += STATE_SIZE;
    bytes.set(c.code, at);
    at += align8(c.code.length);
    for (const p of c.patches) {
      view.setUint32(at, p.at, true);
      view.setUint32(at + 4, p.bytes.length, true);
      bytes.set(p.bytes, at + 8);
      at += 8 + align8(p.bytes.length);
    }
  }
  return bytes;
}

/** The results of `cases`, in order. */
export function decodeOutcomes(stream: Uint8Array, cases: readonly Case[]): Outcome[] {
  // Not a Buffer, whose slice() shares memory.
  const bytes = new Uint8Array(stream.buffer, stream.byteOffset, stream.byteLength);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const outcomes: Outcome[] = [];
  let at = 0;
  for (const c of cases) {
    if (at + RESULT_HEADER + STATE_SIZE > bytes.length)
      throw new Error(`the harness answered ${outcomes.length} of ${cases.length} cases`);
    const end = at + view.getUint32(at, true);
    const stop = view.getUint16(at + 4, true);
    const trap = view.getUint16(at + 6, true);
    const errorCode = view.getUint32(at + 8, true);
    const changeCount = view.getUint32(at + 12, true);
    const faultAddress = view.getBigUint64(at + 16, true);
    at += RESULT_HEADER;
    const after = new MachineState(bytes.slice(at, at + STATE_SIZE));
    at += STATE_SIZE;
    const changes: Piece[] = [];
    for (let i = 0; i < changeCount; i++) {
      const length = view.getUint32(at + 4, true);
      changes.push({ at: view.getUint32(at, true), bytes: bytes.slice(at + 8, at + 8 + length) });
      at += 8 + length;
    }
    if (at !== end) throw new Error('a result of the harness has another size than it says');
    outcomes.push(normalise(c, { stop: toStop(stop), trap, errorCode, faultAddress, after, changes }));
  }
  return outcomes;
}

function toStop(n: number): Stop {
  return n === Stop.end ? Stop.end : n === Stop.trap ? Stop.trap : Stop.timeout;
}

/**
 * Around the code the region is filled with INT3. Reaching one of those is an ordinary end, at the address of the INT3. What has no meaning is
 * cleared: CR2 except after a page fault, RF (set in a saved image by faults only), the upper halves of registers in compatibility mode, which
 * software must not rely on (SDM Vol. 1, "Modes of Operation"), and the x87 instruction and data pointers, which processors keep differently.
 */
export function normalise(c: Case, o: Outcome): Outcome {
  const { after } = o;
  let { stop, trap, errorCode, faultAddress } = o;
  const start = c.before.rip;
  if (stop === Stop.trap && trap === 3) {
    const offset = after.rip - 1n - start;
    if (offset < 0n || offset >= BigInt(c.code.length)) {
      after.rip -= 1n;
      stop = Stop.end;
    }
  }
  if (stop !== Stop.trap) trap = 0;
  if (stop !== Stop.trap || trap !== 14) faultAddress = 0n;
  if (stop !== Stop.trap) errorCode = 0;
  after.rflags &= ~0x1_0000;
  // A null selector loses its low bits on the way through the kernel (SDM Vol. 2A, "IRET": returning to an outer privilege level).
  if (stop === Stop.trap) for (const n of [0, 3, 4, 5]) if (after.selector(n) < 4) after.setSelector(n, 0);
  if (c.mode === 1)
    for (let i = 0; i < 16; i++) after.setGpr(i, i < 8 ? BigInt.asUintN(32, after.gpr(i)) : c.before.gpr(i));
  after.fx().fill(0, 6, 24);
  after.fx().fill(0, 28, 32);
  after.fx().fill(0, 416);
  for (let i = 0; i < 8; i++) after.fx().fill(0, 32 + 16 * i + 10, 48 + 16 * i);
  return { stop, trap, errorCode, faultAddress, after, changes: o.changes };
}

/** The whole memory image before a case. */
export function imageBefore(c: Case, pristine: Uint8Array): Uint8Array {
  const image = pristine.slice();
  for (const p of c.patches) image.set(p.bytes, p.at);
  return image;
}
