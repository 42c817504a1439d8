/**
 * A session with the agent over the bytes of its channel. Whoever had one before is forgotten: so a restored or cloned guest, whose agent has been running
 * all the time, is as good as a fresh one.
 */
import { AgentGoneError, AgentNotThereError } from './errors.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';
import type { AgentLink, ByteChannel } from './link.ts';
import { newSession, readHello, reset, Tell, version, type Earlier, type Message } from './protocol.ts';

export interface SessionOptions {
  /** How long the agent has to answer; for ever if nothing is said. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What becomes of the programs of an earlier session: they go on unheard if nothing is said. */
  readonly earlier?: Earlier;
}

/** An agent that is not there yet says hello by itself when it comes. What was sent before may be lost, and it is asked again, less and less often. */
const firstRetryMs = 250;
const retryGrowth = 1.3;
const lastRetryMs = 30_000;
/** Bytes that may wait for the guest to read before those who have more are kept waiting. */
const muchQueued = 16 * 1024;
/** What a hostile agent can make the host keep in its memory. */
const most = { operations: 64, window: 1 << 20 } as const;

export class AgentSession implements AgentLink {
  operations = 0;
  window = 0;
  onMessage: (message: Message) => void = () => undefined;
  onEnd: (why: Error) => void = () => undefined;
  readonly #channel: ByteChannel;
  readonly #id = newSession();
  readonly #decoder = new FrameDecoder();
  #queue: Uint8Array[] = [];
  #queued = 0;
  #sending = false;
  #waiting: (() => void)[] = [];
  #ended: Error | undefined;
  #greeted: (() => void) | undefined;

  private constructor(channel: ByteChannel) {
    this.#channel = channel;
  }

  /** Throws AgentNotThereError when nobody answers in time, or the signal's reason. The channel is let go of then. */
  static async open(channel: ByteChannel, options: SessionOptions = {}): Promise<AgentSession> {
    const session = new AgentSession(channel);
    try {
      await session.#greet(options);
    } catch (error) {
      session.#end(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
    return session;
  }

  send(message: Message): void {
    if (this.#ended !== undefined) return;
    const frame = encodeFrame(message);
    this.#queue.push(frame);
    this.#queued += frame.length;
    if (!this.#sending) void this.#flush();
  }

  ready(): Promise<void> {
    if (this.#queued < muchQueued || this.#ended !== undefined) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#end(new AgentGoneError('the session with the guest’s agent was closed'));
  }

  /** Ends the session for this reason: the agent does what no agent does, for instance. */
  fail(why: Error): void {
    this.#end(why);
  }

  #greet({ timeoutMs, signal, earlier = 'detach' }: SessionOptions): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ask = (): void => {
      if (!this.#sending) this.send(reset(this.#id, earlier));
    };
    let wait = firstRetryMs;
    let retry = setTimeout(function again() {
      ask();
      wait = Math.min(wait * retryGrowth, lastRetryMs);
      retry = setTimeout(again, wait);
    }, wait);
    const late = (): void => {
      const seconds = Math.round((timeoutMs ?? 0) / 100) / 10;
      reject(new AgentNotThereError(`no agent answers in the guest within ${seconds} seconds`));
    };
    const limit = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
    const abort = (): void => reject(signal?.reason instanceof Error ? signal.reason : new Error('cancelled'));
    signal?.addEventListener('abort', abort, { once: true });
    this.#greeted = resolve;
    this.onMessage = ask; // an agent that says hello to nobody has just come
    this.onEnd = reject;
    ask();
    void this.#read();
    return promise.finally(() => {
      clearTimeout(retry);
      clearTimeout(limit);
      signal?.removeEventListener('abort', abort);
      this.#greeted = undefined;
      this.onMessage = () => undefined;
      this.onEnd = () => undefined;
    });
  }

  async #read(): Promise<void> {
    try {
      for await (const bytes of this.#channel) {
        for (const message of this.#decoder.push(bytes)) this.#take(message);
        if (this.#ended !== undefined) return;
      }
      this.#end(new AgentGoneError('the guest’s channel to its agent has ended'));
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #take(message: Message): void {
    const hello = message.type === Tell.hello ? readHello(message) : undefined;
    const greeting = this.#greeted;
    if (hello === undefined) {
      if (greeting === undefined) this.onMessage(message);
      return;
    }
    const ours = Buffer.compare(hello.session, this.#id) === 0;
    if (greeting === undefined) {
      // Not one that was asked for twice: the agent has begun anew, and knows nothing of what it was asked for.
      if (!ours) this.#end(new AgentGoneError('the agent in the guest has been restarted'));
    } else if (!ours) {
      this.onMessage(message);
    } else if (hello.version !== version) {
      const text = `the agent in the guest speaks version ${hello.version} of its protocol, this host version ${version}`;
      this.#end(new AgentNotThereError(text));
    } else {
      this.operations = Math.min(hello.operations, most.operations);
      this.window = Math.min(hello.window, most.window);
      greeting();
    }
  }

  async #flush(): Promise<void> {
    this.#sending = true;
    try {
      while (this.#queue.length > 0) {
        const bytes = Buffer.concat(this.#queue.splice(0));
        this.#queued = 0;
        if (!(await this.#channel.write(bytes))) break;
        this.#wake();
      }
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#sending = false;
    }
  }

  #end(why: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#queue = [];
    this.#queued = 0;
    this.#wake();
    this.#channel.detach();
    this.onEnd(why);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
