/** ICMP (RFC 792) and ICMPv6 (RFC 4443) messages that the NAT sends. */
import { put16 } from '../packet/bytes.ts';
import { addBytes, finish } from '../packet/checksum.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../packet/ethernet.ts';
import { ipv4Header, ipv6Header, transportChecksum, writeIp, type IpPacket } from '../packet/ip.ts';

export const ICMP_ECHO_REPLY = 0;
export const ICMP_ECHO = 8;
export const ICMPV6_ECHO = 128;
export const ICMPV6_ECHO_REPLY = 129;

/** Why something did not get where it should: type and code in both versions. */
const unreachable = {
  host: { 4: [3, 1], 6: [1, 3] },
  port: { 4: [3, 3], 6: [1, 4] },
  prohibited: { 4: [3, 13], 6: [1, 1] },
} as const;

export type Unreachable = keyof typeof unreachable;

const HEADER = 8;
/** Of the packet that an error is about; enough to find the connection by, whatever the MTU. */
const QUOTED = 8;

/** The whole message, with its checksum. */
export function message(
  source: Uint8Array,
  destination: Uint8Array,
  type: number,
  code: number,
  body: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  bytes[0] = type;
  bytes[1] = code;
  bytes.set(body, 4);
  const sum =
    source.length === 4
      ? finish(addBytes(0, bytes))
      : transportChecksum({ source, destination, protocol: PROTOCOL_ICMPV6 }, bytes);
  put16(bytes, 2, sum);
  return bytes;
}

export function icmpOf(address: Uint8Array): number {
  return address.length === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
}

/** An error about a packet, to its sender. */
export function unreachableMessage(from: Uint8Array, why: Unreachable, packet: IpPacket): Uint8Array {
  const { version, source, destination, protocol, payload, hopLimit } = packet;
  const [type, code] = unreachable[why][version];
  const ipLength = version === 4 ? ipv4Header : ipv6Header;
  const quoted = payload.subarray(0, QUOTED);
  const body = new Uint8Array(HEADER - 4 + ipLength + quoted.length);
  writeIp(body, HEADER - 4, { source, destination, protocol, length: payload.length, hopLimit });
  body.set(quoted, HEADER - 4 + ipLength);
  return message(from, source, type, code, body);
}
