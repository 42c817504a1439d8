/**
 * One TCP connection (RFC 9293): its states, its timers, and what it answers. It knows segments and no packets: who owns it carries them
 * (`Wire`) and takes what arrives (`User`). Everything is bounded by what the user has room for and by what it gives to be sent.
 *
 * Order of events for the user: `established` once, `data` any number of times, `peerEnded` at most once, `drained` any number of times,
 * then `ended` once: nothing moves any more. `gone` comes last, after TIME-WAIT: the connection's addresses are free again.
 */
import { TokenBucket } from '../token-bucket.ts';
import { Alarm } from '../timers.ts';
import { AcknowledgementPolicy } from './acknowledgement-policy.ts';
import type { ConnectionOptions, EndReason, Outgoing, User, Wire } from './owner.ts';
import { Receiver } from './receiver.ts';
import { ACK, encodeOptions, FIN, PSH, RST, seqAdd, seqDiff, SYN, type Segment } from './segment.ts';
import { Sender, type Plan } from './sender.ts';

export type { ConnectionOptions, EndReason, Outgoing, User, Wire };

type State =
  | 'SYN-SENT'
  | 'SYN-RECEIVED'
  | 'ESTABLISHED'
  | 'FIN-WAIT-1'
  | 'FIN-WAIT-2'
  | 'CLOSE-WAIT'
  | 'CLOSING'
  | 'LAST-ACK'
  | 'TIME-WAIT'
  | 'CLOSED';

/** Times in milliseconds. */
const TIME_WAIT = 10_000;
const KEEP_ALIVE_IDLE = 15 * 60_000;
const KEEP_ALIVE_INTERVAL = 30_000;
const KEEP_ALIVE_TRIES = 6;
const MOST_SYNS = 6;
/** With the timeouts of round-trip.ts, some minutes. */
const MOST_RETRANSMISSIONS = 10;
/** Probes of a closed window that nobody answers; answered ones go on for ever (RFC 9293, section 3.8.6.1). */
const MOST_SILENT_PROBES = 10;
/** Answers to segments that cannot be right (RFC 5961, section 5), a second. */
const CHALLENGES = 10;
/** 2^7 times 65535 is 8 MiB, more than any window here. */
const WINDOW_SCALE = 7;
const DEFAULT_MSS = 536;
const LEAST_MSS = 88;
const SACK_BLOCKS = 4;

export class TcpConnection {
  readonly #o: ConnectionOptions;
  readonly #alarm: Alarm;
  #state: State;
  #sender: Sender | undefined;
  #receiver: Receiver | undefined;
  /** What the other side's SYN allowed. */
  #mss: number;
  #peerScale = 0;
  #scale = 0;
  #sack = false;
  #started = false;
  /** Our SYN is to be sent (again). */
  #synDue = true;
  #syns = 0;
  readonly #acks = new AcknowledgementPolicy();
  #ended = false;
  /** Since the window was last open, and since the peer last said anything. */
  #probes = 0;
  #silentProbes = 0;
  readonly #challenges: TokenBucket;
  #heard: number;
  #keepAlives = 0;
  /** Deadlines; Infinity when not in use. */
  #due = { retransmit: Infinity, persist: Infinity, wait: Infinity };
  #busy = false;
  #again = false;
  #blocked = false;
  readonly #arrivals: Segment[] = [];

  private constructor(options: ConnectionOptions, state: State) {
    this.#o = options;
    this.#state = state;
    this.#mss = options.mss;
    this.#alarm = new Alarm(options.timers, () => this.#ring());
    this.#heard = options.timers.now();
    this.#challenges = new TokenBucket(options.timers, CHALLENGES, CHALLENGES);
  }

  /** A connection to the peer. It begins with `start`, so that who makes it can keep it first: the answer may come at once. */
  static open(options: ConnectionOptions): TcpConnection {
    return new TcpConnection(options, 'SYN-SENT');
  }

  /** The answer to a peer's SYN; begins with `start` as well. */
  static accept(syn: Segment, options: ConnectionOptions): TcpConnection {
    const connection = new TcpConnection(options, 'SYN-RECEIVED');
    connection.#takeSyn(syn, true);
    return connection;
  }

  /** Sends the SYN. */
  start(): this {
    this.#started = true;
    this.#output();
    return this;
  }

