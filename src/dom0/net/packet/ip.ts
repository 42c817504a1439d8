/** IPv4 (RFC 791) and IPv6 (RFC 8200) packets: taking one apart with every length checked, and writing headers. */
import { type Frame } from '../link.ts';
import { gather, put16, u16 } from './bytes.ts';
import { addBytes, finish, fold, pseudoHeader } from './checksum.ts';
import {
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ethernetHeader,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './ethernet.ts';

export interface IpPacket {
  readonly version: 4 | 6;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly hopLimit: number;
  /** The transport's bytes, copied: header and payload. For a fragment, its part of them. */
  readonly payload: Uint8Array;
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean };
  /** The transport's checksum needs no check. */
  readonly verified: boolean;
}

export const ipv4Header = 20;
export const ipv6Header = 40;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
/** Hop-by-hop options, routing, destination options: skipped. RFC 8200, section 4. */
const skippedHeaders: ReadonlySet<number> = new Set([0, 43, 60]);
const FRAGMENT_HEADER = 44;
/** More than a sane packet has. */
const MOST_HEADERS = 8;

/** The packet in a frame; undefined when it is none, or a broken one. */
export function parseIp(frame: Frame): IpPacket | undefined {
  const { head } = frame;
  const type = u16(head, 12);
  if (type === ETHERTYPE_IPV4) return parseIpv4(frame);
  return type === ETHERTYPE_IPV6 ? parseIpv6(frame) : undefined;
}

function parseIpv4(frame: Frame): IpPacket | undefined {
  const { head, fragments } = frame;
  const at = ethernetHeader;
  const headerLength = ((head[at] ?? 0) & 0xf) * 4;
  const total = u16(head, at + 2);
  const broken =
    (head[at] ?? 0) >> 4 !== 4 ||
    headerLength < ipv4Header ||
    at + headerLength > head.length ||
    total < headerLength ||
    at + total > frame.length ||
    finish(addBytes(0, head.subarray(at, at + headerLength))) !== 0;
  if (broken) return undefined;
  const flags = u16(head, at + 6);
  const fragmented = (flags & (MORE_FRAGMENTS | 0x1fff)) !== 0;
  return {
    version: 4,
    source: head.slice(at + 12, at + 16),
    destination: head.slice(at + 16, at + 20),
    protocol: head[at + 9] ?? 0,
    hopLimit: head[at + 8] ?? 0,
    payload: gather(head, fragments, at + headerLength, at + total),
    verified: isVerified(frame),
    ...(fragmented
      ? { fragment: { id: u16(head, at + 4), offset: (flags & 0x1fff) * 8, more: (flags & MORE_FRAGMENTS) !== 0 } }
      : {}),
  };
}

function parseIpv6(frame: Frame): IpPacket | undefined {
  const { head, fragments } = frame;
  const start = ethernetHeader;
  if (head.length < start + ipv6Header || (head[start] ?? 0) >> 4 !== 6) return undefined;
  const end = start + ipv6Header + u16(head, start + 4);
  if (end > frame.length) return undefined;
  let protocol = head[start + 6] ?? 0;
  let at = start + ipv6Header;
  let fragment: IpPacket['fragment'];
  for (let i = 0; skippedHeaders.has(protocol) || protocol === FRAGMENT_HEADER; i++) {
    if (i === MOST_HEADERS || at + 8 > head.length || at + 8 > end) return undefined;
    if (protocol === FRAGMENT_HEADER) {
      const word = u16(head, at + 2);
      const part = {
        id: u16(head, at + 4) * 0x10000 + u16(head, at + 6),
        offset: word & 0xfff8,
        more: (word & 1) !== 0,
      };
      // One that is the whole packet is none (RFC 6946).
      if (part.offset !== 0 || part.more) fragment = part;
      protocol = head[at] ?? 0;
      at += 8;
      if (fragment) break;
    } else {
      protocol = head[at] ?? 0;
      at += 8 + (head[at + 1] ?? 0) * 8;
      if (at > end) return undefined;
    }
  }
  return {
    version: 6,
    source: head.slice(start + 8, start + 24),
    destination: head.slice(start + 24, start + 40),
    protocol,
    hopLimit: head[start + 7] ?? 0,
    payload: gather(head, fragments, at, end),
    verified: isVerified(frame),
    ...(fragment ? { fragment } : {}),
  };
}

function isVerified({ verified, checksum }: Frame): boolean {
  return verified === true || checksum !== undefined;
}

/** Whether the transport's checksum over the payload is right. UDP's may be absent in IPv4. */
export function checksumRight({ version, source, destination, protocol, payload, verified }: IpPacket): boolean {
  if (verified) return true;
  if (protocol === PROTOCOL_ICMP) return finish(addBytes(0, payload)) === 0;
  if (protocol === PROTOCOL_UDP && version === 4 && u16(payload, 6) === 0) return true;
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_ICMPV6) return true;
  return finish(addBytes(pseudoHeader(source, destination, protocol, payload.length), payload)) === 0;
}

export interface IpHeader {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  /** Of what follows the header. */
  readonly length: number;
  readonly hopLimit?: number;
  /** IPv4 only: this is a part. */
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean };
}

const HOPS = 64;

/** Writes the header at `at` and returns its length; the version is that of the addresses. */
export function writeIp(to: Uint8Array, at: number, header: IpHeader): number {
  return header.source.length === 4 ? writeIpv4(to, at, header) : writeIpv6(to, at, header);
}

function writeIpv4(to: Uint8Array, at: number, header: IpHeader): number {
  const { fragment } = header;
  to[at] = 0x45;
  to[at + 1] = 0;
  put16(to, at + 2, ipv4Header + header.length);
  put16(to, at + 4, fragment?.id ?? 0);
  put16(to, at + 6, fragment ? (fragment.offset >> 3) | (fragment.more ? MORE_FRAGMENTS : 0) : DONT_FRAGMENT);
  to[at + 8] = header.hopLimit ?? HOPS;
  to[at + 9] = header.protocol;
  put16(to, at + 10, 0);
  to.set(header.source, at + 12);
  to.set(header.destination, at + 16);
  put16(to, at + 10, finish(addBytes(0, to.subarray(at, at + ipv4Header))));
  return ipv4Header;
}

function writeIpv6(to: Uint8Array, at: number, header: IpHeader): number {
  to[at] = 0x60;
  to[at + 1] = to[at + 2] = to[at + 3] = 0;
  put16(to, at + 4, header.length);
  to[at + 6] = header.protocol;
  to[at + 7] = header.hopLimit ?? HOPS;
  to.set(header.source, at + 8);
  to.set(header.destination, at + 24);
  return ipv6Header;
}

/** The checksum over a whole transport payload; where a result of zero means "none", all ones stand for it (RFC 768). */
export function transportChecksum(
  header: Pick<IpHeader, 'source' | 'destination' | 'protocol'>,
  payload: Uint8Array,
): number {
  const sum = finish(
    addBytes(pseudoHeader(header.source, header.destination, header.protocol, payload.length), payload),
  );
  return sum === 0 && header.protocol === PROTOCOL_UDP ? 0xffff : sum;
}

/** What stands in the place of a checksum that is still to be finished (`PendingChecksum` of ../link.ts). */
export function partialChecksum(header: IpHeader): number {
  return fold(pseudoHeader(header.source, header.destination, header.protocol, header.length));
}
