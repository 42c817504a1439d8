/** Ethernet headers, and the numbers that say what follows (IEEE 802 numbers, IANA's protocol numbers). */
import { put16 } from './bytes.ts';

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

/** Frames are padded to this on a wire; here they need not be. */
export const ethernetHeader = 14;

export function writeEthernet(to: Uint8Array, destination: Uint8Array, source: Uint8Array, type: number): void {
  to.set(destination, 0);
  to.set(source, 6);
  put16(to, 12, type);
}
