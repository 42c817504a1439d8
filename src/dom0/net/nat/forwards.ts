/** Port forwards: the host listens, and what comes goes to a guest's port. To the guest it comes from its gateway. */
import { formatIp } from '../packet/addresses.ts';
import type { Timers } from '../timers.ts';
import type {
  DatagramHandlers,
  HostAddress,
  HostDatagrams,
  HostListener,
  HostSockets,
  HostStream,
  StreamHandlers,
} from './host-sockets.ts';
import type { Station } from './station.ts';
import { deliver, type GuestAddress } from './udp-flows.ts';

export interface ForwardRule {
  readonly protocol: 'tcp' | 'udp';
  readonly host: HostAddress;
  /** A guest, by its address or by its domain's name: who has it is looked up for each connection. */
  readonly guest: string;
  readonly guestPort: number;
}

export interface ForwardGlue {
  readonly station: Station;
  readonly timers: Timers;
  readonly sockets: Pick<HostSockets, 'listenTcp' | 'listenUdp'>;
  /** Where the guest is now. */
  find(guest: string, done: (at: { readonly mac: Uint8Array; readonly address: Uint8Array } | undefined) => void): void;
  /** What the guest sees the connection come from. */
  gatewayFor(address: Uint8Array): Uint8Array;
  /** Splices the stream to the guest's port. */
  splice(guest: GuestAddress, stream: HostStream): { handlers: StreamHandlers; open: () => void } | undefined;
}

export interface Forward {
  readonly rule: ForwardRule;
  close(): void;
  /** A datagram of a guest to the gateway that answers one of this forward's. True: it did. */
  answer?(guest: GuestAddress, gatewayPort: number, data: Uint8Array): boolean;
}

const UDP_PEERS = 256;
const UDP_IDLE_MS = 2 * 60_000;
const FIRST_PORT = 32_768;

export async function openForward(rule: ForwardRule, glue: ForwardGlue): Promise<Forward> {
  return rule.protocol === 'tcp' ? openTcp(rule, glue) : openUdp(rule, glue);
}

async function openTcp(rule: ForwardRule, glue: ForwardGlue): Promise<Forward> {
  const listener = await glue.sockets.listenTcp(rule.host, (stream) => {
    let spliced: StreamHandlers | undefined;
    let gone = false;
    glue.find(rule.guest, (at) => {
      if (gone) return;
      const splice = at && glue.splice({ ...at, port: rule.guestPort }, stream);
      if (splice === undefined) {
        // Nobody is there, so it ends as it would at a machine that is off.
        stream.reset();
        return;
      }
      spliced = splice.handlers;
      splice.open();
    });
    return {
      connected: () => undefined,
      data: (bytes) => spliced?.data(bytes),
      peerEnded: () => spliced?.peerEnded(),
      drained: () => spliced?.drained(),
      closed: (how) => {
        gone = true;
        spliced?.closed(how);
      },
    };
  });
  return { rule: { ...rule, host: listener.at }, close: () => listener.close() };
}

interface UdpPeer {
  readonly from: HostAddress;
  readonly port: number;
  active: number;
}

async function openUdp(rule: ForwardRule, glue: ForwardGlue): Promise<Forward> {
  const byName = new Map<string, UdpPeer>();
  const byPort = new Map<number, UdpPeer>();
  let nextPort = FIRST_PORT;
  const forget = (peer: UdpPeer): void => {
    byName.delete(nameOf(peer.from));
    byPort.delete(peer.port);
  };
  const peerFor = (from: HostAddress): UdpPeer => {
    const now = glue.timers.now();
    const known = byName.get(nameOf(from));
    if (known) {
      known.active = now;
      // Keeps the longest unused first.
      byName.delete(nameOf(from));
      byName.set(nameOf(from), known);
      return known;
    }
    for (const peer of byName.values()) {
      if (byName.size < UDP_PEERS && now - peer.active < UDP_IDLE_MS) break;
      forget(peer);
    }
    while (byPort.has(nextPort)) nextPort = nextPort === 0xffff ? FIRST_PORT : nextPort + 1;
    const peer = { from, port: nextPort, active: now };
    nextPort = nextPort === 0xffff ? FIRST_PORT : nextPort + 1;
    byName.set(nameOf(from), peer);
    byPort.set(peer.port, peer);
    return peer;
  };
  let home = '';
  const handlers: DatagramHandlers = {
    received(data, from) {
      glue.find(rule.guest, (at) => {
        if (at === undefined) return;
        home = formatIp(at.address);
        const peer = peerFor(from);
        const gateway = { address: glue.gatewayFor(at.address), port: peer.port };
        deliver(glue.station, { ...at, port: rule.guestPort }, gateway, data);
      });
    },
    failed: () => undefined,
  };
  const socket: HostDatagrams & HostListener = await glue.sockets.listenUdp(rule.host, handlers);
  return {
    rule: { ...rule, host: socket.at },
    close: () => socket.close(),
    answer(guest, gatewayPort, data) {
      const peer = byPort.get(gatewayPort);
      if (peer === undefined || guest.port !== rule.guestPort || formatIp(guest.address) !== home) return false;
      peer.active = glue.timers.now();
      socket.send(data, peer.from);
      return true;
    },
  };
}

function nameOf({ address, port }: HostAddress): string {
  return `${address} ${port}`;
}
