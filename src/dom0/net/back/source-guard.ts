/**
 * What a vif with `ip=` may send: frames from its own MAC address and, of IPv4 and IPv6, only packets from the addresses named, so
 * that it cannot pose as a neighbour. The rules are those which Xen's vif-bridge puts into iptables (tools/hotplug/Linux/vif-common.sh,
 * frob_iptable: the addresses, and DHCP requests), and what must be added for ARP and neighbour discovery to mean something.
 */
import { EtherType, headersOf, IpProtocol } from '../headers.ts';
import { contains, macKey, parseIp, parseMac, parseSubnet, type Subnet } from '../packet/addresses.ts';
import { u16 } from '../packet/bytes.ts';

const DHCP_CLIENT = 68;
const DHCP_SERVER = 67;
const ARP_LENGTH = 28;
/** ICMPv6 types (RFC 4861, 4). */
const NDP = { routerAdvertisement: 134, neighborAdvertisement: 136, redirect: 137 } as const;
const SOURCE = 6;

const zero4 = subnet('0.0.0.0/32');
const zero6 = subnet('::/128');
const linkLocal = subnet('fe80::/10');

export class SourceGuard {
  readonly #mac: number;
  readonly #own: readonly Subnet[];

  private constructor(mac: number, own: readonly Subnet[]) {
    this.#mac = mac;
    this.#own = own;
  }

  /**
   * `ip`: addresses, or networks as 192.0.2.0/24, with blanks between. Throws Error with a sentence for a person: a guard that
   * has not understood what it is to allow would be none.
   */
  static from(mac: string, ip: string): SourceGuard {
    const address = parseMac(mac);
    if (address === undefined) throw new Error(`mac=${mac} is no MAC address`);
    const own = ip
      .split(/\s+/)
      .filter((text) => text !== '')
      .map((text) => {
        const single = parseIp(text);
        const range = single === undefined ? parseSubnet(text) : { address: single, prefix: single.length * 8 };
        if (range === undefined) throw new Error(`ip=${text} is neither an address nor a network`);
        return range;
      });
    return new SourceGuard(macKey(address), own);
  }

  /** By the frame's private head; nothing of it lies in the guest's memory. */
  allows(head: Uint8Array): boolean {
    if (macKey(head, SOURCE) !== this.#mac) return false;
    const headers = headersOf(head);
    const { etherType, network, protocol, transport, fragment } = headers;
    switch (etherType) {
      case EtherType.IPv4:
        if (protocol === undefined) return false;
        return (
          this.#isOwn(head, network + 12, 4) ||
          (isAt(zero4, head, network + 12) && isDhcp(head, protocol, transport, fragment))
        );
      case EtherType.IPv6:
        return protocol !== undefined && this.#allowsIpv6(head, network, protocol, transport);
      case EtherType.ARP:
        return this.#allowsArp(head, network);
      case EtherType.VLAN:
      case EtherType.serviceVLAN:
        return false; // more tags than headersOf looks behind
      default:
        return true;
    }
  }

  #isOwn(head: Uint8Array, at: number, size: number): boolean {
    return this.#own.some((range) => range.address.length === size && isAt(range, head, at));
  }

  /** The sender's addresses are the guest's own; 0.0.0.0 asks whether an address is taken (RFC 5227). */
  #allowsArp(head: Uint8Array, at: number): boolean {
    const ethernetAndIpv4 = u16(head, at) === 1 && u16(head, at + 2) === 0x0800 && u16(head, at + 4) === 0x0604;
    if (!ethernetAndIpv4 || head.length < at + ARP_LENGTH || macKey(head, at + 8) !== this.#mac) return false;
    return this.#isOwn(head, at + 14, 4) || isAt(zero4, head, at + 14);
  }

  /** Link-local addresses are everybody's; what others would believe of somebody else's address is not. */
  #allowsIpv6(head: Uint8Array, network: number, protocol: number, transport: number): boolean {
    const source = network + 8;
    if (!this.#isOwn(head, source, 16) && !isAt(linkLocal, head, source) && !isAt(zero6, head, source)) return false;
    if (protocol !== IpProtocol.ICMPv6) return true;
    const type = head[transport];
    if (type === NDP.routerAdvertisement || type === NDP.redirect) return false;
    const target = transport + 8;
    return type !== NDP.neighborAdvertisement || this.#isOwn(head, target, 16) || isAt(linkLocal, head, target);
  }
}

function isDhcp(head: Uint8Array, protocol: number, transport: number, fragment: boolean): boolean {
  if (protocol !== IpProtocol.UDP || fragment) return false;
  return u16(head, transport) === DHCP_CLIENT && u16(head, transport + 2) === DHCP_SERVER;
}

function isAt(range: Subnet, head: Uint8Array, at: number): boolean {
  return contains(range, head.subarray(at, at + range.address.length));
}

function subnet(text: string): Subnet {
  const parsed = parseSubnet(text);
  if (parsed === undefined) throw new Error(`${text} is no network`);
  return parsed;
}
