/** Which of several queues a frame goes to: the same for all frames of a connection, so that they stay in order. */
import { EtherType, headersOf, IpProtocol } from '../headers.ts';

const hasPorts = new Set<number | undefined>([IpProtocol.TCP, IpProtocol.UDP]);

/** FNV-1a over addresses and ports. Not a guard against a guest that wants one queue for all. */
export function flowHash(head: Uint8Array): number {
  const { etherType, network, protocol, transport, fragment } = headersOf(head);
  let hash = 0x811c9dc5;
  const add = (from: number, to: number): void => {
    for (let at = from; at < to; at++) hash = Math.imul(hash ^ (head[at] ?? 0), 0x01000193);
  };
  if (etherType === EtherType.IPv4) add(network + 12, network + 20);
  else if (etherType === EtherType.IPv6) add(network + 8, network + 40);
  else add(0, 12);
  if (hasPorts.has(protocol) && !fragment) add(transport, transport + 4);
  return hash >>> 0;
}
