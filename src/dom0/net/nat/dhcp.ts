/** A DHCP server (RFC 2131, options of RFC 2132) for the guests of one bridge. Bytes in, bytes out; a lease belongs to an ethernet address. */
import { contains, formatMac, hostAddress, type Subnet } from '../packet/addresses.ts';
import { equalBytes, put16, put32, u32 } from '../packet/bytes.ts';
import type { Timers } from '../timers.ts';

const BOOTREQUEST = 1;
const BOOTREPLY = 2;
const COOKIE = 0x63825363;
const OPTIONS = 240;
/** What every client takes (RFC 2131, section 2). */
const LEAST_REPLY = 300;
const BROADCAST_FLAG = 0x80;

const messageTypes = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;

const option = {
  subnetMask: 1,
  router: 3,
  nameServer: 6,
  domain: 15,
  mtu: 26,
  broadcast: 28,
  requested: 50,
  leaseTime: 51,
  messageType: 53,
  server: 54,
  renewal: 58,
  rebinding: 59,
  end: 255,
} as const;

const LEASE_SECONDS = 24 * 3600;
/** An offer that nobody takes up is free again after this. */
const OFFER_MS = 60_000;
/** An address that a client found in use (DHCPDECLINE) is not given away for so long. */
const DECLINED_MS = 10 * 60_000;

export interface DhcpOptions {
  readonly subnet: Subnet;
  readonly server: Uint8Array;
  readonly router: Uint8Array;
  readonly nameServer: Uint8Array;
  readonly mtu: number;
  /** Numbers in the subnet. */
  readonly leases: { readonly first: number; readonly count: number };
  /** An address that this client is to have, by the configuration. */
  readonly reserved: (mac: string) => Uint8Array | undefined;
}

interface Lease {
  readonly address: Uint8Array;
  readonly mac: string;
  until: number;
  bound: boolean;
}

export interface DhcpReply {
  readonly bytes: Uint8Array;
  /** Undefined: to all, the client has no address yet. */
  readonly to: Uint8Array | undefined;
}

export class DhcpServer {
  readonly #options: DhcpOptions;
  readonly #timers: Timers;
  readonly #byMac = new Map<string, Lease>();
  readonly #byAddress = new Map<string, Lease>();

  constructor(options: DhcpOptions, timers: Timers) {
    this.#options = options;
    this.#timers = timers;
  }

  /** The address that this client has, if any. */
  leaseOf(mac: string): Uint8Array | undefined {
    const lease = this.#byMac.get(mac);
    return lease?.bound && lease.until > this.#timers.now() ? lease.address : undefined;
  }

  /** A message from the client with this ethernet address; undefined: no answer. */
  receive(message: Uint8Array, from: Uint8Array): DhcpReply | undefined {
    const proper =
      message.length >= OPTIONS &&
      message[0] === BOOTREQUEST &&
      message[1] === 1 &&
      message[2] === 6 &&
      u32(message, 236) === COOKIE &&
      // One guest could otherwise take all addresses in others' names.
      equalBytes(message.subarray(28, 34), from);
    if (!proper) return undefined;
    const options = readOptions(message);
    const mac = formatMac(from);
    switch (options.get(option.messageType)?.[0]) {
      case messageTypes.discover: {
        const lease = this.#leaseFor(mac, addressIn(options, option.requested));
        return lease && this.#reply(message, messageTypes.offer, lease.address);
      }
      case messageTypes.request:
        return this.#request(message, options, mac);
      case messageTypes.decline:
        this.#decline(mac);
        return undefined;
      case messageTypes.release:
        this.#release(mac);
        return undefined;
      case messageTypes.inform:
        return this.#reply(message, messageTypes.ack, undefined);
      default:
        return undefined;
    }
  }

  #request(message: Uint8Array, options: Options, mac: string): DhcpReply | undefined {
    const server = options.get(option.server);
    if (server && !equalBytes(server, this.#options.server)) {
      // It took another server's offer.
      const lease = this.#byMac.get(mac);
      if (lease && !lease.bound) this.#drop(lease);
      return undefined;
    }
    const ciaddr = message.slice(12, 16);
    const wanted = addressIn(options, option.requested) ?? (ciaddr.some((byte) => byte !== 0) ? ciaddr : undefined);
    const lease = this.#leaseFor(mac, wanted);
    if (wanted === undefined || lease === undefined || !equalBytes(lease.address, wanted)) {
      return this.#reply(message, messageTypes.nak, undefined);
    }
    lease.bound = true;
    lease.until = this.#timers.now() + LEASE_SECONDS * 1000;
    return this.#reply(message, messageTypes.ack, lease.address);
  }

