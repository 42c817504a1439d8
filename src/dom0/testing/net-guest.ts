/** A guest as the network sees it: it answers ARP, and speaks UDP and TCP, with large segments and unfinished checksums as a real one. */
import type { Frame, LinkEnd } from '../net/link.ts';
import { maxFrameLength } from '../net/link.ts';
import { formatMac, parseIp as parseAddress, parseMac } from '../net/packet/addresses.ts';
import { equalBytes, put16, u16 } from '../net/packet/bytes.ts';
import { ETHERTYPE_ARP, PROTOCOL_TCP, PROTOCOL_UDP } from '../net/packet/ethernet.ts';
import { Fragments } from '../net/packet/fragments.ts';
import { checksumRight, parseIp, partialChecksum, type IpPacket } from '../net/packet/ip.ts';
import { parseUdp, writeUdp } from '../net/packet/udp.ts';
import { Station } from '../net/nat/station.ts';
import { TcpConnection, type ConnectionOptions, type Outgoing, type User } from '../net/tcp/connection.ts';
import { headerLengthAt, parseSegment, SYN, writeHeader, type Segment } from '../net/tcp/segment.ts';
import type { Timers } from '../net/timers.ts';

export interface Received {
  readonly from: string;
  readonly port: number;
  readonly to: number;
  readonly data: Uint8Array;
}

export class NetGuest {
  readonly mac: Uint8Array;
  readonly address: Uint8Array;
  readonly station: Station;
  readonly #gatewayMac: Uint8Array;
  readonly #timers: Timers;
  readonly #fragments: Fragments;
  readonly #connections = new Map<string, TcpConnection>();
  readonly #listeners = new Map<number, (accept: (user: User) => TcpConnection) => void>();
  readonly datagrams: Received[] = [];
  readonly others: IpPacket[] = [];
  readonly arps: Uint8Array[] = [];
  /** Segments that belong to no connection. */
  readonly strays: Segment[] = [];
  frames = 0;
  /** Refuses frames while set. */
  full = false;

  constructor(end: LinkEnd, timers: Timers, mac: string, address: string, gatewayMac: Uint8Array) {
    this.mac = parseMac(mac) ?? new Uint8Array(6);
    this.address = parseAddress(address) ?? new Uint8Array(4);
    this.#gatewayMac = gatewayMac;
    this.#timers = timers;
    this.#fragments = new Fragments(timers);
    this.station = new Station(end, this.mac, 1500);
    end.attach({ receive: (frame) => this.#receive(frame), room: () => this.station.room() });
  }

  sendIp(destination: string, protocol: number, bytes: Uint8Array): void {
    const to = parseAddress(destination) ?? new Uint8Array(4);
    this.station.sendDatagram(
      this.#gatewayMac,
      { source: this.address, destination: to, protocol, length: bytes.length },
      bytes,
    );
  }

  sendUdp(destination: string, port: number, from: number, data: Uint8Array): void {
    const to = parseAddress(destination) ?? new Uint8Array(4);
    this.sendIp(
      destination,
      PROTOCOL_UDP,
      writeUdp(this.address, to, { sourcePort: from, destinationPort: port, data }),
    );
  }

  connect(destination: string, port: number, from: number, user: User): TcpConnection {
    const remote = parseAddress(destination) ?? new Uint8Array(4);
    const key = `${from} ${remote.join('.')} ${port}`;
    const connection = TcpConnection.open(this.#options(remote, port, from, user, key));
    this.#connections.set(key, connection);
    return connection.start();
  }

  listen(port: number, accept: (accept: (user: User) => TcpConnection) => void): void {
    this.#listeners.set(port, accept);
  }

  get connections(): number {
    return this.#connections.size;
  }

  #options(remote: Uint8Array, port: number, from: number, user: User, key: string): ConnectionOptions {
    const six = this.address.length === 16;
    return {
      wire: {
        transmit: (segment) => {
          const taken = this.sendSegment(remote, port, from, segment);
          if (!taken) this.station.whenRoom(() => this.#connections.get(key)?.resume());
          return taken;
        },
      },
      timers: this.#timers,
      user: {
        established: () => user.established(),
        data: (bytes) => user.data(bytes),
        room: () => user.room(),
        peerEnded: () => user.peerEnded(),
        drained: () => user.drained(),
        ended: (reason) => user.ended(reason),
        gone: () => {
          this.#connections.delete(key);
          user.gone();
        },
      },
      iss: 1000 + from,
      mss: six ? 1440 : 1460,
      largest: maxFrameLength - 114,
    };
  }

  sendSegment(remote: Uint8Array, port: number, from: number, segment: Outgoing): boolean {
    const bytes = new Uint8Array(20 + segment.options.length);
    writeHeader(bytes, 0, { ...segment, sourcePort: from, destinationPort: port }, segment.options);
    const length = bytes.length + segment.payloadLength;
    const header = { source: this.address, destination: remote, protocol: PROTOCOL_TCP, length };
    put16(bytes, 16, partialChecksum(header));
    const cut = segment.payloadLength > segment.mss ? segment.mss : undefined;
    return this.station.send(this.#gatewayMac, header, bytes, segment.payload, { checksumAt: 16, segment: cut });
  }

  #receive(frame: Frame): boolean {
    if (this.full) return false;
    this.frames += 1;
    const { head } = frame;
    if (u16(head, 12) === ETHERTYPE_ARP) {
      this.arps.push(head.slice());
      this.#arp(head);
      return true;
    }
    const part = parseIp(frame);
    const packet = part && this.#fragments.add(part);
    if (!packet || !checksumRight(packet)) return true;
    const datagram = packet.protocol === PROTOCOL_UDP ? parseUdp(packet) : undefined;
    if (datagram) {
      const { sourcePort, destinationPort, data } = datagram;
      this.datagrams.push({ from: packet.source.join('.'), port: sourcePort, to: destinationPort, data });
    } else if (packet.protocol === PROTOCOL_TCP) {
      this.#tcp(packet);
    } else {
      this.others.push(packet);
    }
    return true;
  }

  #tcp({ payload, source }: IpPacket): void {
    const length = headerLengthAt(payload, 0);
    if (length === undefined) return;
    const segment = parseSegment(payload, 0, length, payload.subarray(length));
    const key = `${segment.destinationPort} ${source.join('.')} ${segment.sourcePort}`;
    const connection = this.#connections.get(key);
    const accept = this.#listeners.get(segment.destinationPort);
    if (connection) {
      connection.receive(segment);
    } else if (accept && segment.flags === SYN) {
      accept((user) => {
        const made = TcpConnection.accept(
          segment,
          this.#options(source, segment.sourcePort, segment.destinationPort, user, key),
        );
        this.#connections.set(key, made);
        return made.start();
      });
    } else {
      this.strays.push(segment);
    }
  }

  /** Answers who asks for its address. */
  #arp(head: Uint8Array): void {
    if (u16(head, 20) !== 1 || !equalBytes(head.subarray(38, 42), this.address)) return;
    const reply = head.slice();
    reply.set(head.subarray(22, 28), 0);
    reply.set(this.mac, 6);
    put16(reply, 20, 2);
    reply.set(this.mac, 22);
    reply.set(this.address, 28);
    reply.set(head.subarray(22, 32), 32);
    this.station.sendFrame(reply);
  }

  get name(): string {
    return formatMac(this.mac);
  }
}
