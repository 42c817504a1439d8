/**
 * User-mode NAT: the gateway of a bridge. It ends the guests' connections and opens sockets of the host in their place, so that it needs no rights.
 * Frames come in at the head of this file, and each protocol has its own: nothing here waits, and everything a guest can make many of is bounded.
 */
import type { Egress } from '../egress/egress.ts';
import type { Frame, LinkEnd } from '../link.ts';
import { contains, formatIp, formatMac, isGroup, parseIp as parseAddress } from '../packet/addresses.ts';
import { equalBytes, u16 } from '../packet/bytes.ts';
import {
  ETHERTYPE_ARP,
  ethernetHeader,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../packet/ethernet.ts';
import { Fragments } from '../packet/fragments.ts';
import { checksumRight, parseIp, type IpPacket } from '../packet/ip.ts';
import { parseUdp, writeUdp, type Datagram } from '../packet/udp.ts';
import { TokenBucket } from '../token-bucket.ts';
import type { Timers } from '../timers.ts';
import { DhcpServer } from './dhcp.ts';
import { DnsRelay } from './dns-relay.ts';
import { openForward, type Forward, type ForwardGlue, type ForwardRule } from './forwards.ts';
import type { HostAddress, HostSockets } from './host-sockets.ts';
import {
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  icmpOf,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  message,
  unreachableMessage,
  type Unreachable,
} from './icmp.ts';
import { NeighbourDiscovery } from './icmp6.ts';
import { addressesOf, type NatAddresses, type NatConfig } from './nat-config.ts';
import { Neighbours } from './neighbours.ts';
import { ReachRule } from './reach.ts';
import { Station } from './station.ts';
import type { FlowEnds } from './tcp-flow.ts';
import { TcpFlows } from './tcp-flows.ts';
import { deliver, UdpFlows, type GuestAddress } from './udp-flows.ts';

export interface NatHost {
  readonly sockets: HostSockets;
  readonly timers: Timers;
  /** Nobody can guess it. */
  random32(): number;
}

/** What others know about guests, by the configuration and by the toolstack. */
export interface GuestDirectory {
  /** The address that a guest with this ethernet address is to have. */
  reservedAddress(mac: string): Uint8Array | undefined;
  /** Ethernet addresses of a domain's interfaces on this bridge. */
  macsOf(domainName: string): readonly Uint8Array[];
  /** What the guest with this ethernet address may reach; undefined: everything. */
  egressOf?(mac: Uint8Array): Egress | undefined;
}

const DNS_PORT = 53;
const DHCP_SERVER = 67;
const DHCP_CLIENT = 68;
const ICMP_ERRORS = 100;
const ADVERTISE_MS = 10 * 60_000;
const MOST_FORWARDS = 256;

export class Nat {
  readonly addresses: NatAddresses;
  readonly config: NatConfig;
  readonly #host: NatHost;
  readonly #station: Station;
  readonly #neighbours: Neighbours;
  readonly #discovery: NeighbourDiscovery | undefined;
  readonly #reach: ReachRule;
  readonly #fragments: Fragments;
  readonly #dhcp: DhcpServer;
  readonly #dns: DnsRelay;
  readonly #tcp: TcpFlows;
  readonly #udp: UdpFlows;
  readonly #forwards = new Set<Forward>();
  readonly #forwardGlue: ForwardGlue;
  readonly #icmpErrors: TokenBucket;
  readonly #link: LinkEnd;
  readonly #directory: GuestDirectory;
  #cancelAdvertising: (() => void) | undefined;

  constructor(link: LinkEnd, config: NatConfig, host: NatHost, directory: GuestDirectory) {
    const addresses = addressesOf(config);
    const { timers, sockets } = host;
    this.#link = link;
    this.#host = host;
    this.config = config;
    this.addresses = addresses;
    this.#directory = directory;
    const station = (this.#station = new Station(link, addresses.mac, config.mtu));
    this.#neighbours = new Neighbours(station, timers);
    this.#neighbours.ownAddress = addresses.gateway;
    this.#reach = new ReachRule(config, addresses, sockets, timers);
    this.#fragments = new Fragments(timers);
    this.#icmpErrors = new TokenBucket(timers, ICMP_ERRORS, ICMP_ERRORS);
    const { subnet6 } = config;
    const { nameServer6 } = addresses;
    if (subnet6 && nameServer6) {
      this.#discovery = new NeighbourDiscovery(station, this.#neighbours, {
        linkLocal: addresses.linkLocal,
        subnet: subnet6,
        nameServer: nameServer6,
        mtu: config.mtu,
        leadsOut: () => !config.restricted && sockets.hasIpv6(),
        isOurs: (address) => this.#isOurs(address),
      });
    }
    this.#dhcp = new DhcpServer(
      {
        subnet: config.subnet,
        server: addresses.gateway,
        router: addresses.gateway,
        nameServer: addresses.nameServer,
        mtu: config.mtu,
        leases: addresses.leases,
        reserved: (mac) => directory.reservedAddress(mac),
      },
      timers,
    );
    this.#dns = new DnsRelay({ timers, sockets, resolvers: () => this.#resolvers() });
    this.#udp = new UdpFlows({ station, timers, sockets });
    this.#tcp = new TcpFlows({
      station,
      timers,
      sockets,
      random32: () => host.random32(),
      destination: (ends) => this.#connection(ends),
      unreachable: ({ mac, guest, guestPort, remote, remotePort }) => {
        const payload = Uint8Array.of(guestPort >> 8, guestPort, remotePort >> 8, remotePort, 0, 0, 0, 0);
        const version = guest.length === 4 ? 4 : 6;
        const packet = { version, source: guest, destination: remote, protocol: PROTOCOL_TCP } as const;
        this.#icmpError({ ...packet, hopLimit: 64, payload, verified: true }, mac, 'host');
      },
    });
    this.#forwardGlue = {
      station,
      timers,
      sockets,
      find: (guest, done) => this.#findGuest(guest, done),
      gatewayFor: (address) => this.#gatewayFor(address),
      splice: ({ mac, address, port }, stream) =>
        this.#tcp.forward({ mac, guest: address, guestPort: port, remote: this.#gatewayFor(address) }, stream),
    };
    link.attach({ receive: (frame) => this.#receive(frame), room: () => station.room() });
    this.#advertise();
  }

  get tcpFlows(): number {
    return this.#tcp.size;
  }

  get udpFlows(): number {
    return this.#udp.size;
  }

  get forwards(): readonly ForwardRule[] {
    return [...this.#forwards].map(({ rule }) => rule);
  }

  /** Listens from now on. Rejects when it cannot; the rule that is returned says at which port. */
  async forward(rule: ForwardRule): Promise<ForwardRule> {
    if (this.#forwards.size >= MOST_FORWARDS) throw new Error(`there are ${MOST_FORWARDS} forwards already`);
    const forward = await openForward(rule, this.#forwardGlue);
    this.#forwards.add(forward);
    return forward.rule;
  }

  /** False: there was none. Connections that are open stay. */
  removeForward(protocol: 'tcp' | 'udp', host: HostAddress): boolean {
    for (const forward of this.#forwards) {
      const { rule } = forward;
      if (rule.protocol !== protocol || rule.host.port !== host.port || rule.host.address !== host.address) continue;
      forward.close();
      this.#forwards.delete(forward);
      return true;
    }
    return false;
  }

  /** The IPv4 address that DHCP gave to the guest with this ethernet address. */
  leaseOf(mac: string): Uint8Array | undefined {
    return this.#dhcp.leaseOf(mac);
  }

  /** A guest's interface has been unplugged. */
  forget(mac: Uint8Array): void {
    this.#tcp.forget(mac);
    this.#udp.forget(mac);
    this.#neighbours.forget(mac);
  }

  close(): void {
    this.#cancelAdvertising?.();
    for (const forward of this.#forwards) forward.close();
    this.#forwards.clear();
    this.#tcp.close();
    this.#udp.close();
    this.#dns.close();
    this.#link.close();
  }

  /** Takes every frame: what cannot be dealt with now is dropped, as on any router. */
  #receive(frame: Frame): boolean {
    const { head } = frame;
    if (head.length < ethernetHeader || isGroup(head, 6)) return true;
    if (!isGroup(head) && !equalBytes(head.subarray(0, 6), this.addresses.mac)) return true;
    const mac = head.slice(6, 12);
    if (equalBytes(mac, this.addresses.mac)) return true;
    if (u16(head, 12) === ETHERTYPE_ARP) {
      const { subnet } = this.config;
      this.#neighbours.arp(
        head,
        (address) => this.#isOurs(address),
        (address) => contains(subnet, address),
      );
      return true;
    }
    const part = parseIp(frame);
    if (part === undefined || !this.#mayBeFrom(part, mac)) return true;
    const packet = this.#fragments.add(part);
    if (packet && checksumRight(packet)) this.#packet(packet, mac);
    return true;
  }

  /** Whether a guest can have this address; if so its ethernet address is learnt. */
  #mayBeFrom({ version, source, protocol }: IpPacket, mac: Uint8Array): boolean {
    const { subnet, subnet6 } = this.config;
    if (this.#isOurs(source)) return false;
    if (version === 6) {
      if (subnet6 === undefined) return false;
      const ours = contains(subnet6, source);
      if (ours) this.#neighbours.heard(source, mac);
      // From link-local or unspecified addresses only what stays on the link.
      return ours || (protocol === PROTOCOL_ICMPV6 && (NeighbourDiscovery.isLinkLocal(source) || isZero(source)));
    }
    // Who has no address yet asks for one.
    if (isZero(source)) return protocol === PROTOCOL_UDP;
    const ours = contains(subnet, source);
    if (ours) this.#neighbours.heard(source, mac);
    return ours;
  }

  #packet(packet: IpPacket, mac: Uint8Array): void {
    const { protocol, version } = packet;
    if (protocol === PROTOCOL_TCP && !isZero(packet.source)) this.#tcp.receive(packet, mac);
    else if (protocol === PROTOCOL_UDP) this.#datagram(packet, mac);
    else if (protocol === PROTOCOL_ICMP && version === 4) this.#icmp(packet, mac);
    else if (protocol === PROTOCOL_ICMPV6 && version === 6) this.#icmp(packet, mac);
  }

  #icmp(packet: IpPacket, mac: Uint8Array): void {
    const { source, destination, payload, version } = packet;
    const [echo, reply] = version === 4 ? [ICMP_ECHO, ICMP_ECHO_REPLY] : [ICMPV6_ECHO, ICMPV6_ECHO_REPLY];
    if (payload[0] === echo && payload[1] === 0 && payload.length >= 8) {
      // For others than itself the NAT cannot ask: sockets for echo are not to be had without rights.
      if (this.#isOurs(destination)) {
        const bytes = message(destination, source, reply, 0, payload.subarray(4));
        const header = { source: destination, destination: source, protocol: icmpOf(source), length: bytes.length };
        this.#station.sendDatagram(mac, header, bytes);
      } else if (!NeighbourDiscovery.isMulticast(destination)) {
        this.#icmpError(packet, mac, 'prohibited');
      }
    } else if (version === 6) {
      this.#discovery?.receive(packet, mac);
    }
  }

  #datagram(packet: IpPacket, mac: Uint8Array): void {
    const datagram = parseUdp(packet);
    if (datagram === undefined) return;
    const { source, destination } = packet;
    if (packet.version === 4 && datagram.destinationPort === DHCP_SERVER && datagram.sourcePort === DHCP_CLIENT) {
      this.#dhcpMessage(datagram, mac);
      return;
    }
    if (isZero(source) || datagram.destinationPort === 0) return;
    const guest: GuestAddress = { mac, address: source, port: datagram.sourcePort };
    const remote = { address: destination, port: datagram.destinationPort };
    const reach = this.#reach.of(destination);
    if (reach === 'name-server' && remote.port === DNS_PORT) {
      this.#name(datagram.data, mac, (answer) => deliver(this.#station, guest, remote, answer));
      return;
    }
    if (reach === 'gateway') {
      for (const { answer } of this.#forwards) if (answer?.(guest, remote.port, datagram.data)) return;
    }
    const to = this.#destination(destination, remote.port);
    const egress = this.#directory.egressOf?.(mac);
    if (
      to &&
      egress !== undefined &&
      !this.#udp.stands(guest, to) &&
      !egress.allows('udp', destination, remote.port, reach === 'outside')
    ) {
      this.#icmpError(packet, mac, 'prohibited');
    } else if (to) this.#udp.send(guest, remote, to, datagram.data);
    else if (!isGroupAddress(destination)) this.#icmpError(packet, mac, reach === 'forbidden' ? 'prohibited' : 'port');
  }

  #dhcpMessage({ data }: Datagram, mac: Uint8Array): void {
    const reply = this.config.dhcp ? this.#dhcp.receive(data, mac) : undefined;
    if (reply === undefined) return;
    const source = this.addresses.gateway;
    const destination = reply.to ?? everybody;
    const datagram = { sourcePort: DHCP_SERVER, destinationPort: DHCP_CLIENT, data: reply.bytes };
    const bytes = writeUdp(source, destination, datagram);
    // To the client's ethernet address always: it takes a packet to all as well, and nobody else has to.
    this.#station.send(mac, { source, destination, protocol: PROTOCOL_UDP, length: bytes.length }, bytes, []);
  }

  /** A question for a name. By rules only what they name is asked for, and what is answered can be reached from then on. */
  #name(bytes: Uint8Array, mac: Uint8Array, answer: (bytes: Uint8Array) => void): void {
    const egress = this.#directory.egressOf?.(mac);
    if (egress === undefined) {
      this.#dns.ask(bytes, answer);
      return;
    }
    const question = egress.question(bytes);
    if ('answer' in question) {
      answer(question.answer);
      return;
    }
    this.#dns.ask(question.message, (found) => {
      egress.answered(question, found);
      answer(found);
    });
  }

  /** Where a connection of a guest leads. The name server is asked by datagrams only where rules say which names there are. */
  #connection({ mac, remote, remotePort }: FlowEnds): HostAddress | undefined {
    const to = this.#destination(remote, remotePort);
    const egress = this.#directory.egressOf?.(mac);
    if (to === undefined || egress === undefined) return to;
    const reach = this.#reach.of(remote);
    if (reach === 'name-server') {
      egress.refuse('names');
      return undefined;
    }
    return egress.allows('tcp', remote, remotePort, reach === 'outside') ? to : undefined;
  }

  /** Where on the host's side something leads that a guest sends to this address. */
  #destination(address: Uint8Array, port: number): HostAddress | undefined {
    switch (this.#reach.of(address)) {
      case 'gateway':
        if (!this.config.allowHost) return undefined;
        return { address: address.length === 4 ? '127.0.0.1' : '::1', port };
      case 'name-server':
        return port === DNS_PORT ? this.#resolvers()[0] : undefined;
      case 'outside':
        return { address: formatIp(address), port };
      case 'forbidden':
        return undefined;
    }
  }

  #resolvers(): readonly HostAddress[] {
    return this.config.restricted ? [] : (this.config.resolvers ?? this.#host.sockets.resolvers());
  }

  #icmpError(packet: IpPacket, mac: Uint8Array, why: Unreachable): void {
    if (!this.#icmpErrors.take()) return;
    const { source } = packet;
    const from = this.#gatewayFor(source);
    const bytes = unreachableMessage(from, why, packet);
    const header = { source: from, destination: source, protocol: icmpOf(source), length: bytes.length };
    this.#station.send(mac, header, bytes, []);
  }

  #isOurs(address: Uint8Array): boolean {
    return this.#reach.isOurs(address);
  }

  #gatewayFor(address: Uint8Array): Uint8Array {
    return address.length === 4 ? this.addresses.gateway : (this.addresses.gateway6 ?? this.addresses.linkLocal);
  }

  #findGuest(guest: string, done: Parameters<ForwardGlue['find']>[1]): void {
    const address = parseAddress(guest);
    if (address) {
      this.#neighbours.find(address, (mac) => done(mac && { mac, address }));
      return;
    }
    for (const mac of this.#directory.macsOf(guest)) {
      const lease = this.#dhcp.leaseOf(formatMac(mac)) ?? this.#directory.reservedAddress(formatMac(mac));
      if (lease === undefined) continue;
      done({ mac, address: lease });
      return;
    }
    done(undefined);
  }

  /** Guests hear of the prefix from time to time, also when they were not listening at first. */
  #advertise(): void {
    if (!this.#discovery) return;
    this.#discovery.advertise();
    this.#cancelAdvertising = this.#host.timers.after(ADVERTISE_MS, () => this.#advertise());
  }
}

const everybody = Uint8Array.of(255, 255, 255, 255);

function isZero(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

function isGroupAddress(address: Uint8Array): boolean {
  return address.length === 4 ? (address[0] ?? 0) >= 224 : address[0] === 0xff;
}