  get state(): State {
    return this.#state;
  }

  /** Bytes that were written and are not acknowledged. */
  get buffered(): number {
    return this.#sender?.buffered ?? this.#early.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** What was written before the connection is up. */
  readonly #early: Uint8Array[] = [];
  #closing = false;

  /** `more`: the next piece will follow at once, so that this one's rest may wait for it. */
  write(bytes: Uint8Array, more = false): void {
    if (this.#closing || this.#ended) return;
    if (this.#sender) this.#sender.append(bytes, more);
    else this.#early.push(bytes);
    this.#output();
  }

  /** No more will be written; what was, is sent, then FIN. */
  end(): void {
    if (this.#closing || this.#ended) return;
    this.#closing = true;
    this.#sender?.end();
    if (this.#state === 'ESTABLISHED') this.#state = 'FIN-WAIT-1';
    else if (this.#state === 'CLOSE-WAIT') this.#state = 'LAST-ACK';
    this.#output();
  }

  /** Tells the peer that it is over, and forgets. */
  abort(reason: EndReason = 'reset'): void {
    if (this.#state === 'CLOSED') return;
    if (this.#state !== 'TIME-WAIT' && this.#state !== 'SYN-SENT') {
      const seq = this.#sender?.next ?? seqAdd(this.#o.iss, this.#syns > 0 ? 1 : 0);
      // Unlike data it is not kept when the wire is full; the peer's next segment will find nobody.
      this.#o.wire.transmit(this.#segment(seq, RST | ACK, []));
    }
    this.#close(reason);
  }

  /** The user has more room than before. */
  roomy(): void {
    if (this.#receiver && this.#windowWorthTelling()) this.#output();
  }

  /** The wire has room again. */
  resume(): void {
    this.#blocked = false;
    this.#output();
  }

  receive(segment: Segment): void {
    // The wire may bring an answer before `transmit` has returned.
    this.#arrivals.push(segment);
    if (this.#busy) return;
    this.#output();
  }

  #arrive(segment: Segment): void {
    if (this.#state === 'CLOSED') return;
    if (this.#state === 'SYN-SENT') this.#arriveInSynSent(segment);
    else this.#arriveSynchronized(segment);
  }

  /** RFC 9293, section 3.10.7.3. */
  #arriveInSynSent(segment: Segment): void {
    const { flags, ack } = segment;
    const good = (flags & ACK) !== 0 && ack === seqAdd(this.#o.iss, 1) && this.#syns > 0;
    if ((flags & ACK) !== 0 && !good) {
      if (!(flags & RST)) this.#o.wire.transmit(this.#segment(ack, RST, []));
    } else if (flags & RST) {
      if (good) this.#close('reset');
    } else if (flags & SYN) {
      this.#takeSyn(segment, false);
      if (good) {
        this.#establish(segment);
        this.#acks.now();
      } else {
        this.#state = 'SYN-RECEIVED';
        this.#synDue = true;
      }
    }
  }

  #takeSyn(syn: Segment, passive: boolean): void {
    this.#receiver = new Receiver(seqAdd(syn.seq, 1));
    this.#mss = Math.min(Math.max(syn.mss ?? DEFAULT_MSS, LEAST_MSS), this.#o.mss);
    this.#sack = syn.sackPermitted === true;
    if (syn.windowScale !== undefined) {
      this.#peerScale = syn.windowScale;
      this.#scale = WINDOW_SCALE;
    } else if (!passive) {
      this.#scale = 0;
    }
  }

  #establish(segment: Segment): void {
    const window = segment.window << (segment.flags & SYN ? 0 : this.#peerScale);
    const largest = Math.max(Math.floor(this.#o.largest / this.#mss), 1) * this.#mss;
    this.#sender = new Sender(seqAdd(this.#o.iss, 1), this.#mss, largest, { seq: segment.seq, window });
    for (const bytes of this.#early.splice(0)) this.#sender.append(bytes, false);
    this.#synDue = false;
    this.#due.retransmit = Infinity;
    this.#state = this.#closing ? 'FIN-WAIT-1' : 'ESTABLISHED';
    if (this.#closing) this.#sender.end();
    this.#o.user.established();
  }

  /** RFC 9293, section 3.10.7.4, with the defences of RFC 5961. */
  #arriveSynchronized(segment: Segment): void {
    const receiver = this.#receiver;
    if (receiver === undefined) throw new Error('a connection without a receiving half has got past SYN-SENT');
    const { seq, flags, payload } = segment;
    const length = payload.length + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
    const finOnly = length === 1 && (flags & FIN) !== 0 && payload.length === 0;
    if (!receiver.acceptable(seq, length, finOnly)) {
      if (flags & RST) return;
      if (this.#state === 'SYN-RECEIVED' && flags & SYN) this.#synDue = true;
      else this.#acks.now();
      // A window of zero does not keep acknowledgements out.
      if (!(flags & ACK) || seqDiff(seq, receiver.next) !== 0 || this.#state === 'TIME-WAIT') {
        if (this.#state === 'TIME-WAIT' && flags & FIN) this.#due.wait = this.#o.timers.now() + TIME_WAIT;
        return;
      }
    } else if (flags & RST) {
      if (seq === receiver.next) this.#close('reset');
      else this.#challenge();
      return;
    } else if (flags & SYN) {
      this.#challenge();
      return;
    }
    if (!(flags & ACK)) return;
    this.#heard = this.#o.timers.now();
    this.#keepAlives = 0;
    if (!this.#takeAcknowledgement(segment)) return;
    if (receiver.acceptable(seq, length, finOnly)) this.#takePayload(receiver, segment);
  }

  /** False: the segment is not looked at any further. */
  #takeAcknowledgement(segment: Segment): boolean {
    const { ack, payload } = segment;
    if (this.#state === 'SYN-RECEIVED') {
      if (this.#syns === 0 || ack !== seqAdd(this.#o.iss, 1)) {
        this.#o.wire.transmit(this.#segment(ack, RST, []));
        return false;
      }
      this.#establish(segment);
      if (this.#ended) return false;
    }
    const sender = this.#sender;
    if (sender === undefined) return false;
    if (seqDiff(ack, sender.max) > 0) {
      this.#challenge();
      return false;
    }
    const now = this.#o.timers.now();
    const before = sender.una;
    sender.acknowledge(
      {
        seq: segment.seq,
        ack,
        window: segment.window << this.#peerScale,
        sack: this.#sack ? segment.sack : undefined,
        hasPayload: payload.length > 0,
      },
      now,
    );
    this.#silentProbes = 0;
    if (sender.una !== before) {
      this.#probes = 0;
      this.#due.retransmit = sender.inFlight ? now + sender.roundTrip.timeout : Infinity;
      this.#due.persist = Infinity;
      if (sender.done) this.#finAcknowledged();
      else this.#o.user.drained();
    }
    return this.#isOpen();
  }

  #finAcknowledged(): void {
    if (this.#state === 'FIN-WAIT-1') this.#state = 'FIN-WAIT-2';
    else if (this.#state === 'CLOSING') this.#wait();
    else if (this.#state === 'LAST-ACK') this.#close('done');
  }

  #takePayload(receiver: Receiver, { seq, payload, flags }: Segment): void {
    const fin = (flags & FIN) !== 0;
    if (payload.length === 0 && !fin) return;
    const { pieces, irregular, finished } = receiver.arrive(seq, payload, fin);
    if (irregular || finished || receiver.finished) this.#acks.now();
    for (const piece of pieces) {
      this.#acks.taken(piece.length, this.#mss, this.#o.timers.now());
      this.#o.user.data(piece);
      if (!this.#isOpen()) return;
    }
    if (!finished) return;
    this.#peerEnded();
  }

  #peerEnded(): void {
    const { user } = this.#o;
    if (this.#state === 'ESTABLISHED') {
      this.#state = 'CLOSE-WAIT';
      user.peerEnded();
    } else if (this.#state === 'FIN-WAIT-1') {
      this.#state = 'CLOSING';
      user.peerEnded();
    } else if (this.#state === 'FIN-WAIT-2') {
      user.peerEnded();
      if (this.#isOpen()) this.#wait();
    }
  }

  #isOpen(): boolean {
    return this.#state !== 'CLOSED' && this.#state !== 'TIME-WAIT';
  }

  #wait(): void {
    this.#state = 'TIME-WAIT';
    this.#due = { retransmit: Infinity, persist: Infinity, wait: this.#o.timers.now() + TIME_WAIT };
    this.#end('done');
  }

  /** Whether a SYN may begin a new connection in place of this one (RFC 9293, section 3.6.1). */
  replaceableBy(syn: Segment): boolean {
    return this.#state === 'TIME-WAIT' && this.#receiver !== undefined && seqDiff(syn.seq, this.#receiver.next) > 0;
  }

  #close(reason: EndReason): void {
    if (this.#state === 'CLOSED') return;
    this.#state = 'CLOSED';
    this.#alarm.stop();
    this.#end(reason);
    this.#o.user.gone();
  }

  #end(reason: EndReason): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#o.user.ended(reason);
  }

  #challenge(): void {
    if (this.#challenges.take()) this.#acks.now();
  }

  /** Takes what has arrived and sends all that may be sent. May be called from within itself, by way of the user or the wire. */
  #output(): void {
    this.#again = true;
    if (this.#busy || !this.#started) return;
    this.#busy = true;
    try {
      while (this.#again) {
        this.#again = false;
        for (let segment = this.#arrivals.shift(); segment; segment = this.#arrivals.shift()) this.#arrive(segment);
        while (!this.#blocked && this.#sendOne()) if (this.#arrivals.length > 0) this.#again = true;
        if (this.#arrivals.length > 0) this.#again = true;
      }
    } finally {
      this.#busy = false;
    }
    this.#arm();
  }

  /** False: there is nothing to send, or no room for it. */
  #sendOne(): boolean {
    if (this.#state === 'CLOSED') return false;
    if (this.#sender === undefined) return this.#synDue && this.#sendSyn();
    const { sender, plan } = {
      sender: this.#sender,
      plan: this.#state === 'TIME-WAIT' ? undefined : this.#sender.plan(),
    };
    if (plan) return this.#sendPlan(sender, plan);
    if (this.#windowWorthTelling()) this.#acks.now();
    return this.#acks.due && this.#put(this.#segment(sender.next, ACK, []));
  }

  #sendSyn(): boolean {
    const answering = this.#state === 'SYN-RECEIVED';
    const offered = this.#state === 'SYN-SENT';
    const options = encodeOptions({
      mss: this.#o.mss,
      sackPermitted: offered || this.#sack,
      windowScale: offered || this.#scale > 0 ? WINDOW_SCALE : undefined,
    });
    const segment = this.#segment(this.#o.iss, answering ? SYN | ACK : SYN, [], 0, options);
    this.#synDue = false;
    if (!this.#put(segment)) {
      this.#synDue = true;
      return false;
    }
    this.#syns += 1;
    this.#due.retransmit = this.#o.timers.now() + 1000 * 2 ** (this.#syns - 1);
    return true;
  }

  #sendPlan(sender: Sender, plan: Plan): boolean {
    const flags = ACK | (plan.push ? PSH : 0) | (plan.fin ? FIN : 0);
    const segment = this.#segment(plan.seq, flags, sender.slice(plan.seq, plan.length), plan.length);
    if (!this.#put(segment)) return false;
    const now = this.#o.timers.now();
    sender.sent(plan, now);
    if (this.#due.retransmit === Infinity || plan.repair) this.#due.retransmit = now + sender.roundTrip.timeout;
    this.#due.persist = Infinity;
    return true;
  }

  /** Every segment acknowledges. */
  #put(segment: Outgoing): boolean {
    if (!this.#o.wire.transmit(segment)) {
      this.#blocked = true;
      return false;
    }
    this.#acks.sent();
    return true;
  }

  #segment(seq: number, flags: number, payload: readonly Uint8Array[], length = 0, options?: Uint8Array): Outgoing {
    const receiver = this.#receiver;
    const ack = flags & ACK && receiver ? receiver.next : 0;
    const sack = this.#sack && length === 0 && options === undefined ? receiver?.sackRanges(SACK_BLOCKS) : undefined;
    return {
      seq,
      ack,
      flags,
      window: this.#windowToTell(flags),
      options: options ?? (sack ? encodeOptions({ sack }) : noOptions),
      payload,
      payloadLength: length,
      mss: this.#mss,
    };
  }

  #windowToTell(flags: number): number {
    if (flags & RST) return 0;
    const room = this.#o.user.room();
    // A SYN's window is not scaled (RFC 7323, section 2.2).
    const scale = flags & SYN ? 0 : this.#scale;
    if (this.#receiver === undefined) return Math.min(room, 0xffff);
    this.#receiver.offer(scale === 0 ? Math.min(room, 0xffff) : room, this.#mss, scale);
    return Math.min(this.#receiver.window >> scale, 0xffff);
  }

  /** The window has grown by so much that a peer that waits should hear of it. */
  #windowWorthTelling(): boolean {
    const receiver = this.#receiver;
    if (receiver === undefined || receiver.finished || this.#sender === undefined || !this.#isOpen()) return false;
    const room = this.#scale === 0 ? Math.min(this.#o.user.room(), 0xffff) : this.#o.user.room();
    const worth = receiver.window < this.#mss ? this.#mss : Math.max(room >> 1, 2 * this.#mss);
    return receiver.gain(room, this.#scale) >= worth;
  }

  #arm(): void {
    if (this.#state === 'CLOSED') return;
    const due = this.#due;
    const sender = this.#sender;
    if (sender && this.#state !== 'TIME-WAIT') {
      if (!sender.inFlight) {
        due.retransmit = Infinity;
        // Only the window can be in the way; the peer may open it and its word get lost.
        if (!sender.waiting) due.persist = Infinity;
        else if (due.persist === Infinity && !this.#blocked)
          due.persist = this.#o.timers.now() + sender.roundTrip.timeout;
      }
    }
    const keepAlive =
      this.#state === 'TIME-WAIT' ? Infinity : this.#heard + KEEP_ALIVE_IDLE + this.#keepAlives * KEEP_ALIVE_INTERVAL;
    this.#alarm.set(Math.min(due.retransmit, due.persist, this.#acks.deadline, due.wait, keepAlive));
  }

  #ring(): void {
    const now = this.#o.timers.now();
    const due = this.#due;
    if (due.wait <= now) {
      this.#close('done');
      return;
    }
    this.#acks.ring(now);
    if (due.retransmit <= now && !this.#retransmit(now)) return;
    if (due.persist <= now && !this.#probe(now)) return;
    if (!this.#keepAlive(now)) return;
    this.#output();
  }

  /** False: given up. */
  #retransmit(now: number): boolean {
    const sender = this.#sender;
    if (this.#blocked) {
      // The segment may not even have left: waiting is all there is to do.
      this.#due.retransmit = now + (sender?.roundTrip.timeout ?? 1000);
      return true;
    }
    this.#due.retransmit = Infinity;
    if (sender === undefined) {
      this.#synDue = true;
      if (this.#syns < MOST_SYNS) return true;
    } else {
      sender.timedOut();
      if (sender.roundTrip.backoff <= MOST_RETRANSMISSIONS) return true;
    }
    this.abort('timeout');
    return false;
  }

  #probe(now: number): boolean {
    const sender = this.#sender;
    const plan = sender?.probe();
    this.#due.persist = Infinity;
    if (sender === undefined || plan === undefined || this.#blocked) return true;
    if (this.#silentProbes >= MOST_SILENT_PROBES) {
      this.abort('timeout');
      return false;
    }
    this.#silentProbes += 1;
    this.#probes += 1;
    if (this.#put(this.#segment(plan.seq, ACK | PSH, sender.slice(plan.seq, plan.length), plan.length)))
      sender.probed();
    this.#due.persist = now + Math.min(sender.roundTrip.timeout * 2 ** Math.min(this.#probes, 10), 60_000);
    return true;
  }

  #keepAlive(now: number): boolean {
    if (this.#state === 'TIME-WAIT' || now < this.#heard + KEEP_ALIVE_IDLE + this.#keepAlives * KEEP_ALIVE_INTERVAL)
      return true;
    this.#keepAlives += 1;
    if (this.#keepAlives > KEEP_ALIVE_TRIES) {
      this.abort('timeout');
      return false;
    }
    // A byte that was acknowledged long ago makes the peer say where it is (RFC 9293, section 3.8.4).
    if (this.#sender && !this.#blocked) this.#put(this.#segment(seqAdd(this.#sender.next, -1), ACK, []));
    return true;
  }
}

const noOptions = new Uint8Array(0);
