/**
 * What a guest receives: frames from the link, copied into pages that the frontend has granted for it. A frame for which there
 * are not enough of them waits, up to a limit, and then the link is told that there is no room. After Linux' netback
 * (drivers/net/xen-netback/rx.c).
 */
import {
  NETIF_RSP,
  NETRXF_csum_blank,
  NETRXF_data_validated,
  NETRXF_extra_info,
  NETRXF_more_data,
  NETIF_RX_SLOT_SIZE,
  XEN_NETIF_CTRL_HASH_ALGORITHM,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE,
  XEN_NETIF_GSO_TYPE,
} from '../../../abi/io/netif.ts';
import { GNTST } from '../../../abi/grant-table.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import type { MappedGrants, Traffic } from '../../backend/index.ts';
import { keepFrame, type Frame } from '../link.ts';
import { finishChecksum, segments } from '../offload.ts';
import type { FrameHash } from './hash.ts';
import { answerExtra, answerRx, type QueueState } from './queue-state.ts';

/** Bytes that may wait: XENVIF_RX_QUEUE_BYTES. */
const WAITING_BYTES = 512 * 1024;
/** How long frames wait for a frontend that gives no pages: XENVIF's rx_drain_timeout_msecs. */
const DRAIN_MS = 10_000;
/** Pieces that a large segment is cut into for a frontend that takes none. TCP has no reason for more in 64 KiB. */
const MAX_PIECES = 1024;

/** What the frontend takes; the rest is done for it. */
export interface RxFeatures {
  /** More than one slot for a frame. */
  readonly scatterGather: boolean;
  readonly gsoTcp4: boolean;
  readonly gsoTcp6: boolean;
  readonly checksum4: boolean;
  readonly checksum6: boolean;
  /** Bytes to be left free before the data in every slot. */
  readonly headroom: number;
}

export interface RxGlue {
  /** What the guest gets, which Linux counts as transmitted. */
  readonly statistics: Traffic;
  map(refs: readonly number[]): MappedGrants;
  /** The link may send again. */
  ready(): void;
  warn(line: string): void;
  /** The frontend has broken the protocol: the device is to be stopped. */
  fatal(message: string): void;
  after(milliseconds: number, task: () => void): () => void;
  /** For a frontend that does not tell of the pages that it gives: how often to look. */
  readonly pollMs: number | undefined;
}

/** A frame, and what the frontend is told of its hash. */
interface Hashed {
  readonly frame: Frame;
  readonly hash: FrameHash | undefined;
}

const requestWords = new Int32Array(NETIF_RX_SLOT_SIZE / 4);

export class RxQueue {
  readonly #state: QueueState;
  readonly #glue: RxGlue;
  features: RxFeatures;
  #waiting: Hashed[] = [];
  #waitingBytes = 0;
  #cancelTimer: (() => void) | undefined;
  #cancelPoll: (() => void) | undefined;
  /** Frames have waited in vain; others are dropped, until the frontend gives pages again. */
  #stalled = false;
  #stopped = false;
  /** Pages of the frame in work. */
  readonly #refs: number[] = [];

  constructor(state: QueueState, features: RxFeatures, glue: RxGlue) {
    this.#state = state;
    this.features = features;
    this.#glue = glue;
  }

