/** A client of xenstored on a byte stream, for tests: sends at once, collects what comes back. */
import { XsMessage } from '../../abi/io/xs-wire.ts';
import type { StreamConnection } from '../xenstore/stream-connection.ts';
import { encodeMessage, MessageReader, textOf, type Message } from '../xenstore/wire.ts';
import type { Xenstored } from '../xenstore/xenstored.ts';

export class StreamClient {
  readonly connection: StreamConnection;
  /** Messages that have come and were not asked for. */
  readonly received: Message[] = [];
  closed = false;
  resumed = 0;
  /** While false, the connection is told that its bytes pile up. */
  reads = true;
  readonly #reader = new MessageReader();
  #reqId = 0;

  constructor(xenstored: Xenstored) {
    this.connection = xenstored.connect({
      send: (bytes) => this.#take(bytes),
      close: () => (this.closed = true),
      resume: () => this.resumed++,
    });
  }

  /** The reply's payload with `|` for NUL, as docs/misc/xenstore.txt writes it; an error by its name. */
  call(type: keyof typeof XsMessage, payload: string, txId = 0): string {
    return this.callNumber(XsMessage[type], payload, txId);
  }

  callNumber(type: number, payload: string, txId = 0): string {
    const reqId = ++this.#reqId;
    const bytes = Uint8Array.from(payload, (char) => (char === '|' ? 0 : char.charCodeAt(0)));
    this.connection.receive(encodeMessage({ type, reqId, txId, payload: bytes }));
    const at = this.received.findIndex((message) => message.reqId === reqId);
    const [reply] = at < 0 ? [] : this.received.splice(at, 1);
    if (!reply) throw new Error('no reply');
    const text = textOf(reply.payload);
    return reply.type === XsMessage.XS_ERROR ? text.slice(0, -1) : text.replaceAll('\0', '|');
  }

  /** Events that have come, as `path|token`. */
  events(): string[] {
    const events = this.received.filter((message) => message.type === XsMessage.XS_WATCH_EVENT);
    this.received.splice(0);
    return events.map((message) => textOf(message.payload).slice(0, -1).replaceAll('\0', '|'));
  }

  #take(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length;) {
      const result = this.#reader.take(bytes, at);
      if (result === 'too long') throw new Error('a reply is too long');
      at += result.taken;
      if (result.message) this.received.push(result.message);
    }
    return this.reads;
  }
}
