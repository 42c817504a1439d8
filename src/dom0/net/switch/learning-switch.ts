/**
 * A learning switch: the bridge between the guests of one host (IEEE 802.1D's forwarding, without its spanning tree: there are no loops among vifs). A frame
 * passes whole, with its offloads, to whom it is for; who cannot take it so cuts it for itself.
 *
 * Back-pressure: a port that is full holds back who sends to it, so that nothing is lost between a fast guest and a slow one. But it may not hold back the
 * others for long: a port that takes little and refuses much uses up its credit, and then what is for it is dropped. What goes to all is never held back.
 */
import type { Egress } from '../egress/egress.ts';
import type { Bridge, BridgePort, Frame, LinkEnd } from '../link.ts';
import { isGroup, macKey } from '../packet/addresses.ts';
import { TokenBucket } from '../token-bucket.ts';
import type { Timers } from '../timers.ts';
import type { Guard } from './guard.ts';

export interface SwitchOptions {
  /** What a port may say it is; undefined: anything. Ports with egress rules are kept to that, others where the bridge is `guarded`. */
  readonly guardFor?: (port: BridgePort) => Guard | undefined;
  readonly guarded?: boolean;
  /** There is a port more. */
  readonly plugged?: (port: BridgePort) => void;
  /** A port has gone. */
  readonly unplugged?: (port: BridgePort) => void;
}

/** Linux' default for a bridge. */
const AGE_MS = 300_000;
const MOST_ADDRESSES = 4096;
const MOST_OF_ONE = 64;
/** Frames to all, or to an address that nobody has, that a port may send: a second, and at once. */
const FLOODS_PER_SECOND = 1000;
const FLOODS_AT_ONCE = 2000;
/** How long a port may hold back others at a stretch, and what it takes to earn a millisecond of that again. */
const MOST_CREDIT_MS = 200;
const BYTES_PER_MS = 5000;

interface Port {
  readonly end: LinkEnd;
  readonly name: string;
  readonly guard: Guard | undefined;
  /** The guard matters also without rules. */
  readonly isGuarded: boolean;
  readonly egress: Egress | undefined;
  readonly isGateway: boolean;
  readonly floods: TokenBucket;
  /** Addresses that were learnt here. */
  addresses: number;
  /** Since when it refuses. */
  fullSince: number | undefined;
  credit: number;
  /** Whom it holds back. */
  readonly holding: Set<Port>;
  dropped: number;
}

interface Learnt {
  port: Port;
  seen: number;
}

export interface PortStatistics {
  readonly name: string;
  readonly dropped: number;
}

export class LearningSwitch implements Bridge {
  readonly keepsEgress = true;
  readonly #timers: Timers;
  readonly #options: SwitchOptions;
  readonly #ports = new Set<Port>();
  /** The longest unheard first. */
  readonly #learnt = new Map<number, Learnt>();

  constructor(timers: Timers, options: SwitchOptions = {}) {
    this.#timers = timers;
    this.#options = options;
  }

