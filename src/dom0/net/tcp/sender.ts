/**
 * The sending half of a connection: what is to be sent, how much of it may be, and what has to be sent again. It decides; connection.ts
 * sends and keeps the time. After RFC 9293 (windows), RFC 5681 and 6582 (congestion, NewReno), RFC 6675 (SACK).
 */
import { CongestionWindow } from './congestion.ts';
import { RoundTrip } from './round-trip.ts';
import { Scoreboard } from './scoreboard.ts';
import { SendBuffer } from './send-buffer.ts';
import { seqAdd, seqDiff, seqMax, type Range } from './segment.ts';

const DUPLICATES = 3;

/** A stretch of the stream that is to go out now, as one segment, which may be larger than the peer's MSS: what carries it cuts it. */
export interface Plan {
  readonly seq: number;
  readonly length: number;
  readonly fin: boolean;
  /** Nothing follows for now. */
  readonly push: boolean;
  /** Not the next in order, but one that fills a hole. */
  readonly repair: boolean;
}

export interface Acknowledgement {
  readonly seq: number;
  readonly ack: number;
  /** Scaled. */
  readonly window: number;
  readonly sack: readonly Range[] | undefined;
  readonly hasPayload: boolean;
}

export class Sender {
  readonly roundTrip = new RoundTrip();
  readonly #buffer = new SendBuffer();
  readonly #scoreboard = new Scoreboard();
  readonly #congestion: CongestionWindow;
  readonly #mss: number;
  readonly #largest: number;
  /** Oldest byte that is not acknowledged; next one to send; end of all that was ever sent. */
  una: number;
  next: number;
  max: number;
  #window = 0;
  #largestWindow = 0;
  #windowSeq: number;
  #windowAck: number;
  #ended = false;
  #more = false;
  #duplicates = 0;
  #recovering = false;
  /** Recovery is over when this is acknowledged. */
  #recover: number;
  /** Holes before it have been filled once in this recovery. */
  #repaired: number;
  #repairFirst = false;
  /** The byte whose acknowledgement is timed, and since when. */
  #timed: { readonly end: number; readonly since: number } | undefined;

  /** @param first the number of the first byte. @param largest payload of a segment that the link takes, a multiple of `mss`. */
  constructor(first: number, mss: number, largest: number, peer: { readonly seq: number; readonly window: number }) {
    this.una = this.next = this.max = this.#recover = this.#repaired = this.#windowAck = first;
    this.#mss = mss;
    this.#largest = largest;
    this.#congestion = new CongestionWindow(mss);
    this.#windowSeq = peer.seq;
    this.#window = this.#largestWindow = peer.window;
  }

  /** Bytes that are not acknowledged. */
  get buffered(): number {
    return this.#buffer.length;
  }

  get inFlight(): boolean {
    return this.next !== this.una;
  }

  /** Something waits that has not been sent: data, or the end. */
  get waiting(): boolean {
    return seqDiff(this.#end, this.next) > 0;
  }

  /** Everything, with the end, is acknowledged. */
  get done(): boolean {
    return this.#ended && this.una === this.#end;
  }

  /** `more`: the next piece will follow at once. */
  append(bytes: Uint8Array, more: boolean): void {
    this.#buffer.append(bytes);
    this.#more = more;
  }

  /** No more will be appended. */
  end(): void {
    this.#ended = true;
    this.#more = false;
  }

  slice(seq: number, length: number): Uint8Array[] {
    return this.#buffer.slice(seqDiff(seq, this.una), length);
  }

  /** After the last byte, and after the FIN when there is to be one. */
  get #end(): number {
    return seqAdd(this.#dataEnd, this.#ended ? 1 : 0);
  }

  get #dataEnd(): number {
    // Once the FIN is acknowledged, nothing is buffered and `una` lies behind it.
    return this.#finAcknowledged ? seqAdd(this.una, -1) : seqAdd(this.una, this.#buffer.length);
  }

  #finAcknowledged = false;