  /** False: there is no room, see LinkHandler. */
  receive(frame: Frame, hash?: FrameHash): boolean {
    if (this.#stopped) return true;
    if (this.#waitingBytes >= WAITING_BYTES) return false;
    if (needsCutting(frame, this.features)) {
      let pieces = 0;
      for (const piece of segments(frame)) {
        if (++pieces > MAX_PIECES) break;
        this.#accept(piece, hash);
      }
    } else {
      this.#accept(frame, hash);
    }
    this.#push();
    return true;
  }

  /** The frontend has given pages. */
  run(): void {
    if (this.#stopped) return;
    this.#drain();
    this.#push();
    if (this.#waitingBytes < WAITING_BYTES) this.#glue.ready();
  }

  /** Nothing is touched any more. */
  stop(): void {
    this.#stopped = true;
    this.#cancelPoll?.();
    this.#forgetWaiting();
  }

  #accept(frame: Frame, hash: FrameHash | undefined): void {
    const finished = needsChecksum(frame, this.features) ? finishChecksum(frame) : frame;
    if (this.#pagesFor(finished) > 1 && !this.features.scatterGather) return this.#drop(1); // longer than the frontend's mtu
    if (this.#waiting.length === 0 && this.#hasSlots(this.#slotsFor({ frame: finished, hash }))) {
      this.#deliver({ frame: finished, hash });
    } else if (!this.#stalled && !this.#stopped) {
      this.#waiting.push({ frame: keepFrame(finished), hash });
      this.#waitingBytes += finished.length;
      this.#cancelTimer ??= this.#glue.after(DRAIN_MS, () => this.#stall());
      this.#poll();
    } else {
      this.#drop(1);
    }
  }

  #drop(frames: number): void {
    this.#glue.statistics.dropped += frames;
  }

  #poll(): void {
    const { pollMs } = this.#glue;
    if (pollMs === undefined || this.#cancelPoll !== undefined) return;
    this.#cancelPoll = this.#glue.after(pollMs, () => {
      this.#cancelPoll = undefined;
      this.run();
      if (this.#waiting.length > 0) this.#poll();
    });
  }

  #drain(): void {
    let sent = 0;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[sent]) {
      if (!this.#hasSlots(this.#slotsFor(next))) break;
      this.#deliver(next);
      this.#waitingBytes -= next.frame.length;
      sent++;
    }
    if (sent === 0) {
      // Frames that came while it was stalled are gone; there is nobody else who would notice that it is over.
      if (this.#stalled) this.#stalled = !this.#hasSlots(1);
      return;
    }
    this.#waiting.splice(0, sent);
    this.#cancelTimer?.();
    this.#cancelTimer = this.#waiting.length === 0 ? undefined : this.#glue.after(DRAIN_MS, () => this.#stall());
  }

  #stall(): void {
    this.#forgetWaiting();
    this.#stalled = true;
    this.#hasSlots(1);
    this.#glue.ready();
  }

  #forgetWaiting(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#drop(this.#waiting.length);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #pagesFor(frame: Frame): number {
    return Math.ceil(frame.length / (PAGE_SIZE - this.features.headroom));
  }

  #slotsFor({ frame, hash }: Hashed): number {
    const extras = (frame.segmentation ? 1 : 0) + (hash ? 1 : 0) + (this.features.headroom > 0 ? 1 : 0);
    return this.#pagesFor(frame) + extras;
  }

  #hasSlots(count: number): boolean {
    const { rx } = this.#state;
    const there = rx.has(count);
    if (rx.broken !== undefined && !this.#stopped) this.#glue.fatal(rx.broken);
    if (there) this.#stalled = false;
    return there;
  }

  #push(): void {
    if (this.#state.rx.push()) this.#state.rxChannel.notify();
  }

  /** There are slots enough. */
  #deliver({ frame, hash }: Hashed): void {
    const { statistics } = this.#glue;
    statistics.packets++;
    statistics.bytes += frame.length;
    const extras = extrasOf(frame, this.features.headroom, hash);
    this.#takeSlots(this.#pagesFor(frame), extras.length);
    const grants = this.#glue.map(this.#refs);
    try {
      this.#fill(frame, grants, extras);
    } finally {
      // Whatever happens, since a frontend that finds an answered page in use takes that for the end of its device.
      grants.unmap();
    }
  }

  #fill(frame: Frame, grants: MappedGrants, extras: Extras): void {
    const { headroom } = this.features;
    const capacity = PAGE_SIZE - headroom;
    const source = new Pieces(frame);
    for (let slot = 0, left = frame.length; left > 0; slot++) {
      const size = Math.min(left, capacity);
      left -= size;
      const mfn = grants.frames[slot] ?? GNTST.general_error;
      if (mfn < 0) {
        this.#glue.warn(`grant ${this.#refs[slot] ?? 0} cannot be mapped: ${mfn}`);
        source.skip(size);
      } else {
        source.copy(grants, mfn * PAGE_SIZE + headroom, size);
      }
      const first = slot === 0;
      const flags = (left > 0 ? NETRXF_more_data : 0) | (first ? firstFlags(frame, extras.length > 0) : 0);
      answerRx(this.#state, headroom, flags, mfn < 0 ? NETIF_RSP.ERROR : size);
      if (first) for (const [low, high] of extras) answerExtra(this.#state, low, high);
    }
  }

  /** The next requests: their ids go to those that are to be answered, their pages to `#refs`. Those for extra infos follow the first. */
  #takeSlots(data: number, extras: number): void {
    const { rx, rxTaken } = this.#state;
    this.#refs.length = 0;
    for (let i = 0; i < data + extras; i++) {
      if (!rx.take(requestWords)) throw new Error('receive requests were counted and are not there');
      rxTaken.push((requestWords[0] ?? 0) & 0xffff);
      if (i === 0 || i > extras) this.#refs.push((requestWords[1] ?? 0) >>> 0);
    }
  }
}