  plug(end: LinkEnd, bridgePort: BridgePort): undefined {
    const port: Port = {
      end,
      name: bridgePort.name,
      guard: this.#options.guardFor?.(bridgePort),
      isGuarded: this.#options.guarded ?? false,
      egress: bridgePort.egress,
      isGateway: bridgePort.isGateway ?? false,
      floods: new TokenBucket(this.#timers, FLOODS_PER_SECOND, FLOODS_AT_ONCE),
      addresses: 0,
      fullSince: undefined,
      credit: MOST_CREDIT_MS,
      holding: new Set(),
      dropped: 0,
    };
    this.#ports.add(port);
    this.#options.plugged?.(bridgePort);
    end.attach({
      receive: (frame) => this.#receive(port, frame),
      room: () => this.#hasRoom(port),
      closed: () => {
        this.#unplug(port);
        this.#options.unplugged?.(bridgePort);
      },
    });
  }

  get ports(): readonly PortStatistics[] {
    return [...this.#ports].map(({ name, dropped }) => ({ name, dropped }));
  }

  #receive(from: Port, frame: Frame): boolean {
    const { head } = frame;
    if (isKept(from) && from.guard?.(head) === false) {
      from.dropped += 1;
      return true;
    }
    const source = macKey(head, 6);
    if (!isGroup(head, 6)) this.#learn(from, source);
    const known = isGroup(head) ? undefined : this.#find(macKey(head));
    if (known) {
      if (known.port === from) return true;
      if (mayPass(from, known.port, head)) return this.#pass(from, known.port, frame);
      for (const { egress } of [from, known.port]) if (egress?.restricts === true) egress.refuse('frames');
      from.dropped += 1;
      return true;
    }
    if (from.floods.take()) this.#flood(from, frame);
    else from.dropped += 1;
    return true;
  }

  #learn(port: Port, source: number): void {
    const now = this.#timers.now();
    const known = this.#learnt.get(source);
    if (known === undefined) {
      if (port.addresses >= MOST_OF_ONE && !this.#forgetOldestOf(port)) return;
      if (this.#learnt.size >= MOST_ADDRESSES) return;
      port.addresses += 1;
      this.#learnt.set(source, { port, seen: now });
      return;
    }
    if (known.port !== port) {
      // It has moved; a port whose address the configuration knows is not to be taken over.
      if (
        (isKept(known.port) && known.port.guard?.owns(source) === true) ||
        (port.addresses >= MOST_OF_ONE && !this.#forgetOldestOf(port))
      )
        return;
      known.port.addresses -= 1;
      port.addresses += 1;
      known.port = port;
    }
    // Order matters for ageing only, so it is kept roughly and not for each frame.
    if (now - known.seen > 1000) {
      this.#learnt.delete(source);
      this.#learnt.set(source, known);
      known.seen = now;
    }
  }

  #find(destination: number): Learnt | undefined {
    const known = this.#learnt.get(destination);
    if (known === undefined || this.#timers.now() - known.seen <= AGE_MS) return known;
    this.#forget(destination, known);
    return undefined;
  }

  #forgetOldestOf(port: Port): boolean {
    for (const [address, known] of this.#learnt) {
      if (known.port !== port) continue;
      this.#forget(address, known);
      return true;
    }
    return false;
  }

  #forget(address: number, known: Learnt): void {
    this.#learnt.delete(address);
    known.port.addresses -= 1;
  }

  /** To one port. False: the sender has to wait. */
  #pass(from: Port, to: Port, frame: Frame): boolean {
    if (to.fullSince !== undefined) {
      if (this.#timers.now() - to.fullSince < to.credit) return this.#hold(from, to);
      // It may have room again without a word; one frame finds out.
    }
    if (to.end.send(frame)) {
      to.credit = Math.min(to.credit + frame.length / BYTES_PER_MS, MOST_CREDIT_MS);
      return true;
    }
    const now = this.#timers.now();
    to.fullSince ??= now;
    if (now - to.fullSince < to.credit) return this.#hold(from, to);
    to.dropped += 1;
    this.#release(to);
    return true;
  }

  #hold(from: Port, to: Port): false {
    if (to.holding.size === 0) {
      // If it stays full, those who wait go on without it.
      const since = to.fullSince ?? 0;
      this.#timers.after(Math.max(to.credit - (this.#timers.now() - since), 1), () => {
        if (to.fullSince === since) this.#release(to);
      });
    }
    to.holding.add(from);
    return false;
  }

  #hasRoom(port: Port): void {
    if (port.fullSince !== undefined) {
      port.credit = Math.max(port.credit - (this.#timers.now() - port.fullSince), 0);
      port.fullSince = undefined;
    }
    this.#release(port);
  }

  #release(port: Port): void {
    const waiting = [...port.holding];
    port.holding.clear();
    for (const from of waiting) from.end.ready();
  }

  #flood(from: Port, frame: Frame): void {
    for (const to of [...this.#ports]) {
      if (to !== from && mayPass(from, to, frame.head) && !to.end.send(frame)) {
        to.fullSince ??= this.#timers.now();
        to.dropped += 1;
      }
    }
  }

  #unplug(port: Port): void {
    this.#ports.delete(port);
    for (const [address, known] of [...this.#learnt]) if (known.port === port) this.#forget(address, known);
    for (const other of this.#ports) other.holding.delete(port);
    this.#release(port);
  }
}

/** Held to what it is: with rules for who it is, or since the bridge wants it. */
function isKept({ isGuarded, egress }: Port): boolean {
  return isGuarded || egress?.restricts === true;
}

/** Between two interfaces, by the rules of both; what goes to the gateway it looks at itself. */
function mayPass(from: Port, to: Port, head: Uint8Array): boolean {
  if (from.isGateway || to.isGateway) return true;
  return (from.egress?.passes(head, 'out') ?? true) && (to.egress?.passes(head, 'in') ?? true);
}