  /** What to send now; the caller says `sent`, or asks again later. */
  plan(): Plan | undefined {
    if (this.#recovering) {
      const repair = this.#planRepair();
      if (repair) return repair;
    }
    const { next } = this;
    const available = seqDiff(this.#dataEnd, next);
    if (available <= 0) {
      const fin = this.#ended && seqDiff(this.#end, next) > 0;
      return fin ? { seq: next, length: 0, fin: true, push: true, repair: false } : undefined;
    }
    const sent = seqDiff(next, this.una);
    const usable = Math.min(this.#window - sent, this.#congestion.size - this.#pipe());
    let length = Math.min(available, usable, this.#largest);
    // Few large segments are worth the wait for the next acknowledgement: what a segment costs hardly depends on its length.
    const large = Math.min(this.#largest, Math.floor(Math.min(this.#window, this.#congestion.size) / 3));
    if (length === available && this.#more && sent > 0 && length < large) return undefined;
    if (length < available) {
      if (length > this.#mss) length -= length % this.#mss;
      // A part of a segment goes only when nothing is on its way that will bring more room (RFC 9293, section 3.8.6.2.1).
      const worth = Math.min(this.#mss, Math.max(this.#largestWindow >> 1, 1));
      if (length <= 0 || (length < this.#mss && (sent > 0 || length < worth))) return undefined;
      if (sent > 0 && length < large) return undefined;
    }
    const last = length === available;
    return { seq: next, length, fin: last && this.#ended, push: last, repair: false };
  }

  #planRepair(): Plan | undefined {
    const from = seqMax(this.#repaired, this.una);
    const hole = this.#scoreboard.hole(from);
    const available = seqDiff(this.#dataEnd, from);
    if (this.#repairFirst) {
      const length = Math.min(this.#mss, available, hole ? seqDiff(hole.end, from) : this.#mss);
      return { seq: from, length, fin: this.#ended && length === available, push: true, repair: true };
    }
    if (hole === undefined) return undefined;
    const room = this.#congestion.size - this.#pipe();
    if (room <= 0) return undefined;
    const whole = Math.max(this.#mss, room - (room % this.#mss));
    const length = Math.min(seqDiff(hole.end, hole.start), whole, this.#largest);
    return { seq: hole.start, length, fin: false, push: false, repair: true };
  }

  /** What is taken to be on its way (RFC 6675's pipe). */
  #pipe(): number {
    if (!this.#recovering || this.#scoreboard.empty) return seqDiff(this.next, this.una);
    const lost = this.#scoreboard.missing(seqMax(this.#repaired, this.una));
    return seqDiff(this.max, this.una) - this.#scoreboard.bytes - lost;
  }

  sent({ seq, length, fin, repair }: Plan, now: number): void {
    const end = seqAdd(seq, length + (fin ? 1 : 0));
    const again = seqDiff(seq, this.max) < 0;
    if (again) this.#timed = undefined;
    else this.#timed ??= { end, since: now };
    if (repair) {
      this.#repaired = seqMax(this.#repaired, end);
      this.#repairFirst = false;
    } else {
      this.next = end;
    }
    this.max = seqMax(this.max, end);
  }

  /** A byte beyond the window, so that the peer says how large it is; undefined when there is none to send. */
  probe(): Plan | undefined {
    if (this.inFlight || this.#buffer.length === 0) return undefined;
    return { seq: this.una, length: 1, fin: false, push: true, repair: false };
  }

  probed(): void {
    this.max = seqMax(this.max, seqAdd(this.una, 1));
    this.#timed = undefined;
  }

  /** An acknowledgement that is not beyond `max`. Says whether it brought anything new. */
  acknowledge({ seq, ack, window, sack, hasPayload }: Acknowledgement, now: number): boolean {
    const ahead = seqDiff(ack, this.una);
    if (ahead < 0) return false;
    const sameWindow = window === this.#window;
    this.#updateWindow(seq, ack, window);
    const news = sack !== undefined && this.#scoreboard.update(sack, ack, this.max);
    if (ahead > 0) {
      this.#advance(ack, ahead, now);
      return true;
    }
    if (this.max === this.una || hasPayload || (!sameWindow && !news)) return false;
    this.#duplicate();
    return news;
  }

  #updateWindow(seq: number, ack: number, window: number): void {
    const newer = seqDiff(seq, this.#windowSeq);
    if (newer < 0 || (newer === 0 && seqDiff(ack, this.#windowAck) < 0)) return;
    this.#windowSeq = seq;
    this.#windowAck = ack;
    this.#window = window;
    this.#largestWindow = Math.max(this.#largestWindow, window);
  }

  #advance(ack: number, ahead: number, now: number): void {
    const data = Math.min(ahead, this.#buffer.length);
    if (ahead > data) this.#finAcknowledged = true;
    this.#buffer.drop(data);
    this.una = ack;
    this.next = seqMax(this.next, ack);
    this.#scoreboard.advance(ack);
    this.#duplicates = 0;
    if (this.#timed && seqDiff(ack, this.#timed.end) >= 0) {
      this.roundTrip.measured(now - this.#timed.since);
      this.#timed = undefined;
    }
    this.roundTrip.progressed();
    if (!this.#recovering) {
      this.#congestion.acknowledged(ahead);
    } else if (seqDiff(ack, this.#recover) >= 0) {
      this.#recovering = false;
      this.#repairFirst = false;
      this.#congestion.recovered();
    } else if (seqDiff(this.#repaired, ack) <= 0) {
      // A partial acknowledgement: what follows is missing too (RFC 6582, section 3.2, step 3).
      this.#repaired = ack;
      this.#repairFirst = true;
      if (this.#scoreboard.empty)
        this.#congestion.size = Math.max(this.#congestion.size - ahead + this.#mss, this.#mss);
    }
  }

  #duplicate(): void {
    this.#duplicates += 1;
    if (this.#recovering) {
      // Each duplicate tells of a segment that has left the network.
      if (this.#scoreboard.empty) this.#congestion.size += this.#mss;
      return;
    }
    const lost = this.#duplicates >= DUPLICATES || this.#scoreboard.bytes >= DUPLICATES * this.#mss;
    if (!lost || seqDiff(this.una, this.#recover) < 0) return;
    this.#recovering = true;
    this.#recover = this.max;
    this.#repaired = this.una;
    this.#repairFirst = true;
    this.#congestion.lost(seqDiff(this.max, this.una));
    if (this.#scoreboard.empty) this.#congestion.size += DUPLICATES * this.#mss;
    this.#timed = undefined;
  }

  /** The retransmission timer ran out: everything that is not acknowledged is sent again, slowly. */
  timedOut(): void {
    this.#congestion.timedOut(seqDiff(this.max, this.una));
    this.roundTrip.timedOut();
    this.#scoreboard.clear();
    this.#recovering = false;
    this.#repairFirst = false;
    this.#duplicates = 0;
    this.#recover = this.max;
    this.next = this.una;
    this.#timed = undefined;
  }
}
