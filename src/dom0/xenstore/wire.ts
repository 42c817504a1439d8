/**
 * Xenstore's messages: bytes in, values out. After docs/misc/xenstore.txt and xen/include/public/io/xs_wire.h. Knows no ring and
 * no socket; the bytes may come in pieces of any size.
 */
import { XENSTORE_PAYLOAD_MAX, XsdSockmsg } from '../../abi/io/xs-wire.ts';

export interface Message {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: Uint8Array;
}

/** Collects one message after the other. */
export class MessageReader {
  readonly #header = new Uint8Array(XsdSockmsg.size);
  readonly #headerView = new DataView(this.#header.buffer);
  #payload: Uint8Array | undefined;
  #used = 0;

  /**
   * Takes bytes from `at` on, at most to the end of the current message, and returns how many. `message` is there when that
   * was the end of one. A payload that is too long gives 'too long', after which the connection is of no use.
   */
  take(bytes: Uint8Array, at: number): { taken: number; message: Message | undefined } | 'too long' {
    let taken = 0;
    if (!this.#payload) {
      taken = this.#fill(this.#header, bytes, at);
      if (this.#used < this.#header.length) return { taken, message: undefined };
      const length = this.#headerView.getUint32(XsdSockmsg.at.len, true);
      if (length > XENSTORE_PAYLOAD_MAX) return 'too long';
      this.#payload = new Uint8Array(length);
      this.#used = 0;
    }
    const payload = this.#payload;
    taken += this.#fill(payload, bytes, at + taken);
    if (this.#used < payload.length) return { taken, message: undefined };
    const { type, req_id, tx_id } = XsdSockmsg.read(this.#headerView, 0);
    this.#payload = undefined;
    this.#used = 0;
    return { taken, message: { type, reqId: req_id, txId: tx_id, payload } };
  }

  #fill(target: Uint8Array, bytes: Uint8Array, at: number): number {
    const count = Math.min(target.length - this.#used, bytes.length - at);
    target.set(bytes.subarray(at, at + count), this.#used);
    this.#used += count;
    return count;
  }
}

export function encodeMessage(message: Message): Uint8Array {
  const bytes = new Uint8Array(XsdSockmsg.size + message.payload.length);
  XsdSockmsg.write(new DataView(bytes.buffer), 0, {
    type: message.type,
    req_id: message.reqId,
    tx_id: message.txId,
    len: message.payload.length,
  });
  bytes.set(message.payload, XsdSockmsg.size);
  return bytes;
}

/** One character for each byte, so that whatever a client sends comes back as it was. */
export function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Strings that each end in NUL. Undefined when the last one does not. */
export function splitStrings(payload: Uint8Array): string[] | undefined {
  if (payload.length === 0) return [];
  if (payload.at(-1) !== 0) return undefined;
  return textOf(payload.subarray(0, -1)).split('\0');
}

/** The strings that end in NUL; what follows the last of them is left out. */
export function leadingStrings(payload: Uint8Array): string[] {
  return textOf(payload).split('\0').slice(0, -1);
}

/** The payload as one string: one NUL, at its end. */
export function onlyString(payload: Uint8Array): string | undefined {
  return payload.indexOf(0) === payload.length - 1 && payload.length > 0 ? textOf(payload.subarray(0, -1)) : undefined;
}

export function joinStrings(strings: readonly string[]): Uint8Array {
  return bytesOf(strings.map((text) => `${text}\0`).join(''));
}