function isIpv6(frame: Frame): boolean {
  // Only asked where the flags of the two differ; behind a VLAN tag nobody has offloads.
  return frame.head[12] === 0x86 && frame.head[13] === 0xdd;
}

function needsCutting({ segmentation }: Frame, features: RxFeatures): boolean {
  if (segmentation === undefined) return false;
  const { scatterGather, gsoTcp4, gsoTcp6, checksum4, checksum6 } = features;
  return !(scatterGather && (segmentation.type === 'tcpv4' ? gsoTcp4 && checksum4 : gsoTcp6 && checksum6));
}

function needsChecksum(frame: Frame, features: RxFeatures): boolean {
  if (frame.checksum === undefined || frame.segmentation !== undefined) return false;
  return !(isIpv6(frame) ? features.checksum6 : features.checksum4);
}

function firstFlags(frame: Frame, extras: boolean): number {
  const checksum = frame.checksum
    ? NETRXF_csum_blank | NETRXF_data_validated
    : frame.verified
      ? NETRXF_data_validated
      : 0;
  return checksum | (extras ? NETRXF_extra_info : 0);
}

/** Words of the slots with extra infos (struct netif_extra_info). */
type Extras = readonly (readonly [low: number, high: number])[];

function extrasOf({ segmentation }: Frame, headroom: number, hash: FrameHash | undefined): Extras {
  const extras: [number, number][] = [];
  if (segmentation !== undefined) {
    const type = segmentation.type === 'tcpv4' ? XEN_NETIF_GSO_TYPE.TCPV4 : XEN_NETIF_GSO_TYPE.TCPV6;
    extras.push([XEN_NETIF_EXTRA_TYPE.GSO | (segmentation.size << 16), type]);
  }
  if (hash !== undefined) {
    const low = XEN_NETIF_EXTRA_TYPE.HASH | (hash.type << 16) | (XEN_NETIF_CTRL_HASH_ALGORITHM.TOEPLITZ << 24);
    extras.push([low, hash.value | 0]);
  }
  if (headroom > 0) extras.push([XEN_NETIF_EXTRA_TYPE.XDP | (headroom << 16), 0]);
  return extras.map(([low, high], i) => [i < extras.length - 1 ? low | (XEN_NETIF_EXTRA_FLAG_MORE << 8) : low, high]);
}

/** A frame's bytes from begin to end. */
class Pieces {
  readonly #fragments: readonly Uint8Array[];
  #piece: Uint8Array;
  #next = 0;
  #at = 0;

  constructor(frame: Frame) {
    this.#piece = frame.head;
    this.#fragments = frame.fragments;
  }

  copy(target: MappedGrants, address: number, size: number): void {
    for (let done = 0; done < size;) {
      const part = this.#take(size - done);
      if (part.length === 0) return;
      target.write(address + done, part);
      done += part.length;
    }
  }

  skip(size: number): void {
    for (let done = 0; done < size;) {
      const { length } = this.#take(size - done);
      if (length === 0) return;
      done += length;
    }
  }

  /** Up to so many bytes; none at the end. */
  #take(most: number): Uint8Array {
    while (this.#at === this.#piece.length) {
      const next = this.#fragments[this.#next++];
      if (next === undefined) return this.#piece.subarray(this.#at);
      this.#piece = next;
      this.#at = 0;
    }
    const whole = this.#at === 0 && this.#piece.length <= most;
    const part = whole ? this.#piece : this.#piece.subarray(this.#at, this.#at + most);
    this.#at += part.length;
    return part;
  }
}
