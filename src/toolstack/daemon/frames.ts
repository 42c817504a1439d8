/**
 * Messages on the daemon's socket: a 32-bit little-endian length, then one byte that says what follows, then that many bytes less
 * one. Bytes in, frames out; no socket here. A frame longer than its reader's limit ends the connection: its sender is broken or hostile.
 */
import type { JsonObject } from '../config/json.ts';

export const frameKinds = { message: 0, data: 1 } as const;

export type Frame =
  | { readonly kind: 'message'; readonly message: JsonObject }
  /** Bytes of a console or of a saved domain; of a frame that comes in parts, one of them. They are the ones that came, and no copy. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array };

/** What the daemon takes of a client. The largest request is a domain's configuration, which is far below. */
export const maxFrame = 1024 * 1024;
/** What a client takes of the daemon, which it trusts: the configurations of all domains, a hundred thousand and more of them. */
export const maxAnswer = 256 * 1024 * 1024;
/** Bytes go in pieces of at most this, of which a reader keeps none waiting for the others. */
export const maxData = 512 * 1024;
const headerLength = 5;

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** For the daemon. Throws FrameError for one that it would not take. */
export function encodeMessage(message: JsonObject): Uint8Array {
  return encode(frameKinds.message, Buffer.from(JSON.stringify(message), 'utf8'), maxFrame);
}

/** For a client of it. Throws FrameError for one that no client would take. */
export function encodeAnswer(message: JsonObject): Uint8Array {
  return encode(frameKinds.message, Buffer.from(JSON.stringify(message), 'utf8'), maxAnswer);
}

/** At most `maxData` bytes as a frame; a copy of them, for what is small. */
export function encodeData(bytes: Uint8Array): Uint8Array {
  return encode(frameKinds.data, bytes, maxFrame);
}

/** What comes before so many bytes that are sent as they are. */
export function dataHeader(length: number): Uint8Array {
  const header = Buffer.allocUnsafe(headerLength);
  header.writeUInt32LE(length + 1, 0);
  header.writeUInt8(frameKinds.data, 4);
  return header;
}

function encode(kind: number, body: Uint8Array, longest: number): Uint8Array {
  if (body.length >= longest) throw new FrameError(`a message of ${body.length} bytes is too long`);
  const frame = Buffer.allocUnsafe(headerLength + body.length);
  frame.writeUInt32LE(body.length + 1, 0);
  frame.writeUInt8(kind, 4);
  frame.set(body, headerLength);
  return frame;
}

export class FrameReader {
  readonly #longest: number;
  readonly #header = Buffer.alloc(headerLength);
  #headerFilled = 0;
  /** Of a message whose header is there. Set aside whole, so that a long one in many pieces is not put together again with each. */
  #body: Buffer | undefined;
  #bodyFilled = 0;
  /** What is still to come of a data frame. */
  #data = 0;

  constructor(longest = maxFrame) {
    this.#longest = longest;
  }

  /** What has become complete with these bytes, which are not changed afterwards. Throws FrameError. */
  *push(bytes: Uint8Array): Generator<Frame> {
    const fresh = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    for (;;) {
      if (this.#data > 0) {
        if (at === fresh.length) return;
        const part = fresh.subarray(at, at + this.#data);
        at += part.length;
        this.#data -= part.length;
        yield { kind: 'data', bytes: part };
      } else if (this.#body !== undefined) {
        const body = this.#body;
        const copied = fresh.copy(body, this.#bodyFilled, at);
        at += copied;
        this.#bodyFilled += copied;
        if (this.#bodyFilled < body.length) return;
        this.#body = undefined;
        yield decode(body);
      } else {
        const copied = fresh.copy(this.#header, this.#headerFilled, at);
        at += copied;
        this.#headerFilled += copied;
        if (this.#headerFilled < headerLength) return;
        this.#headerFilled = 0;
        this.#begin();
      }
    }
  }

  /** What its header says follows. */
  #begin(): void {
    const length = this.#header.readUInt32LE(0);
    const kind = this.#header.readUInt8(4);
    if (length < 1 || length > this.#longest) throw new FrameError(`a message of ${length} bytes`);
    switch (kind) {
      case frameKinds.data:
        this.#data = length - 1;
        return;
      case frameKinds.message:
        this.#body = Buffer.allocUnsafe(length - 1);
        this.#bodyFilled = 0;
        return;
      default:
        throw new FrameError(`unknown kind of message ${kind}`);
    }
  }
}

function decode(body: Buffer): Frame {
  let message: unknown;
  try {
    message = JSON.parse(body.toString('utf8'));
  } catch {
    throw new FrameError('a message that is not JSON');
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw new FrameError('a message that is no object');
  return { kind: 'message', message: message as JsonObject };
}
