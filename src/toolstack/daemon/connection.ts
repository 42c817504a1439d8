/** One client of the daemon: requests in, answers and events out, and console bytes once it is attached to one. */
import type { Socket } from 'node:net';
import type { ConsoleClient } from '../../dom0/console/index.ts';
import { encodeFrame, FrameDecoder } from '../agent/frames.ts';
import type { AgentLink } from '../agent/link.ts';
import type { JsonObject, JsonValue } from '../config/json.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { XenError } from '../xen-error.ts';
import { FrameStream } from './frame-stream.ts';
import { encodeAnswer, FrameReader, type Frame } from './frames.ts';
import { protocolVersion, type ErrorMessage } from './protocol.ts';
import { writeData } from './write-data.ts';

/** A request in work. */
export interface Call {
  /** Sends `{ id, event }`; nothing when the client has gone. */
  event(event: JsonObject): void;
  /** From the answer on, the connection carries this console. */
  attach(client: ConsoleClient): void;
  /** From the answer on, the connection carries this link's messages, and the link is the connection's to close. */
  attachAgent(link: AgentLink): void;
  /** From now on the connection's data frames, both ways; one at a time, and not beside a console. */
  stream(): FrameStream;
  /** Runs when the connection has ended. */
  onGone(callback: () => void): void;
}

export interface ConnectionGlue {
  handle(method: string, params: JsonObject, call: Call): Promise<JsonObject>;
  onError(error: unknown): void;
}

/** Requests of one client that may be in work at a time; xl has one or two. */
const maxCalls = 16;
/** An event that does not fit in what the socket has queued is worth less than the daemon's memory. */
const maxQueued = 4 * 1024 * 1024;

export class Connection {
  readonly #socket: Socket;
  readonly #glue: ConnectionGlue;
  readonly #reader = new FrameReader();
  readonly #whenGone = new Set<() => void>();
  #calls = 0;
  #console: ConsoleClient | undefined;
  #agent: AgentLink | undefined;
  readonly #agentMessages = new FrameDecoder();
  #stream: FrameStream | undefined;
  #typing: Promise<unknown> = Promise.resolve();

  constructor(socket: Socket, glue: ConnectionGlue) {
    this.#socket = socket;
    this.#glue = glue;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#gone());
    socket.on('drain', () => this.#pump());
    this.#send({ greeting: { version: protocolVersion, pid: process.pid } });
  }

  close(): void {
    this.#socket.end();
  }

  #receive(bytes: Uint8Array): void {
    try {
      for (const frame of this.#reader.push(bytes)) this.#take(frame);
    } catch (error) {
      this.#glue.onError(error);
      this.#socket.destroy();
    }
  }

  #take(frame: Frame): void {
    if (frame.kind === 'data') {
      this.#type(frame.bytes);
      return;
    }
    const { id, method, params } = frame.message;
    if (typeof id !== 'number' || typeof method !== 'string') throw new Error('a request without id or method');
    if (this.#calls >= maxCalls) throw new Error('too many requests at a time');
    this.#calls += 1;
    void this.#answer(id, method, isObject(params) ? params : {});
  }

  async #answer(id: number, method: string, params: JsonObject): Promise<void> {
    let attachment: ConsoleClient | undefined;
    try {
      const result = await this.#glue.handle(method, params, {
        event: (event) => {
          if (this.#socket.writableLength < maxQueued) this.#send({ id, event });
        },
        attach: (client) => (attachment = client),
        attachAgent: (link) => this.#attachAgent(link),
        stream: () => (this.#stream = this.#openStream()),
        onGone: (callback) => {
          if (this.#socket.destroyed) callback();
          else this.#whenGone.add(callback);
        },
      });
      this.#send({ id, result });
      if (attachment !== undefined) this.#attach(attachment);
    } catch (error) {
      if (!(error instanceof XenError)) this.#glue.onError(error);
      this.#send({ id, error: { ...describe(error) } });
      attachment?.detach();
    } finally {
      this.#calls -= 1;
    }
  }

  #attach(client: ConsoleClient): void {
    if (this.#socket.destroyed) {
      client.detach();
      return;
    }
    this.#console?.detach();
    this.#console = client;
    client.onReadable = () => this.#pump();
    this.#pump();
  }

  /** Before the answer: the client can say nothing yet that the agent would answer. */
  #attachAgent(link: AgentLink): void {
    if (this.#socket.destroyed) {
      link.close();
      return;
    }
    this.#agent?.close();
    this.#agent = link;
    // Bounded by what the client has told the guest that it may send. What comes together goes together: a program's end is four messages.
    const frames: Uint8Array[] = [];
    const flush = (): void => {
      const ready = frames.splice(0);
      if (ready.length > 0 && !this.#socket.destroyed) writeData(this.#socket, ready);
    };
    link.onMessage = (message) => {
      if (frames.push(encodeFrame(message)) === 1) queueMicrotask(flush);
    };
    link.onEnd = (why) => {
      flush();
      this.#send({ event: { agentEnd: why.message } });
    };
  }

  /** A client that reads slowly waits at its place in the scroll-back; nothing piles up here. */
  #pump(): void {
    const client = this.#console;
    if (client === undefined) return;
    while (!this.#socket.writableNeedDrain && !this.#socket.destroyed) {
      const bytes = client.read();
      if (bytes === undefined) {
        if (!client.ended) return;
        this.#console = undefined;
        client.onReadable = undefined;
        this.#send({ event: { end: true } });
        return;
      }
      writeData(this.#socket, [bytes]);
    }
  }

  /** While the guest does not read what was typed, nothing more is taken from the socket. */
  #type(bytes: Uint8Array): void {
    if (this.#stream !== undefined) {
      this.#stream.push(bytes);
      return;
    }
    if (this.#agent !== undefined) {
      const agent = this.#agent;
      this.#socket.pause();
      for (const message of this.#agentMessages.push(bytes)) agent.send(message);
      void agent.ready().then(() => this.#socket.resume());
      return;
    }
    const client = this.#console;
    if (client === undefined) return;
    this.#socket.pause();
    this.#typing = this.#typing.then(() => client.write(bytes)).then(() => void this.#socket.resume());
    this.#typing.catch((error: unknown) => this.#glue.onError(error));
  }

  #openStream(): FrameStream {
    const socket = this.#socket;
    return new FrameStream({
      send: (chunks) => new Promise((resolve) => void writeData(socket, chunks, () => resolve())),
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
    });
  }

  #send(message: Record<string, JsonValue>): void {
    if (!this.#socket.destroyed && this.#socket.writable) this.#socket.write(encodeAnswer(message));
  }

  #gone(): void {
    this.#console?.detach();
    this.#console = undefined;
    this.#agent?.close();
    this.#stream?.end();
    for (const callback of this.#whenGone) callback();
    this.#whenGone.clear();
  }
}

function describe(error: unknown): ErrorMessage & JsonObject {
  if (error instanceof XenError) {
    const rc = error instanceof LibxlError ? error.rc : -error.exitCode;
    return {
      message: error.message,
      lines: error.hint === undefined ? error.lines : [...error.lines, `hint: ${error.hint}`],
      rc,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, lines: [`xl: internal error: ${message} (see xenolithd.log)`], rc: -1 };
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
