/** The client's end of the daemon's socket. Small on purpose: every xl command begins by loading it. */
import { connect, type Socket } from 'node:net';
import type { JsonObject, JsonValue } from '../config/json.ts';
import { XenError } from '../xen-error.ts';
import { drained } from '../drained.ts';
import { encodeMessage, FrameError, FrameReader, maxAnswer } from './frames.ts';
import { protocolVersion, type Method, type Methods } from './protocol.ts';
import { writeData } from './write-data.ts';

/** The daemon said no; `lines` is what xl writes to standard error, `rc` libxl's number. */
export class RequestError extends XenError {
  override readonly name = 'RequestError';
  readonly rc: number;

  constructor(message: string, lines: readonly string[], rc: number) {
    super(message, { lines });
    this.rc = rc;
  }
}

/** A daemon's main thread is never busy for so long. */
const greetingTimeoutMs = 20_000;

interface Waiting {
  resolve(result: JsonObject): void;
  reject(error: Error): void;
}

export class DaemonClient {
  readonly #socket: Socket;
  readonly #reader = new FrameReader(maxAnswer);
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closed = false;
  #greeted: () => void = () => undefined;
  /** Of the protocol that the daemon speaks. */
  version = 0;
  /** The daemon's process. */
  pid = 0;
  /** Events of requests, in the order they come. */
  onEvent: (event: JsonObject) => void = () => undefined;
  /** Console bytes, once attached. */
  onData: (bytes: Uint8Array) => void = () => undefined;
  onClosed: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#end());
  }

  /**
   * Undefined when nobody serves there. A daemon that is dying may still have a connection accepted for it, so only its
   * greeting counts.
   */
  static connect(path: string): Promise<DaemonClient | undefined> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        const client = new DaemonClient(socket);
        const late = setTimeout(() => {
          client.close();
          reject(
            new XenError('the daemon does not answer', {
              hint: 'it may be busy, or of an old version: see xenolithd.log',
            }),
          );
        }, greetingTimeoutMs);
        const settle = (result: DaemonClient | undefined): void => {
          clearTimeout(late);
          resolve(result);
        };
        client.#greeted = () => settle(client);
        client.onClosed = () => settle(undefined);
      });
      socket.once('error', (error: NodeJS.ErrnoException) => {
        const nobody = ['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'].includes(error.code ?? '');
        if (nobody) resolve(undefined);
        else reject(new XenError(`cannot reach the daemon at ${path}: ${error.message}`));
      });
    });
  }

  /** For clients that ask for more than to stop. */
  requireVersion(): this {
    if (this.version === protocolVersion) return this;
    this.close();
    throw new XenError('the daemon that runs is of another version', {
      hint: 'xenolithd --stop ends it and its domains',
    });
  }

  call<M extends Method>(method: M, params: Methods[M]['params']): Promise<Methods[M]['result']> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(gone());
        return;
      }
      const message = requestMessage({ id, method, params: params as JsonObject });
      this.#waiting.set(id, { resolve: (result) => resolve(result as unknown as Methods[M]['result']), reject });
      this.#socket.write(message);
    });
  }

  /** To the console, or of a domain; the bytes do not change any more. False when the connection should be given time before more is sent. */
  send(bytes: Uint8Array): boolean {
    return writeData(this.#socket, [bytes]);
  }

  whenDrained(): Promise<void> {
    return drained(this.#socket);
  }

  /** Nothing can be asked any more. */
  get closed(): boolean {
    return this.#closed;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #receive(bytes: Uint8Array): void {
    for (const frame of this.#reader.push(bytes)) {
      if (frame.kind === 'data') this.onData(frame.bytes);
      else this.#message(frame.message);
    }
  }

  #message({ id, result, error, event, greeting }: JsonObject): void {
    if (isObject(greeting)) {
      this.version = Number(greeting['version']);
      this.pid = Number(greeting['pid']);
      this.onClosed = () => undefined;
      this.#greeted();
      return;
    }
    if (isObject(event)) {
      this.onEvent(event);
      return;
    }
    const waiting = typeof id === 'number' ? this.#waiting.get(id) : undefined;
    if (waiting === undefined) return;
    this.#waiting.delete(Number(id));
    if (isObject(error)) waiting.reject(toError(error));
    else waiting.resolve(isObject(result) ? result : {});
  }

  #end(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) reject(gone());
    this.#waiting.clear();
    this.onClosed();
  }
}

function gone(): XenError {
  return new XenError('the daemon ended before it answered', {
    hint: 'its domains are gone with it; xenolithd.log may say why',
  });
}

function toError({ message, lines, rc }: JsonObject): RequestError {
  const text = typeof message === 'string' ? message : 'request failed';
  const all = Array.isArray(lines) ? lines.filter((line) => typeof line === 'string') : [text];
  return new RequestError(text, all, typeof rc === 'number' ? rc : -1);
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Throws XenError for one that the daemon would not take. */
function requestMessage(request: JsonObject): Uint8Array {
  try {
    return encodeMessage(request);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    throw new XenError(`the domain's configuration is too long for the daemon: ${error.message}`, { cause: error });
  }
}
