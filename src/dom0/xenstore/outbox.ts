/**
 * What waits to be sent to a client: whole messages in order, taken out in pieces. A watch event that is still waiting is not
 * queued a second time, for the client will look at the node after it has read the first.
 */
interface Entry {
  readonly bytes: Uint8Array;
  /** Names a watch event. */
  readonly event: string | undefined;
  /** From when on the event is not worth waiting any longer. */
  readonly until: number;
  /** Runs when the message has gone, or never will. */
  readonly done: (() => void) | undefined;
}

export interface EventOptions {
  readonly until?: number;
  readonly done?: () => void;
}

export class Outbox {
  #entries: Entry[] = [];
  #head = 0;
  /** Bytes of the first entry that are gone already. */
  #sent = 0;
  readonly #events = new Set<string>();
  /** Bytes that wait. */
  bytes = 0;

  get empty(): boolean {
    return this.#head === this.#entries.length;
  }

  reply(bytes: Uint8Array, done?: () => void): void {
    this.#push({ bytes, event: undefined, until: Infinity, done });
  }

  /** Whether an event like it waits already. */
  waits(key: string): boolean {
    return this.#events.has(key);
  }

  event(key: string, bytes: Uint8Array, { until = Infinity, done }: EventOptions = {}): void {
    this.#events.add(key);
    this.#push({ bytes, event: key, until, done });
  }

  /** What comes next, up to the end of a message; the caller says with `consume` how much of it went. */
  peek(): Uint8Array | undefined {
    return this.#entries[this.#head]?.bytes.subarray(this.#sent);
  }

  consume(count: number): void {
    const entry = this.#entries[this.#head];
    if (!entry || this.#sent + count > entry.bytes.length) throw new Error('sent more than there was');
    if (count === 0) return;
    this.bytes -= count;
    this.#sent += count;
    if (entry.event !== undefined) this.#events.delete(entry.event);
    if (this.#sent < entry.bytes.length) return;
    this.#sent = 0;
    this.#head++;
    if (this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    entry.done?.();
  }

  /** Drops the events whose time is over, but for one of which a part has gone. Returns when the next one's is, if there is any. */
  expire(now: number): number | undefined {
    const dropped: Entry[] = [];
    let next: number | undefined;
    const kept = this.#entries.slice(this.#head).filter((entry, i) => {
      if (entry.until === Infinity || (i === 0 && this.#sent > 0)) return true;
      if (entry.until > now) {
        next = Math.min(next ?? Infinity, entry.until);
        return true;
      }
      dropped.push(entry);
      return false;
    });
    if (dropped.length === 0) return next;
    this.#entries = kept;
    this.#head = 0;
    for (const entry of dropped) {
      this.bytes -= entry.bytes.length;
      if (entry.event !== undefined) this.#events.delete(entry.event);
    }
    for (const entry of dropped) entry.done?.();
    return next;
  }

  clear(): void {
    const entries = this.#entries.slice(this.#head);
    this.#entries = [];
    this.#head = this.#sent = this.bytes = 0;
    this.#events.clear();
    for (const entry of entries) entry.done?.();
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.bytes += entry.bytes.length;
  }
}
