/**
 * Against spoofing, for a bridge that wants it: every frame of a port has to come from its own ethernet address, and every packet, ARP message and neighbour
 * advertisement has to be about an address that the port has been given. A vif with `ip=` is checked by its backend besides (../back/source-guard.ts).
 */
import { macKey, parseMac } from '../packet/addresses.ts';
import { equalBytes, u16 } from '../packet/bytes.ts';
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ethernetHeader,
  PROTOCOL_ICMPV6,
  PROTOCOL_UDP,
} from '../packet/ethernet.ts';

export interface Guard {
  /** False: the frame is not let in. */
  (head: Uint8Array): boolean;
  /** Whether this ethernet address is the port's and nobody else's. */
  owns(address: number): boolean;
}

const NEIGHBOUR_ADVERTISEMENT = 136;
const DHCP_CLIENT = 68;
const DHCP_SERVER = 67;

/** The addresses that a port has been given; undefined: any will do. They may change, by DHCP for instance. */
export type Given = () => readonly Uint8Array[] | undefined;

/** Undefined for a port without an ethernet address in the configuration: it has nothing to be held against. */
export function guardFor(macText: string | undefined, given: Given): Guard | undefined {
  const mac = macText === undefined ? undefined : parseMac(macText);
  if (mac === undefined) return undefined;
  const own = macKey(mac);
  const linkLocal = eui64(linkLocalPrefix, mac);
  const mayBe = (address: Uint8Array): boolean => {
    const addresses = given();
    return (
      addresses === undefined || equalBytes(address, linkLocal) || addresses.some((one) => equalBytes(one, address))
    );
  };
  const check = (head: Uint8Array): boolean => {
    if (macKey(head, 6) !== own) return false;
    switch (u16(head, 12)) {
      case ETHERTYPE_ARP:
        return arp(head, own, mayBe);
      case ETHERTYPE_IPV4:
        return ipv4(head, mayBe);
      case ETHERTYPE_IPV6:
        return ipv6(head, mayBe);
      default:
        // Tags and other protocols could carry what is not looked at.
        return given() === undefined;
    }
  };
  return Object.assign(check, { owns: (address: number) => address === own });
}

type MayBe = (address: Uint8Array) => boolean;

function arp(head: Uint8Array, own: number, mayBe: MayBe): boolean {
  const at = ethernetHeader;
  if (head.length < at + 28 || macKey(head, at + 8) !== own) return false;
  const sender = head.subarray(at + 14, at + 18);
  // A probe has no address yet (RFC 5227).
  return isZero(sender) || mayBe(sender);
}

function ipv4(head: Uint8Array, mayBe: MayBe): boolean {
  const at = ethernetHeader;
  if (head.length < at + 20) return false;
  const source = head.subarray(at + 12, at + 16);
  if (!isZero(source)) return mayBe(source);
  const transport = at + ((head[at] ?? 0) & 0xf) * 4;
  return (
    head[at + 9] === PROTOCOL_UDP && u16(head, transport) === DHCP_CLIENT && u16(head, transport + 2) === DHCP_SERVER
  );
}

function ipv6(head: Uint8Array, mayBe: MayBe): boolean {
  const at = ethernetHeader;
  if (head.length < at + 40) return false;
  const source = head.subarray(at + 8, at + 24);
  const discovery = head[at + 6] === PROTOCOL_ICMPV6;
  if (isZero(source)) return discovery;
  if (!mayBe(source)) return false;
  const claims = discovery && head[at + 40] === NEIGHBOUR_ADVERTISEMENT;
  return !claims || (head.length >= at + 64 && mayBe(head.subarray(at + 48, at + 64)));
}

function isZero(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

const linkLocalPrefix = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0);

/** The address with the ethernet address in it (modified EUI-64: RFC 4291, appendix A), as Linux makes it unless told otherwise. */
export function eui64(prefix: Uint8Array, mac: Uint8Array): Uint8Array {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac;
  return Uint8Array.of(...prefix.subarray(0, 8), a ^ 2, b, c, 0xff, 0xfe, d, e, f);
}
