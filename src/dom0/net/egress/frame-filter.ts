/**
 * What passes between an interface with rules and another one of the same bridge: only what rules for addresses allow. There is no memory of connections at the switch,
 * so that the way back of an allowed connection is told by its ports: a guest that may reach port 5432 of another gets from there what comes from port 5432.
 */
import { EtherType, headersOf, IpProtocol } from '../headers.ts';
import { u16 } from '../packet/bytes.ts';
import { matchesAddress, matchesWay, type CompiledRule } from './egress-rules.ts';

/** `out`: from the interface with the rules to the other. */
export type Direction = 'out' | 'in';

const ARP_LENGTH = 28;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;

export function mayPass(head: Uint8Array, direction: Direction, rules: readonly CompiledRule[]): boolean {
  const headers = headersOf(head);
  const { etherType, network, protocol, transport, fragment } = headers;
  // A tag could lead to where nobody looks.
  if (u16(head, 12) !== etherType) return false;
  const other = (at: number, size: number): Uint8Array => head.subarray(at, at + size);
  const isKnown = (address: Uint8Array): boolean => rules.some((rule) => matchesAddress(rule, address));
  switch (etherType) {
    case EtherType.ARP:
      // Whom it asks for, or who asks or answers.
      return head.length >= network + ARP_LENGTH && isKnown(other(network + (direction === 'out' ? 24 : 14), 4));
    case EtherType.IPv4:
    case EtherType.IPv6: {
      if (protocol === undefined) return false;
      const six = etherType === EtherType.IPv6;
      const [size, source] = six ? [16, network + 8] : [4, network + 12];
      const address = other(direction === 'out' ? source + size : source, size);
      const discovered = six && protocol === IpProtocol.ICMPv6 ? neighbourOf(head, transport) : undefined;
      if (discovered !== undefined) {
        const asks = head[transport] === NEIGHBOUR_SOLICITATION;
        // Whom the guest asks for, who asks for it, and who answers whom.
        return isKnown((direction === 'out') === asks ? discovered : address);
      }
      const way = protocol === IpProtocol.TCP ? 'tcp' : protocol === IpProtocol.UDP ? 'udp' : 'other';
      const hasPorts = way !== 'other' && !fragment && transport + 4 <= head.length;
      const port = hasPorts ? u16(head, transport + (direction === 'out' ? 2 : 0)) : undefined;
      return rules.some((rule) => matchesAddress(rule, address) && matchesWay(rule, way, port));
    }
    default:
      return false;
  }
}

/** The address that neighbour discovery is about. */
function neighbourOf(head: Uint8Array, transport: number): Uint8Array | undefined {
  const type = head[transport];
  if (type !== NEIGHBOUR_SOLICITATION && type !== NEIGHBOUR_ADVERTISEMENT) return undefined;
  return head.length < transport + 24 ? undefined : head.subarray(transport + 8, transport + 24);
}
