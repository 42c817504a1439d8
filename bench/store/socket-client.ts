/** A client of xenstore on a unix socket, for measurements: as little of its own as possible. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { XsMessage } from '../../src/abi/io/xs-wire.ts';
import { bytesOf, encodeMessage, MessageReader } from '../../src/dom0/xenstore/wire.ts';

export class SocketClient {
  readonly #socket: Socket;
  readonly #reader = new MessageReader();
  #waiting = 0;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
  }

  static async connect(path: string): Promise<SocketClient> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new SocketClient(socket);
  }

  /** Sends all at once and resolves when each has been answered. */
  async call(requests: Uint8Array, count: number): Promise<void> {
    this.#waiting = count;
    const answered = new Promise<void>((resolve) => (this.#wake = resolve));
    this.#socket.write(requests);
    await answered;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const result = this.#reader.take(bytes, at);
      if (result === 'too long') throw new Error('the store broke the protocol');
      at += result.taken;
      if (result.message?.type === XsMessage.XS_ERROR) throw new Error('the store refused a request');
      if (result.message && --this.#waiting === 0) this.#wake();
    }
  }
}

export function read(path: string): Uint8Array {
  return encodeMessage({ type: XsMessage.XS_READ, reqId: 1, txId: 0, payload: bytesOf(`${path}\0`) });
}

export function write(path: string, value: string): Uint8Array {
  return encodeMessage({ type: XsMessage.XS_WRITE, reqId: 1, txId: 0, payload: bytesOf(`${path}\0${value}`) });
}