  /** The lease that the client has, or one that it may have: the one reserved for it, the one it wants, the next that is free. */
  #leaseFor(mac: string, wanted: Uint8Array | undefined): Lease | undefined {
    const reserved = this.#options.reserved(mac);
    const known = this.#byMac.get(mac);
    if (known && (reserved === undefined || equalBytes(reserved, known.address))) {
      if (!known.bound) known.until = this.#timers.now() + OFFER_MS;
      return known;
    }
    if (known) this.#drop(known);
    const address = reserved ?? (wanted && this.#isFree(wanted) ? wanted : this.#nextFree());
    if (address === undefined) return undefined;
    const lease: Lease = { address: Uint8Array.from(address), mac, until: this.#timers.now() + OFFER_MS, bound: false };
    const other = this.#byAddress.get(address.join('.'));
    if (other) this.#drop(other);
    this.#byMac.set(mac, lease);
    this.#byAddress.set(address.join('.'), lease);
    return lease;
  }

  #isFree(address: Uint8Array): boolean {
    const { subnet, leases } = this.#options;
    const number = (u32(address, 0) - u32(subnet.address, 0)) >>> 0;
    if (!contains(subnet, address) || number < leases.first || number >= leases.first + leases.count) return false;
    const lease = this.#byAddress.get(address.join('.'));
    return lease === undefined || lease.until <= this.#timers.now();
  }

  #nextFree(): Uint8Array | undefined {
    const { subnet, leases } = this.#options;
    for (let i = 0; i < leases.count; i++) {
      const address = hostAddress(subnet, leases.first + i);
      if (this.#isFree(address)) return address;
    }
    return undefined;
  }

  #decline(mac: string): void {
    const lease = this.#byMac.get(mac);
    if (lease === undefined) return;
    this.#byMac.delete(mac);
    lease.bound = false;
    lease.until = this.#timers.now() + DECLINED_MS;
  }

  #release(mac: string): void {
    const lease = this.#byMac.get(mac);
    // Kept for when it comes back, unless somebody needs it.
    if (lease) lease.until = this.#timers.now();
  }

  #drop(lease: Lease): void {
    if (this.#byMac.get(lease.mac) === lease) this.#byMac.delete(lease.mac);
    if (this.#byAddress.get(lease.address.join('.')) === lease) this.#byAddress.delete(lease.address.join('.'));
  }

  #reply(request: Uint8Array, type: number, address: Uint8Array | undefined): DhcpReply {
    const { server, router, nameServer, subnet, mtu } = this.#options;
    const bytes = new Uint8Array(512);
    const nak = type === messageTypes.nak;
    const ciaddr = request.slice(12, 16);
    bytes[0] = BOOTREPLY;
    bytes.set(request.subarray(1, 3), 1);
    bytes.set(request.subarray(4, 8), 4);
    bytes.set(request.subarray(10, 12), 10);
    if (!nak) bytes.set(ciaddr, 12);
    if (address) bytes.set(address, 16);
    bytes.set(request.subarray(24, 44), 24);
    put32(bytes, 236, COOKIE);
    let at = OPTIONS;
    const add = (code: number, value: Uint8Array): void => {
      bytes[at] = code;
      bytes[at + 1] = value.length;
      bytes.set(value, at + 2);
      at += 2 + value.length;
    };
    const seconds = (value: number): Uint8Array => {
      const word = new Uint8Array(4);
      put32(word, 0, value);
      return word;
    };
    add(option.messageType, Uint8Array.of(type));
    add(option.server, server);
    if (!nak) {
      if (address) {
        add(option.leaseTime, seconds(LEASE_SECONDS));
        add(option.renewal, seconds(LEASE_SECONDS / 2));
        add(option.rebinding, seconds((LEASE_SECONDS / 8) * 7));
      }
      const mask = seconds(subnet.prefix === 0 ? 0 : (0xffffffff << (32 - subnet.prefix)) >>> 0);
      add(option.subnetMask, mask);
      add(
        option.broadcast,
        Uint8Array.from(subnet.address, (byte, i) => byte | (~(mask[i] ?? 0) & 0xff)),
      );
      add(option.router, router);
      add(option.nameServer, nameServer);
      const size = new Uint8Array(2);
      put16(size, 0, mtu);
      add(option.mtu, size);
    }
    bytes[at++] = option.end;
    const broadcast = ((request[10] ?? 0) & BROADCAST_FLAG) !== 0 || nak;
    // RFC 2131, section 4.1: to where the client says it is, else to all unless it can take its new address already.
    const to = nak ? undefined : ciaddr.some((byte) => byte !== 0) ? ciaddr : broadcast ? undefined : address;
    return { bytes: bytes.subarray(0, Math.max(at, LEAST_REPLY)), to };
  }
}

type Options = ReadonlyMap<number, Uint8Array>;

function readOptions(message: Uint8Array): Options {
  const options = new Map<number, Uint8Array>();
  for (let at = OPTIONS; at < message.length;) {
    const code = message[at] ?? option.end;
    if (code === option.end) break;
    if (code === 0) {
      at += 1;
      continue;
    }
    const length = message[at + 1] ?? 0;
    if (at + 2 + length > message.length) break;
    if (!options.has(code)) options.set(code, message.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}

function addressIn(options: Options, code: number): Uint8Array | undefined {
  const value = options.get(code);
  return value?.length === 4 ? value : undefined;
}
