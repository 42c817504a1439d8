/** UDP (RFC 768). */
import { put16, u16 } from './bytes.ts';
import { PROTOCOL_UDP } from './ethernet.ts';
import { transportChecksum, type IpPacket } from './ip.ts';

export const udpHeader = 8;

export interface Datagram {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly data: Uint8Array;
}

/** Undefined: its length cannot be. */
export function parseUdp({ payload }: IpPacket): Datagram | undefined {
  const length = u16(payload, 4);
  if (payload.length < udpHeader || length < udpHeader || length > payload.length) return undefined;
  return { sourcePort: u16(payload, 0), destinationPort: u16(payload, 2), data: payload.subarray(udpHeader, length) };
}

export function writeUdp(
  source: Uint8Array,
  destination: Uint8Array,
  { sourcePort, destinationPort, data }: Datagram,
): Uint8Array {
  const bytes = new Uint8Array(udpHeader + data.length);
  put16(bytes, 0, sourcePort);
  put16(bytes, 2, destinationPort);
  put16(bytes, 4, bytes.length);
  bytes.set(data, udpHeader);
  put16(bytes, 6, transportChecksum({ source, destination, protocol: PROTOCOL_UDP }, bytes));
  return bytes;
}
