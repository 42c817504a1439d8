/**
 * The header in front of each frame that a Linux tap device with IFF_VNET_HDR gives and takes: struct virtio_net_hdr of include/uapi/linux/virtio_net.h, in
 * the machine's byte order. It says the same as the offloads of a Frame.
 */
import { headLength, maxFrameLength, type Frame, type Segmentation } from '../link.ts';

export const virtioNetHeader = 10;

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
/** Beside the type: the segment carries congestion marks. */
const GSO_ECN = 0x80;

const at = { flags: 0, gsoType: 1, headerLength: 2, gsoSize: 4, checksumStart: 6, checksumOffset: 8 } as const;

const types: Readonly<Record<number, Segmentation['type']>> = { [GSO_TCPV4]: 'tcpv4', [GSO_TCPV6]: 'tcpv6' };

/** What was read from the device, whose bytes are the frame's from then on; undefined for what no frame here can be. */
export function frameOf(bytes: Uint8Array): Frame | undefined {
  const length = bytes.length - virtioNetHeader;
  if (length < 14 || length > maxFrameLength) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, virtioNetHeader);
  const flags = view.getUint8(at.flags);
  const gsoType = view.getUint8(at.gsoType) & ~GSO_ECN;
  const split = virtioNetHeader + Math.min(length, headLength);
  const head = bytes.subarray(virtioNetHeader, split);
  const fragments = split < bytes.length ? [bytes.subarray(split)] : [];
  if ((flags & NEEDS_CSUM) === 0) {
    if (gsoType !== GSO_NONE) return undefined;
    return { head, fragments, length, verified: (flags & DATA_VALID) !== 0 };
  }
  const checksum = { start: view.getUint16(at.checksumStart, true), offset: view.getUint16(at.checksumOffset, true) };
  if (checksum.start + checksum.offset + 2 > head.length) return undefined;
  if (gsoType === GSO_NONE) return { head, fragments, length, checksum, verified: true };
  const type = types[gsoType];
  const size = view.getUint16(at.gsoSize, true);
  if (type === undefined || size === 0) return undefined;
  return { head, fragments, length, checksum, verified: true, segmentation: { type, size } };
}

/** The frame as it is written to the device, copied. */
export function bytesOf({ head, fragments, length, checksum, verified, segmentation }: Frame): Uint8Array {
  const bytes = new Uint8Array(virtioNetHeader + length);
  const view = new DataView(bytes.buffer);
  if (checksum) {
    view.setUint8(at.flags, NEEDS_CSUM);
    view.setUint16(at.checksumStart, checksum.start, true);
    view.setUint16(at.checksumOffset, checksum.offset, true);
  } else if (verified) {
    view.setUint8(at.flags, DATA_VALID);
  }
  if (checksum && segmentation) {
    view.setUint8(at.gsoType, segmentation.type === 'tcpv4' ? GSO_TCPV4 : GSO_TCPV6);
    view.setUint16(at.gsoSize, segmentation.size, true);
    // TCP's data offset is in the head, behind where its checksum begins to count.
    view.setUint16(at.headerLength, checksum.start + ((head[checksum.start + 12] ?? 0x50) >> 4) * 4, true);
  }
  let to = virtioNetHeader;
  for (const piece of [head, ...fragments]) {
    bytes.set(piece, to);
    to += piece.length;
  }
  return bytes;
}
