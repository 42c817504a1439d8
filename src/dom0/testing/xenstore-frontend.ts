/** The guest's half of the xenstore ring, as far as tests need it. */
import { XENSTORE_RING_SIZE, XenstoreDomainInterface, XsMessage, XsdSockmsg } from '../../abi/io/xs-wire.ts';
import { encodeMessage, joinStrings, MessageReader, splitStrings, textOf, type Message } from '../xenstore/wire.ts';
import type { FakeDomain } from './fake-hypervisor.ts';

const at = XenstoreDomainInterface.at;
type Request = Exclude<keyof typeof XsMessage, 'XS_WATCH_EVENT' | 'XS_ERROR'>;

export class XenstoreFrontend {
  readonly page: Uint8Array;
  readonly #words: DataView;
  readonly #domain: FakeDomain;
  readonly #port: number;
  #reader = new MessageReader();
  #reqId = 0;

  constructor(domain: FakeDomain, mfn: number, port: number) {
    this.page = domain.frames.view(mfn);
    this.#words = new DataView(this.page.buffer, this.page.byteOffset, this.page.byteLength);
    this.#domain = domain;
    this.#port = port;
  }

  /** Sends a request and returns the reply's strings, or the error's name; events on the way go to `events`. */
  call(type: Request, strings: readonly string[], txId = 0, events: string[][] = []): string[] | string {
    const reqId = ++this.#reqId;
    this.send(encodeMessage({ type: XsMessage[type], reqId, txId, payload: joinStrings(strings) }));
    for (const message of this.receive()) {
      const texts = splitStrings(message.payload) ?? [textOf(message.payload)];
      if (message.type === XsMessage.XS_WATCH_EVENT) events.push(texts);
      else if (message.reqId !== reqId || message.txId !== txId) throw new Error('a reply to another request');
      else {
        events.push(...this.events());
        return message.type === XsMessage.XS_ERROR ? (texts[0] ?? '') : texts;
      }
    }
    throw new Error('no reply');
  }

  /** Watch events that have come. */
  events(): string[][] {
    return [...this.receive()].map((message) => {
      if (message.type !== XsMessage.XS_WATCH_EVENT) throw new Error('an unexpected reply');
      return splitStrings(message.payload) ?? [];
    });
  }

  /** Puts bytes into the ring, signalling each time it is full. */
  send(bytes: Uint8Array): void {
    let sent = 0;
    for (let tries = 0; sent < bytes.length; tries++) {
      if (tries > 100) throw new Error('the store does not read');
      sent += this.put(bytes.subarray(sent));
      this.signal();
    }
  }

  /** As much as fits. */
  put(bytes: Uint8Array): number {
    const free = XENSTORE_RING_SIZE - ((this.word('req_prod') - this.word('req_cons')) >>> 0);
    const count = Math.min(free, bytes.length);
    for (let i = 0; i < count; i++) {
      this.page[at.req + ((this.word('req_prod') + i) & (XENSTORE_RING_SIZE - 1))] = bytes[i] ?? 0;
    }
    this.setWord('req_prod', this.word('req_prod') + count);
    return count;
  }

  *receive(): Generator<Message> {
    for (;;) {
      const cons = this.word('rsp_cons');
      if (cons === this.word('rsp_prod')) {
        this.signal(); // the ring may have been full
        if (cons === this.word('rsp_prod')) return;
      }
      const byte = this.page.subarray(at.rsp + (cons & (XENSTORE_RING_SIZE - 1))).subarray(0, 1);
      const result = this.#reader.take(byte, 0);
      this.setWord('rsp_cons', cons + 1);
      if (result === 'too long') throw new Error('a reply is too long');
      if (result.message) yield result.message;
    }
  }

  signal(): void {
    this.#domain.send(this.#port);
  }

  restart(): void {
    this.#reader = new MessageReader();
  }

  word(field: keyof typeof at): number {
    return this.#words.getUint32(at[field], true);
  }

  setWord(field: keyof typeof at, value: number): void {
    this.#words.setUint32(at[field], value >>> 0, true);
  }
}

export const headerSize = XsdSockmsg.size;
