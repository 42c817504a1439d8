/** A console of a guest, the first or a channel, as a program reads it and types at it. It goes on over reboots of the guest. */
import type { DomainConsole } from '../../dom0/console/index.ts';
import { abortable } from './abortable.ts';
import { XenolithError } from './errors.ts';
import type { KeepAlive } from './keep-alive.ts';

/** What a line may have of characters; what is longer comes in pieces of this length, since a guest need not end its lines. */
const LONGEST_LINE = 64 * 1024;
/** Of what was printed, the characters that a pattern of `waitFor` is looked for in. */
const WINDOW = 64 * 1024;

/** Where reading begins, and when it ends. */
export interface ConsoleReadOptions {
  /** `start`: at the beginning of what this boot has printed, as far as that is kept (1 MiB, 256 KiB of a channel). `now`: at what comes next. Default `start`. */
  readonly from?: 'start' | 'now';
  /** Ends the reading, with its reason as the error. */
  readonly signal?: AbortSignal | undefined;
}

/** For typing. */
export interface WriteOptions {
  /** Gives up; what the guest has not taken is not typed. */
  readonly signal?: AbortSignal | undefined;
}

/** Where a guest's console is found, through its reboots. */
export interface ConsoleSource {
  /** The guest's. */
  readonly name: string;
  /** The console itself, in a sentence. */
  readonly called: string;
  readonly keepAlive: KeepAlive;
  /** Of this boot; of the last when the guest has ended. Undefined: the guest has not connected to it yet. */
  current(): DomainConsole | undefined;
  /** The one after this one, when there is one, of the same boot or the next; undefined: the guest has ended for good. */
  next(after: DomainConsole | undefined): Promise<DomainConsole | undefined>;
  /** The guest has ended for good. */
  readonly over: Promise<unknown>;
  readonly isOver: () => boolean;
}

/**
 * A console of a guest: its first, or a channel, which has begun when the guest has connected to it. It goes on over reboots. Any number of readers see it all.
 */
export class GuestConsole {
  readonly #source: ConsoleSource;
  #typing: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(source: ConsoleSource) {
    this.#source = source;
  }

  /** What is kept of what this boot has printed, at most 1 MiB, 256 KiB of a channel; it can still be read when the guest has ended. */
  get history(): string {
    const client = this.#source.current()?.attach('domain');
    if (client === undefined) return '';
    const decoder = new TextDecoder();
    let text = '';
    for (let bytes = client.read(); bytes !== undefined; bytes = client.read())
      text += decoder.decode(bytes, { stream: true });
    client.detach();
    return text + decoder.decode();
  }

  /**
   * What is printed, as it comes, until the guest has ended. Nothing is queued for a slow reader: one that falls behind by more than what is kept
   * misses what was dropped, and the guest does not wait for it.
   */
  async *bytes({ from = 'start', signal }: ConsoleReadOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const source = this.#source;
    let console = source.current();
    let client = console?.attach(from === 'start' ? 'domain' : 'now');
    void source.over.then(() => client?.wake());
    try {
      for (;;) {
        signal?.throwIfAborted();
        const bytes = client?.read();
        if (bytes !== undefined) yield bytes;
        else if (client === undefined || client.ended) {
          const next = await source.keepAlive.during(abortable(source.next(console), signal));
          if (next === undefined) return;
          console = next;
          client = console.attach('domain');
        } else if (source.isOver()) return;
        else {
          const reading = client;
          const readable = new Promise<void>((resolve) => (reading.onReadable = resolve));
          await source.keepAlive.during(abortable(readable, signal));
        }
      }
    } finally {
      client?.detach();
    }
  }

  /** What is printed, line by line without their ends, as UTF-8. A last line without an end comes when the guest has ended. */
  async *lines(options: ConsoleReadOptions = {}): AsyncGenerator<string, void, undefined> {
    let rest = '';
    for await (const text of this.#text(options)) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield line.replace(/\r+$/, '');
      for (; rest.length > LONGEST_LINE; rest = rest.slice(LONGEST_LINE)) yield rest.slice(0, LONGEST_LINE);
    }
    if (rest !== '') yield rest.replace(/\r+$/, '');
  }

  /**
   * Resolves when this has been printed: with the text, or what the expression matched. Throws XenolithError with code GONE when the guest ends before.
   */
  async waitFor(pattern: string | RegExp, options: ConsoleReadOptions = {}): Promise<RegExpMatchArray> {
    const expression =
      typeof pattern === 'string'
        ? new RegExp(pattern.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
        : new RegExp(pattern.source, pattern.flags);
    let seen = '';
    for await (const text of this.#text(options)) {
      seen = (seen + text).slice(-WINDOW);
      const found = seen.match(expression);
      if (found !== null) return found;
    }
    const { name, called } = this.#source;
    throw new XenolithError('GONE', `${name} has ended, and ${called} did not show ${String(pattern)}`);
  }

  /**
   * Types. Resolves when the guest has room for all of it, for a channel once the guest has connected to it; one call after the other. Throws XenolithError with
   * code GONE.
   */
  async write(data: string | Uint8Array, { signal }: WriteOptions = {}): Promise<void> {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data.slice();
    const turn = this.#typing.then(() => this.#type(bytes, signal));
    this.#typing = turn.catch(() => undefined);
    await this.#source.keepAlive.during(turn);
  }

  async #type(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const source = this.#source;
    const console = source.current() ?? (await abortable(source.next(undefined), signal));
    for (let at = 0; at < bytes.length;) {
      signal?.throwIfAborted();
      if (console === undefined || console.ended) throw new XenolithError('GONE', `${source.name} has ended`);
      at += console.offer(bytes.subarray(at));
      if (at < bytes.length) await abortable(console.inputRoom(), signal);
    }
  }

  async *#text(options: ConsoleReadOptions): AsyncGenerator<string, void, undefined> {
    const decoder = new TextDecoder();
    for await (const bytes of this.bytes(options)) yield decoder.decode(bytes, { stream: true });
    yield decoder.decode();
  }
}
