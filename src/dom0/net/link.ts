/**
 * A link: the cable between two ports that carry ethernet frames, for instance a guest's vif and the bridge, or the bridge and the
 * NAT. Both ends are alike. All happens on one thread and at once: `send` at one end calls `receive` at the other, and what that
 * answers is what `send` returns.
 *
 * - Back-pressure: `receive` returns false when it has no room. The frame was not taken then; whoever sent it keeps it or drops it.
 *   When there is room again, the end that said no calls `ready`, and `room` of the other end is called, once for any number of
 *   refusals. A receiver that does not care for a frame takes it (true) and drops it.
 * - A frame is lent for the duration of the call. Who wants it longer copies it (`keepFrame`).
 * - `receive` may send, on this link or another, before it returns: a handler brings its own state in order before it sends.
 * - A frame sent into a link that is closed, or whose other end has no handler, is taken and lost, as on a cable that is not plugged in.
 * - `receive`, `room` and `closed` do not throw.
 */
import type { Egress } from './egress/egress.ts';

/** TCP segmentation that is still to be done: the frame is one large segment, to be cut into pieces of `size` bytes of payload. */
export interface Segmentation {
  readonly type: 'tcpv4' | 'tcpv6';
  /** Bytes of TCP payload for each segment; at least 1. */
  readonly size: number;
}

/**
 * A checksum (TCP's or UDP's) that is still to be finished, as Linux' CHECKSUM_PARTIAL: the two bytes at `start + offset` hold the
 * sum of the pseudo header, not complemented. To finish: sum up from `start` to the end of the frame, complement, store there.
 * Both are from the frame's begin; `offset` lies in the head.
 */
export interface PendingChecksum {
  readonly start: number;
  readonly offset: number;
}

export interface Frame {
  /**
   * The frame's begin, from the destination address on, without FCS. At least the first `headLength` bytes, or all of a shorter
   * frame. Private to the host: what is checked here stays true. Nobody changes it, since others may get the same frame.
   */
  readonly head: Uint8Array;
  /**
   * The rest, in order. These bytes may lie in a guest's memory, in place: they can change at any time, so nothing that was read
   * here once may be read again and believed. Empty for most small frames.
   */
  readonly fragments: readonly Uint8Array[];
  /** head.length and the fragments' lengths together: 14 to `maxFrameLength`. */
  readonly length: number;
  /** A checksum to be finished by whom it matters to (a real wire, a guest that cannot). Absent: nothing is to be done. */
  readonly checksum?: PendingChecksum | undefined;
  /** True: the checksums of transport headers need no check (they never left the host, or were checked before). Implied by `checksum`. */
  readonly verified?: boolean | undefined;
  /** Comes only together with `checksum`. The IP header's length field is that of the large segment. */
  readonly segmentation?: Segmentation | undefined;
}

/** Destination, source, type. */
export const ethernetHeaderLength = 14;
/** One VLAN tag more, and an IPv4 and a TCP header with all their options, and some IPv6 extension headers, fit in. */
export const headLength = 256;
/** XEN_NETIF_MAX_TX_SIZE of xen/include/public/io/netif.h: sizes have 16 bits. */
export const maxFrameLength = 65535;

export interface LinkHandler {
  /** A frame from the other end. False: no room, see above. */
  receive(frame: Frame): boolean;
  /** The other end has room again after it refused a frame. */
  room?(): void;
  /** The other end closed the link. Called once; nothing is received any more. */
  closed?(): void;
}

export class LinkEnd {
  #other: LinkEnd | undefined;
  #handler: LinkHandler | undefined;
  /** The other end waits for `ready`. */
  #refused = false;

  private constructor() {
    // Only in pairs.
  }

  /** The two ends of a new link. */
  static pair(): [LinkEnd, LinkEnd] {
    const one = new LinkEnd();
    const two = new LinkEnd();
    one.#other = two;
    two.#other = one;
    return [one, two];
  }

  /** What receives at this end from now on, in place of what did before. */
  attach(handler: LinkHandler): void {
    this.#handler = handler;
  }

  get open(): boolean {
    return this.#other !== undefined;
  }

  /** To the other end. False: it was not taken, and `room` will be called. */
  send(frame: Frame): boolean {
    const other = this.#other;
    if (other === undefined) return true;
    const handler = other.#handler;
    if (handler === undefined || handler.receive(frame)) return true;
    other.#refused = true;
    return false;
  }

  /** This end takes frames again. Costs nothing when none was refused. */
  ready(): void {
    if (!this.#refused) return;
    this.#refused = false;
    const other = this.#other;
    if (other !== undefined) other.#handler?.room?.();
  }

  /** Either end may. Closing twice does nothing. */
  close(): void {
    const other = this.#other;
    if (!other) return;
    const handler = other.#handler;
    this.#other = undefined;
    other.#other = undefined;
    this.#handler = undefined;
    other.#handler = undefined;
    handler?.closed?.();
  }
}

/** A frame of one's own with the same content, which may be kept. */
export function keepFrame(frame: Frame): Frame {
  const head = new Uint8Array(frame.length);
  head.set(frame.head);
  let at = frame.head.length;
  for (const fragment of frame.fragments) {
    head.set(fragment, at);
    at += fragment.length;
  }
  return { ...frame, head, fragments: [] };
}

/** What `bridge=` of a vif names, and what else links lead to. */
export interface Bridge {
  /** Egress rules of ports are kept; a bridge that is not this host's own cannot. */
  readonly keepsEgress?: boolean;
  /** A new port at the other end of the link. It goes when the link is closed. Returns its name where that is not the one that was asked for. */
  plug(end: LinkEnd, port: BridgePort): string | undefined;
}

export interface BridgePort {
  /** As in a real domain 0: `vif3.0`, or what `vifname=` says; `tap0` … */
  readonly name: string;
  /** Nobody has chosen the name: where somebody else has it, another will do. */
  readonly mayBeRenamed?: boolean;
  /** The ethernet address that the configuration gives the interface, `00:16:3e:01:02:03`; not known for everything that is plugged in. */
  readonly mac?: string | undefined;
  /** What it may reach, now or later. */
  readonly egress?: Egress | undefined;
  /** It leads out, and looks after the others' rules itself. */
  readonly isGateway?: boolean;
}
