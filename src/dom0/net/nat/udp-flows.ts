/**
 * UDP through the NAT: a socket of the host for each port of a guest that sends. What comes back from where the guest has sent to goes to the guest,
 * anything else is dropped (address and port dependent filtering of RFC 4787, endpoint-independent mapping).
 */
import { formatIp, macKey, parseIp } from '../packet/addresses.ts';
import { PROTOCOL_UDP } from '../packet/ethernet.ts';
import { udpHeader, writeUdp, type Datagram } from '../packet/udp.ts';
import type { Timers } from '../timers.ts';
import type { DatagramHandlers, HostAddress, HostDatagrams, HostSockets } from './host-sockets.ts';
import type { Station } from './station.ts';

export interface UdpFlowsOptions {
  readonly station: Station;
  readonly timers: Timers;
  readonly sockets: Pick<HostSockets, 'openUdp'>;
}

export interface GuestAddress {
  readonly mac: Uint8Array;
  readonly address: Uint8Array;
  readonly port: number;
}

interface Remote {
  /** As the guest knows it; the host may know it by another address. */
  readonly address: Uint8Array;
  readonly port: number;
}

interface UdpFlow {
  readonly guest: GuestAddress;
  readonly socket: HostDatagrams;
  /** Where the guest has sent to, by the host's name for it; the latest last. */
  readonly remotes: Map<string, Remote>;
  active: number;
}

const MOST_FLOWS = 1024;
const MOST_OF_ONE = 512;
const MOST_REMOTES = 256;
/** RFC 4787 wants two minutes at least. */
const IDLE_MS = 5 * 60_000;
const SWEEP_MS = 15_000;

export class UdpFlows {
  readonly #o: UdpFlowsOptions;
  /** The longest unused first. */
  readonly #flows = new Map<string, UdpFlow>();
  readonly #counts = new Map<number, number>();
  #cancelSweep: (() => void) | undefined;

  constructor(options: UdpFlowsOptions) {
    this.#o = options;
  }

  get size(): number {
    return this.#flows.size;
  }

  /** A datagram of a guest to `remote`, which is `to` for the host. */
  send(guest: GuestAddress, remote: Remote, to: HostAddress, data: Uint8Array): void {
    const key = keyOf(guest);
    const known = this.#flows.get(key);
    // Another guest with the same address begins anew.
    if (known && macKey(known.guest.mac) !== macKey(guest.mac)) this.#close(key, known);
    const flow = this.#flows.get(key) ?? this.#open(key, guest, remote.address.length === 4 ? 4 : 6);
    flow.active = this.#o.timers.now();
    this.#flows.delete(key);
    this.#flows.set(key, flow);
    const name = nameOf(to);
    flow.remotes.delete(name);
    flow.remotes.set(name, remote);
    const [oldest] = flow.remotes.keys();
    if (flow.remotes.size > MOST_REMOTES && oldest !== undefined) flow.remotes.delete(oldest);
    flow.socket.send(data, to);
  }

  /** Whether the guest has sent there lately. */
  stands(guest: GuestAddress, to: HostAddress): boolean {
    const known = this.#flows.get(keyOf(guest));
    return known !== undefined && macKey(known.guest.mac) === macKey(guest.mac) && known.remotes.has(nameOf(to));
  }

  #open(key: string, guest: GuestAddress, family: 4 | 6): UdpFlow {
    this.#makeRoom(guest.mac);
    const remotes = new Map<string, Remote>();
    const handlers: DatagramHandlers = {
      received: (data, from) => {
        const remote = remotes.get(nameOf(from));
        if (remote === undefined) return;
        flow.active = this.#o.timers.now();
        deliver(this.#o.station, guest, remote, data);
      },
      // Somewhere out there a datagram was refused; whose, nobody says.
      failed: () => undefined,
    };
    const flow: UdpFlow = { guest, socket: this.#o.sockets.openUdp(family, handlers), remotes, active: 0 };
    this.#flows.set(key, flow);
    this.#count(guest.mac, 1);
    this.#cancelSweep ??= this.#o.timers.after(SWEEP_MS, () => this.#sweep());
    return flow;
  }

  #makeRoom(mac: Uint8Array): void {
    const own = macKey(mac);
    const full = (this.#counts.get(own) ?? 0) >= MOST_OF_ONE;
    if (!full && this.#flows.size < MOST_FLOWS) return;
    for (const [key, flow] of this.#flows) {
      if (full && macKey(flow.guest.mac) !== own) continue;
      this.#close(key, flow);
      return;
    }
  }

  #count(mac: Uint8Array, change: number): void {
    const key = macKey(mac);
    const count = (this.#counts.get(key) ?? 0) + change;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }

  #close(key: string, flow: UdpFlow): void {
    if (!this.#flows.delete(key)) return;
    this.#count(flow.guest.mac, -1);
    flow.socket.close();
  }

  #sweep(): void {
    this.#cancelSweep = undefined;
    const now = this.#o.timers.now();
    for (const [key, flow] of [...this.#flows]) if (now - flow.active > IDLE_MS) this.#close(key, flow);
    if (this.#flows.size > 0) this.#cancelSweep = this.#o.timers.after(SWEEP_MS, () => this.#sweep());
  }

  forget(mac: Uint8Array): void {
    for (const [key, flow] of [...this.#flows]) if (macKey(flow.guest.mac) === macKey(mac)) this.#close(key, flow);
  }

  close(): void {
    this.#cancelSweep?.();
    for (const [key, flow] of [...this.#flows]) this.#close(key, flow);
  }
}

/** A datagram to a guest, in fragments if it has to be. What there is no room for is lost, as datagrams are. */
export function deliver(station: Station, guest: GuestAddress, from: Remote, data: Uint8Array): boolean {
  const datagram: Datagram = { sourcePort: from.port, destinationPort: guest.port, data };
  const bytes = writeUdp(from.address, guest.address, datagram);
  const header = {
    source: from.address,
    destination: guest.address,
    protocol: PROTOCOL_UDP,
    length: udpHeader + data.length,
  };
  return station.sendDatagram(guest.mac, header, bytes);
}

function keyOf({ address, port }: GuestAddress): string {
  return `${address.join('.')} ${port}`;
}

/** An address in one form, however it was written. */
function nameOf({ address, port }: HostAddress): string {
  const bytes = parseIp(address);
  return `${bytes ? formatIp(bytes) : address} ${port}`;
}
