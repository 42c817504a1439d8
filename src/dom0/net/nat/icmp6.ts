/** The gateway's part of neighbour discovery (RFC 4861): it answers for its addresses, and tells guests the prefix and the name server (RFC 8106). */
import { equalBytes, put16, put32 } from '../packet/bytes.ts';
import { PROTOCOL_ICMPV6 } from '../packet/ethernet.ts';
import type { IpPacket } from '../packet/ip.ts';
import type { Subnet } from '../packet/addresses.ts';
import { message } from './icmp.ts';
import type { Neighbours } from './neighbours.ts';
import type { Station } from './station.ts';

const ROUTER_SOLICITATION = 133;
const ROUTER_ADVERTISEMENT = 134;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;

const OPTION_SOURCE_LINK = 1;
const OPTION_TARGET_LINK = 2;
const OPTION_PREFIX = 3;
const OPTION_MTU = 5;
const OPTION_NAME_SERVER = 25;

/** From a neighbour, not from behind a router (RFC 4861, section 6.1.1 and others). */
const HOPS = 255;
const ROUTER_LIFETIME = 9000;
const PREFIX_LIFETIME = 24 * 3600;
/** Router, solicited, override. */
const ADVERTISEMENT_FLAGS = 0xe0;
const ON_LINK_AUTONOMOUS = 0xc0;

const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const allNodesMac = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);

export interface RouterOptions {
  readonly linkLocal: Uint8Array;
  readonly subnet: Subnet;
  readonly nameServer: Uint8Array;
  readonly mtu: number;
  /** Whether IPv6 leads anywhere from here; the gateway is no default router otherwise. */
  readonly leadsOut: () => boolean;
  readonly isOurs: (address: Uint8Array) => boolean;
}

export class NeighbourDiscovery {
  readonly #station: Station;
  readonly #neighbours: Neighbours;
  readonly #options: RouterOptions;

  constructor(station: Station, neighbours: Neighbours, options: RouterOptions) {
    this.#station = station;
    this.#neighbours = neighbours;
    this.#options = options;
    neighbours.solicit = (address) => this.#solicit(address);
  }

  receive({ payload, hopLimit, source }: IpPacket, mac: Uint8Array): void {
    if (hopLimit !== HOPS || payload[1] !== 0) return;
    if (payload[0] === ROUTER_SOLICITATION) this.advertise();
    if (payload.length < 24) return;
    const target = payload.slice(8, 24);
    if (payload[0] === NEIGHBOUR_SOLICITATION && this.#options.isOurs(target)) this.#answer(target, source, mac);
    if (payload[0] === NEIGHBOUR_ADVERTISEMENT && !this.#options.isOurs(target)) this.#neighbours.heard(target, mac);
  }

  /** A router advertisement to all. */
  advertise(): void {
    const { linkLocal, subnet, nameServer, mtu, leadsOut } = this.#options;
    const body = new Uint8Array(12 + 8 + 8 + 32 + 24);
    body[0] = 64;
    put16(body, 2, leadsOut() ? ROUTER_LIFETIME : 0);
    let at = 12;
    body.set([OPTION_SOURCE_LINK, 1, ...this.#station.mac], at);
    at += 8;
    body.set([OPTION_MTU, 1], at);
    put32(body, at + 4, mtu);
    at += 8;
    body.set([OPTION_PREFIX, 4, subnet.prefix, ON_LINK_AUTONOMOUS], at);
    put32(body, at + 4, PREFIX_LIFETIME);
    put32(body, at + 8, PREFIX_LIFETIME / 2);
    body.set(subnet.address, at + 16);
    at += 32;
    body.set([OPTION_NAME_SERVER, 3], at);
    put32(body, at + 4, PREFIX_LIFETIME);
    body.set(nameServer, at + 8);
    this.#send(allNodesMac, linkLocal, allNodes, ROUTER_ADVERTISEMENT, body);
  }

  #answer(target: Uint8Array, source: Uint8Array, mac: Uint8Array): void {
    // A guest that looks whether its new address is free (source unspecified) hears it with all others.
    const anonymous = source.every((byte) => byte === 0);
    const body = new Uint8Array(4 + 16 + 8);
    body[0] = anonymous ? ADVERTISEMENT_FLAGS & ~0x40 : ADVERTISEMENT_FLAGS;
    body.set(target, 4);
    body.set([OPTION_TARGET_LINK, 1, ...this.#station.mac], 20);
    this.#send(anonymous ? allNodesMac : mac, target, anonymous ? allNodes : source, NEIGHBOUR_ADVERTISEMENT, body);
  }

  #solicit(address: Uint8Array): void {
    const low = address.subarray(13);
    const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...low);
    const body = new Uint8Array(4 + 16 + 8);
    body.set(address, 4);
    body.set([OPTION_SOURCE_LINK, 1, ...this.#station.mac], 20);
    const mac = Uint8Array.of(0x33, 0x33, 0xff, ...low);
    this.#send(mac, this.#options.linkLocal, group, NEIGHBOUR_SOLICITATION, body);
  }

  #send(mac: Uint8Array, source: Uint8Array, destination: Uint8Array, type: number, body: Uint8Array): void {
    const bytes = message(source, destination, type, 0, body);
    const header = { source, destination, protocol: PROTOCOL_ICMPV6, length: bytes.length, hopLimit: HOPS };
    this.#station.send(mac, header, bytes, []);
  }

  /** Whether the address is one that discovery is about, and nobody else's business. */
  static isMulticast(address: Uint8Array): boolean {
    return address.length === 16 && address[0] === 0xff;
  }

  static isLinkLocal(address: Uint8Array): boolean {
    return address.length === 16 && equalBytes(address.subarray(0, 8), linkLocalPrefix);
  }
}

const linkLocalPrefix = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0);
