/**
 * Messages on the daemon's socket: a 32-bit little-endian length, then one byte that says what follows, then that many bytes less
 * one. Bytes in, frames out; no socket here. A frame longer than the limit ends the connection: its sender is broken or hostile.
 */
import type { JsonObject } from '../config/json.ts';

export const frameKinds = { message: 0, data: 1 } as const;

export type Frame =
  | { readonly kind: 'message'; readonly message: JsonObject }
  /** Bytes of a console or of a saved domain; of a frame that comes in parts, one of them. They are the ones that came, and no copy. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array };

/** The largest is a domain's configuration or the hypervisor's log; both are far below. */
export const maxFrame = 1024 * 1024;
/** Bytes go in pieces of at most this, of which a reader keeps none waiting for the others. */
export const maxData = 512 * 1024;
const headerLength = 5;

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

export function encodeMessage(message: JsonObject): Uint8Array {
  return encode(frameKinds.message, Buffer.from(JSON.stringify(message), 'utf8'));
}

/** At most `maxData` bytes as a frame; a copy of them, for what is small. */
export function encodeData(bytes: Uint8Array): Uint8Array {
  return encode(frameKinds.data, bytes);
}

/** What comes before so many bytes that are sent as they are. */
export function dataHeader(length: number): Uint8Array {
  const header = Buffer.allocUnsafe(headerLength);
  header.writeUInt32LE(length + 1, 0);
  header.writeUInt8(frameKinds.data, 4);
  return header;
}

function encode(kind: number, body: Uint8Array): Uint8Array {
  if (body.length >= maxFrame) throw new FrameError(`a message of ${body.length} bytes is too long`);
  const frame = Buffer.allocUnsafe(headerLength + body.length);
  frame.writeUInt32LE(body.length + 1, 0);
  frame.writeUInt8(kind, 4);
  frame.set(body, headerLength);
  return frame;
}

export class FrameReader {
  /** Of a message that is not complete, or a header. */
  #pending: Buffer = Buffer.alloc(0);
  /** What is still to come of a data frame. */
  #data = 0;

  /** What has become complete with these bytes, which are not changed afterwards. Throws FrameError. */
  *push(bytes: Uint8Array): Generator<Frame> {
    const fresh = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#pending = this.#pending.length === 0 ? fresh : Buffer.concat([this.#pending, fresh]);
    let at = 0;
    try {
      for (;;) {
        if (this.#data > 0 && at < this.#pending.length) {
          const part = this.#pending.subarray(at, at + this.#data);
          at += part.length;
          this.#data -= part.length;
          yield { kind: 'data', bytes: part };
          continue;
        }
        if (this.#pending.length - at < headerLength) return;
        const length = this.#pending.readUInt32LE(at);
        if (length < 1 || length > maxFrame) throw new FrameError(`a message of ${length} bytes`);
        const kind = this.#pending.readUInt8(at + 4);
        if (kind === frameKinds.data) {
          at += headerLength;
          this.#data = length - 1;
          continue;
        }
        const end = at + 4 + length;
        if (this.#pending.length < end) return;
        const body = this.#pending.subarray(at + headerLength, end);
        at = end;
        yield decode(kind, body);
      }
    } finally {
      this.#pending = this.#pending.subarray(at);
    }
  }
}

function decode(kind: number, body: Buffer): Frame {
  if (kind !== frameKinds.message) throw new FrameError(`unknown kind of message ${kind}`);
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
