/** Where the headers of a frame begin: ethernet, IPv4 (RFC 791) or IPv6 (RFC 8200), TCP or UDP. */
import { ethernetHeaderLength } from './link.ts';
import { u16 } from './packet/bytes.ts';

export const EtherType = { IPv4: 0x0800, ARP: 0x0806, VLAN: 0x8100, serviceVLAN: 0x88a8, IPv6: 0x86dd } as const;
export const IpProtocol = {
  hopByHop: 0,
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  routing: 43,
  fragment: 44,
  authentication: 51,
  ICMPv6: 58,
  destinationOptions: 60,
} as const;

const vlanTagLength = 4;
const maxVlanTags = 2;
const ipv4MinLength = 20;
const ipv6Length = 40;
const tcpMinLength = 20;
const udpLength = 8;

export interface Headers {
  /** Of what follows the ethernet header and its VLAN tags. */
  readonly etherType: number;
  /** Where that begins. */
  readonly network: number;
  /** Of the transport header: a number of IpProtocol or any other; undefined for what is no IP, or no whole header. */
  readonly protocol: number | undefined;
  readonly transport: number;
  /** A fragment of an IP packet. Its transport header, if it has one, counts for all of them. */
  readonly fragment: boolean;
}

/** Looks at the begin of a frame; what lies beyond it counts as not there. */
export function headersOf(head: Uint8Array): Headers {
  let network = ethernetHeaderLength;
  let etherType = u16(head, network - 2);
  for (let tags = 0; tags < maxVlanTags && isVlan(etherType) && network + vlanTagLength <= head.length; tags++) {
    network += vlanTagLength;
    etherType = u16(head, network - 2);
  }
  const parse = etherType === EtherType.IPv4 ? ipv4 : etherType === EtherType.IPv6 ? ipv6 : undefined;
  // Without spreading one object into the other: this runs for every frame.
  const found = parse?.(head, network);
  return {
    etherType,
    network,
    protocol: found?.protocol,
    transport: found?.transport ?? head.length,
    fragment: found?.fragment ?? false,
  };
}

type Transport = Pick<Headers, 'protocol' | 'transport' | 'fragment'>;

function isVlan(etherType: number): boolean {
  return etherType === EtherType.VLAN || etherType === EtherType.serviceVLAN;
}

function ipv4(head: Uint8Array, at: number): Transport | undefined {
  const first = head[at] ?? 0;
  const length = (first & 15) * 4;
  if (first >>> 4 !== 4 || length < ipv4MinLength || at + length > head.length) return undefined;
  // More fragments, or an offset.
  const fragment = (u16(head, at + 6) & 0x3fff) !== 0;
  return { protocol: head[at + 9], transport: at + length, fragment };
}

/** Extension headers in units of 8 bytes beyond the first 8 (RFC 8200, 4); an authentication header in 4s beyond 8 (RFC 4302). */
const extensionUnit = new Map<number, number>([
  [IpProtocol.hopByHop, 8],
  [IpProtocol.routing, 8],
  [IpProtocol.destinationOptions, 8],
  [IpProtocol.authentication, 4],
]);

function ipv6(head: Uint8Array, at: number): Transport | undefined {
  if ((head[at] ?? 0) >>> 4 !== 6 || at + ipv6Length > head.length) return undefined;
  let protocol = head[at + 6] ?? 0;
  let transport = at + ipv6Length;
  let fragment = false;
  for (;;) {
    const unit = extensionUnit.get(protocol);
    if (unit === undefined && protocol !== IpProtocol.fragment) return { protocol, transport, fragment };
    // Each step goes on by 8 bytes at least, and the head ends.
    if (transport + 8 > head.length) return undefined;
    if (unit === undefined) fragment ||= (u16(head, transport + 2) & 0xfff9) !== 0;
    const next = head[transport] ?? 0;
    transport += 8 + (head[transport + 1] ?? 0) * (unit ?? 0);
    protocol = next;
  }
}

/** Length of the TCP header at `transport`, or undefined when the head does not hold it. */
export function tcpHeaderLength(head: Uint8Array, transport: number): number | undefined {
  const length = ((head[transport + 12] ?? 0) >>> 4) * 4;
  return length < tcpMinLength || transport + length > head.length ? undefined : length;
}

/** Where TCP and UDP have their checksum, from the transport header on. */
const checksumAt = new Map<number, { readonly offset: number; readonly least: number }>([
  [IpProtocol.TCP, { offset: 16, least: tcpMinLength }],
  [IpProtocol.UDP, { offset: 6, least: udpLength }],
]);

/** Offset of the checksum in the transport header; undefined for packets whose checksum nobody puts off (skb_checksum_setup). */
export function checksumOffset(head: Uint8Array, { protocol, transport, fragment }: Headers): number | undefined {
  const field = protocol === undefined || fragment ? undefined : checksumAt.get(protocol);
  return field === undefined || transport + field.least > head.length ? undefined : field.offset;
}
