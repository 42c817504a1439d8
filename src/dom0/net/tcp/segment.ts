/** TCP segments: the header of RFC 9293, section 3.1, with the options that are in use (MSS; RFC 7323 window scale; RFC 2018 SACK). */
import { put16, put32, u16, u32 } from '../packet/bytes.ts';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

/** First byte, and the one after the last. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface SegmentOptions {
  readonly mss?: number | undefined;
  readonly windowScale?: number | undefined;
  readonly sackPermitted?: boolean | undefined;
  readonly sack?: readonly Range[] | undefined;
}

export interface Segment extends SegmentOptions {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  /** As it stands in the header, not scaled. */
  readonly window: number;
  readonly payload: Uint8Array;
}

export const tcpHeaderLength = 20;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_SACK = 5;
/** RFC 7323, section 2.3: more means this. */
const MAX_SCALE = 14;

/** Sequence numbers live on a circle (RFC 9293, section 3.4): how far `a` is ahead of `b`, negative when behind. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

export function seqAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}

export function seqMax(a: number, b: number): number {
  return seqDiff(a, b) >= 0 ? a : b;
}

/** Length of the header at `at`, by its data offset; undefined when it cannot be or lies beyond the bytes. */
export function headerLengthAt(bytes: Uint8Array, at: number): number | undefined {
  const length = ((bytes[at + 12] ?? 0) >> 4) * 4;
  return length >= tcpHeaderLength && at + length <= bytes.length ? length : undefined;
}

/** The header at `at`, whose length has been checked, with this payload. */
export function parseSegment(bytes: Uint8Array, at: number, headerLength: number, payload: Uint8Array): Segment {
  return {
    sourcePort: u16(bytes, at),
    destinationPort: u16(bytes, at + 2),
    seq: u32(bytes, at + 4),
    ack: u32(bytes, at + 8),
    flags: bytes[at + 13] ?? 0,
    window: u16(bytes, at + 14),
    payload,
    ...(headerLength > tcpHeaderLength ? parseOptions(bytes, at + tcpHeaderLength, at + headerLength) : {}),
  };
}

function parseOptions(bytes: Uint8Array, from: number, end: number): SegmentOptions {
  let mss: number | undefined;
  let windowScale: number | undefined;
  let sackPermitted: boolean | undefined;
  let sack: Range[] | undefined;
  for (let at = from; at < end;) {
    const kind = bytes[at];
    if (kind === OPTION_END) break;
    if (kind === OPTION_NOP) {
      at += 1;
      continue;
    }
    const length = at + 1 < end ? (bytes[at + 1] ?? 0) : 0;
    // One that cannot be right makes the rest unreadable.
    if (length < 2 || at + length > end) break;
    if (kind === OPTION_MSS && length === 4) mss = u16(bytes, at + 2);
    else if (kind === OPTION_WINDOW_SCALE && length === 3) windowScale = Math.min(bytes[at + 2] ?? 0, MAX_SCALE);
    else if (kind === OPTION_SACK_PERMITTED && length === 2) sackPermitted = true;
    else if (kind === OPTION_SACK && length >= 10 && (length - 2) % 8 === 0) {
      sack = [];
      for (let block = at + 2; block < at + length; block += 8)
        sack.push({ start: u32(bytes, block), end: u32(bytes, block + 4) });
    }
    at += length;
  }
  return { mss, windowScale, sackPermitted, sack };
}

/** The options as bytes, padded to whole words. */
export function encodeOptions({ mss, windowScale, sackPermitted, sack }: SegmentOptions): Uint8Array {
  const bytes: number[] = [];
  if (mss !== undefined) bytes.push(OPTION_MSS, 4, mss >> 8, mss & 0xff);
  if (sackPermitted) bytes.push(OPTION_NOP, OPTION_NOP, OPTION_SACK_PERMITTED, 2);
  if (windowScale !== undefined) bytes.push(OPTION_NOP, OPTION_WINDOW_SCALE, 3, windowScale);
  if (sack?.length) {
    bytes.push(OPTION_NOP, OPTION_NOP, OPTION_SACK, 2 + 8 * sack.length);
    for (const { start, end } of sack)
      for (const edge of [start, end]) bytes.push(edge >>> 24, edge >>> 16, edge >>> 8, edge);
  }
  return Uint8Array.from(bytes);
}

/** Writes the header at `at`, with a checksum of zero. Returns its length. */
export function writeHeader(
  to: Uint8Array,
  at: number,
  segment: Omit<Segment, 'payload' | keyof SegmentOptions>,
  options: Uint8Array,
): number {
  const length = tcpHeaderLength + options.length;
  put16(to, at, segment.sourcePort);
  put16(to, at + 2, segment.destinationPort);
  put32(to, at + 4, segment.seq);
  put32(to, at + 8, segment.ack);
  to[at + 12] = (length / 4) << 4;
  to[at + 13] = segment.flags;
  put16(to, at + 14, segment.window);
  put32(to, at + 16, 0);
  to.set(options, at + tcpHeaderLength);
  return length;
}
