/** Frames for tests, with pending checksums as guests send them. */
import { EtherType, headersOf, IpProtocol } from '../headers.ts';
import type { Frame } from '../link.ts';
import { pseudoHeaderSum } from '../offload.ts';
import { put16 } from '../packet/bytes.ts';
import { addBytes, finish } from '../packet/checksum.ts';

export interface FrameShape {
  readonly source?: string;
  readonly destination?: string;
  readonly v6?: boolean;
  readonly vlan?: boolean;
  /** Bytes of payload. */
  readonly payload: number;
  /** TCP options, in units of four bytes. */
  readonly options?: number;
  readonly sequence?: number;
  readonly flags?: number;
}

export const macOne = '00:16:3e:00:00:01';
export const macTwo = '00:16:3e:00:00:02';

export function macBytes(mac: string): number[] {
  return mac.split(':').map((part) => parseInt(part, 16));
}

/** A pattern in which a byte out of place shows. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >>> 8) * 13 + seed) & 0xff);
}

export function tcpFrame(shape: FrameShape): Frame {
  const { options = 0, sequence = 1, flags = 0x10 } = shape;
  const header = new Uint8Array(20 + 4 * options);
  new DataView(header.buffer).setUint32(4, sequence);
  header[12] = (header.length / 4) << 4;
  header[13] = flags;
  header.fill(1, 20);
  return ipFrame(shape, IpProtocol.TCP, 16, header);
}

export function udpFrame(shape: FrameShape): Frame {
  const header = new Uint8Array(8);
  put16(header, 4, 8 + shape.payload);
  return ipFrame(shape, IpProtocol.UDP, 6, header);
}

function ipFrame(shape: FrameShape, protocol: number, offset: number, transportHeader: Uint8Array): Frame {
  const { source = macOne, destination = macTwo, v6 = false, vlan = false, payload } = shape;
  const tag = vlan ? [0x81, 0x00, 0x00, 0x05] : [];
  const type = v6 ? EtherType.IPv6 : EtherType.IPv4;
  const length = transportHeader.length + payload;
  const network = v6 ? ipv6Header(protocol, length) : ipv4Header(protocol, length);
  const link = [...macBytes(destination), ...macBytes(source), ...tag, type >>> 8, type & 0xff];
  const head = Uint8Array.from([...link, ...network, ...transportHeader, ...pattern(payload)]);
  const headers = headersOf(head);
  put16(head, headers.transport + offset, pseudoHeaderSum(head, headers, length));
  return { head, fragments: [], length: head.length, checksum: { start: headers.transport, offset } };
}

function ipv4Header(protocol: number, length: number): Uint8Array {
  const header = new Uint8Array(20);
  header.set([0x45, 0, 0, 0, 0x12, 0xff, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
  put16(header, 2, 20 + length);
  put16(header, 10, finish(addBytes(0, header)));
  return header;
}

function ipv6Header(protocol: number, length: number): Uint8Array {
  const header = new Uint8Array(40);
  header.set([0x60, 0, 0, 0, 0, 0, protocol, 64, 0xfe, 0x80]);
  put16(header, 4, length);
  header.set([0xfe, 0x80], 24);
  header[23] = 1;
  header[39] = 2;
  return header;
}
