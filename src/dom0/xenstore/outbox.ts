/**
 * What waits to be sent to a client: whole messages in order, taken out in pieces. A watch event that is still waiting is not
 * queued a second time, for the client will look at the node after it has read the first.
 */
interface Entry {
  readonly bytes: Uint8Array;
  /** Names a watch event that is not yet begun. */
  readonly event: string | undefined;
}

export class Outbox {
  #entries: Entry[] = [];
  #head = 0;
  /** Bytes of the first entry that are gone already. */
  #sent = 0;
  readonly #events = new Set<string>();
  /** Bytes that wait. */
  bytes = 0;
  /** Replies that wait, the one in part included. */
  replies = 0;

  get empty(): boolean {
    return this.#head === this.#entries.length;
  }

  reply(bytes: Uint8Array): void {
    this.replies++;
    this.#push({ bytes, event: undefined });
  }

  event(key: string, encode: () => Uint8Array): void {
    if (this.#events.has(key)) return;
    this.#events.add(key);
    this.#push({ bytes: encode(), event: key });
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
    if (entry.event === undefined) this.replies--;
    this.#sent = 0;
    this.#head++;
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }

  clear(): void {
    this.#entries = [];
    this.#head = this.#sent = this.bytes = this.replies = 0;
    this.#events.clear();
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.bytes += entry.bytes.length;
  }
}
