/**
 * The guests' ethernet addresses: learnt from what they send, asked for when something is to be sent to one that has not spoken yet. ARP is RFC 826,
 * its part of IPv6 RFC 4861 (in icmp6.ts).
 */
import { broadcastMac, macKey } from '../packet/addresses.ts';
import { equalBytes, put16, u16 } from '../packet/bytes.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ethernetHeader, writeEthernet } from '../packet/ethernet.ts';
import type { Timers } from '../timers.ts';
import type { Station } from './station.ts';

interface Neighbour {
  mac: Uint8Array;
  heard: number;
}

interface Wanted {
  tries: number;
  readonly tasks: ((mac: Uint8Array | undefined) => void)[];
}

const MOST_NEIGHBOURS = 4096;
/** A guest may claim many addresses; those of others must not be pushed out by that. */
const MOST_OF_ONE = 32;
const MOST_WANTED = 256;
const MOST_WAITING = 64;
const RETRY = 1000;
const TRIES = 3;
const ARP_LENGTH = 28;
const REQUEST = 1;
const REPLY = 2;

export class Neighbours {
  readonly #station: Station;
  readonly #timers: Timers;
  readonly #known = new Map<string, Neighbour>();
  readonly #counts = new Map<number, number>();
  readonly #wanted = new Map<string, Wanted>();
  /** Asks for an IPv6 address; icmp6.ts hands it in. */
  solicit: (address: Uint8Array) => void = () => undefined;

  constructor(station: Station, timers: Timers) {
    this.#station = station;
    this.#timers = timers;
  }

  /** This guest has sent something from this address, which lies in the bridge's subnet. */
  heard(address: Uint8Array, mac: Uint8Array): void {
    const key = address.join('.');
    const known = this.#known.get(key);
    if (known && equalBytes(known.mac, mac)) {
      known.heard = this.#timers.now();
      return;
    }
    const of = macKey(mac);
    const count = this.#counts.get(of) ?? 0;
    if (count >= MOST_OF_ONE || (known === undefined && this.#known.size >= MOST_NEIGHBOURS)) return;
    if (known) this.#counted(macKey(known.mac), -1);
    this.#counted(of, 1);
    this.#known.set(key, { mac: Uint8Array.from(mac), heard: this.#timers.now() });
    const wanted = this.#wanted.get(key);
    this.#wanted.delete(key);
    for (const task of wanted?.tasks ?? []) task(Uint8Array.from(mac));
  }

  #counted(mac: number, change: number): void {
    const count = (this.#counts.get(mac) ?? 0) + change;
    if (count > 0) this.#counts.set(mac, count);
    else this.#counts.delete(mac);
  }

  macOf(address: Uint8Array): Uint8Array | undefined {
    return this.#known.get(address.join('.'))?.mac;
  }

  /** The guest behind a port has gone: what it had may belong to another one now. */
  forget(mac: Uint8Array): void {
    for (const [key, known] of this.#known) if (equalBytes(known.mac, mac)) this.#known.delete(key);
    this.#counts.delete(macKey(mac));
  }

  /** Asks around if it has to; undefined when nobody answers. */
  find(address: Uint8Array, task: (mac: Uint8Array | undefined) => void): void {
    const mac = this.macOf(address);
    if (mac) {
      task(mac);
      return;
    }
    const key = address.join('.');
    const wanted = this.#wanted.get(key);
    if (wanted) {
      if (wanted.tasks.length < MOST_WAITING) wanted.tasks.push(task);
      else task(undefined);
    } else if (this.#wanted.size >= MOST_WANTED) {
      task(undefined);
    } else {
      this.#wanted.set(key, { tries: 0, tasks: [task] });
      this.#ask(key, address);
    }
  }

  #ask(key: string, address: Uint8Array): void {
    const wanted = this.#wanted.get(key);
    if (wanted === undefined) return;
    if (wanted.tries === TRIES) {
      this.#wanted.delete(key);
      for (const task of wanted.tasks) task(undefined);
      return;
    }
    wanted.tries += 1;
    this.#timers.after(RETRY, () => this.#ask(key, address));
    if (address.length === 16) this.solicit(address);
    else this.#station.sendFrame(arp(REQUEST, this.#station.mac, this.#own(), broadcastMac, address));
  }

  /** What the NAT calls itself when it asks. */
  ownAddress: Uint8Array = new Uint8Array(4);

  #own(): Uint8Array {
    return this.ownAddress;
  }

  /** An ARP packet from a guest. `isOurs`: the NAT answers for the address; `isGuests`: it may be a guest's. */
  arp(head: Uint8Array, isOurs: (address: Uint8Array) => boolean, isGuests: (address: Uint8Array) => boolean): void {
    const at = ethernetHeader;
    const proper =
      head.length >= at + ARP_LENGTH &&
      u16(head, at) === 1 &&
      u16(head, at + 2) === ETHERTYPE_IPV4 &&
      head[at + 4] === 6 &&
      head[at + 5] === 4;
    if (!proper) return;
    const operation = u16(head, at + 6);
    const mac = head.slice(at + 8, at + 14);
    const sender = head.slice(at + 14, at + 18);
    const target = head.slice(at + 24, at + 28);
    if (!equalBytes(mac, head.subarray(6, 12))) return;
    // A guest that claims one of our addresses is not believed.
    if (isGuests(sender) && !isOurs(sender)) this.heard(sender, mac);
    if (operation === REQUEST && isOurs(target)) {
      this.#station.sendFrame(arp(REPLY, this.#station.mac, target, mac, sender));
    }
  }
}

function arp(operation: number, mac: Uint8Array, address: Uint8Array, to: Uint8Array, target: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ethernetHeader + ARP_LENGTH);
  const at = ethernetHeader;
  writeEthernet(bytes, to, mac, ETHERTYPE_ARP);
  put16(bytes, at, 1);
  put16(bytes, at + 2, ETHERTYPE_IPV4);
  bytes[at + 4] = 6;
  bytes[at + 5] = 4;
  put16(bytes, at + 6, operation);
  bytes.set(mac, at + 8);
  bytes.set(address, at + 14);
  if (operation === REPLY) bytes.set(to, at + 18);
  bytes.set(target, at + 24);
  return bytes;
}
