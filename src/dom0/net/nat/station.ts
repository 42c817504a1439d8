/** The NAT as a station on its bridge: its ethernet address, sending packets, and finding the guests' ethernet addresses. */
import type { Frame, LinkEnd, PendingChecksum, Segmentation } from '../link.ts';
import { headLength } from '../link.ts';
import { ethernetHeader, ETHERTYPE_IPV4, ETHERTYPE_IPV6, writeEthernet } from '../packet/ethernet.ts';
import { ipv4Header, ipv6Header, writeIp, type IpHeader } from '../packet/ip.ts';

export interface Offload {
  /** Where in the transport's header the checksum lies; it holds the pseudo header's sum. */
  readonly checksumAt: number;
  /** The payload is to be cut into segments of this length. */
  readonly segment?: number | undefined;
}

export class Station {
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly #link: LinkEnd;
  /** Who was refused and waits for room. */
  #waiting = new Set<() => void>();
  #fragmentId = 0;

  constructor(link: LinkEnd, mac: Uint8Array, mtu: number) {
    this.#link = link;
    this.mac = mac;
    this.mtu = mtu;
  }

  /** A whole frame without offloads. */
  sendFrame(bytes: Uint8Array): boolean {
    return this.#link.send({ head: bytes, fragments: [], length: bytes.length, verified: true });
  }

  /**
   * A packet that fits the MTU, or a large TCP segment with `offload`. False: no room now. `transport` is the transport's header, and
   * perhaps more; `rest` follows in place.
   */
  send(
    to: Uint8Array,
    header: IpHeader,
    transport: Uint8Array,
    rest: readonly Uint8Array[],
    offload?: Offload,
  ): boolean {
    const six = header.source.length === 16;
    const ipLength = six ? ipv6Header : ipv4Header;
    const start = ethernetHeader + ipLength;
    const length = start + header.length;
    // The head has to be long enough for those who look into it; what does not fit stays in place.
    const head = new Uint8Array(Math.max(Math.min(length, headLength), start + transport.length));
    writeEthernet(head, to, this.mac, six ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    writeIp(head, ethernetHeader, header);
    head.set(transport, start);
    const fragments = fillHead(head, start + transport.length, rest);
    let checksum: PendingChecksum | undefined;
    let segmentation: Segmentation | undefined;
    if (offload) {
      checksum = { start, offset: offload.checksumAt };
      if (offload.segment !== undefined) segmentation = { type: six ? 'tcpv6' : 'tcpv4', size: offload.segment };
    }
    const frame: Frame = { head, fragments, length, checksum, verified: true, segmentation };
    return this.#link.send(frame);
  }

  /** A datagram of any length, in fragments when it has to be. False: there was no room for some of it. */
  sendDatagram(to: Uint8Array, header: IpHeader, payload: Uint8Array): boolean {
    const six = header.source.length === 16;
    const most = this.mtu - (six ? ipv6Header : ipv4Header);
    if (payload.length <= most) return this.send(to, header, payload, []);
    const part = (most - (six ? fragmentHeader : 0)) & ~7;
    const id = (this.#fragmentId = (this.#fragmentId + 1) & 0xffff);
    for (let offset = 0; offset < payload.length; offset += part) {
      const bytes = payload.subarray(offset, offset + part);
      const more = offset + part < payload.length;
      const sent = six
        ? this.send(
            to,
            { ...header, protocol: FRAGMENT, length: bytes.length + fragmentHeader },
            fragmentHeader6(header.protocol, id, offset, more),
            [bytes],
          )
        : this.send(to, { ...header, length: bytes.length, fragment: { id, offset, more } }, bytes, []);
      if (!sent) return false;
    }
    return true;
  }

  /** Calls this back when the link has room again after it refused. */
  whenRoom(resume: () => void): void {
    this.#waiting.add(resume);
  }

  forget(resume: () => void): void {
    this.#waiting.delete(resume);
  }

  room(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const resume of waiting) resume();
  }
}

const FRAGMENT = 44;
const fragmentHeader = 8;

function fragmentHeader6(protocol: number, id: number, offset: number, more: boolean): Uint8Array {
  return Uint8Array.of(protocol, 0, offset >> 8, (offset & 0xf8) | (more ? 1 : 0), 0, 0, id >> 8, id & 0xff);
}

/** Copies as much of the pieces as the head takes from `at` on; returns what is left of them. */
function fillHead(head: Uint8Array, at: number, pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  let to = at;
  const left: Uint8Array[] = [];
  for (const piece of pieces) {
    const take = Math.min(piece.length, head.length - to);
    if (take > 0) head.set(take === piece.length ? piece : piece.subarray(0, take), to);
    to += take;
    if (take < piece.length) left.push(take > 0 ? piece.subarray(take) : piece);
  }
  return left;
}
