/**
 * Messages on the daemon's socket: a 32-bit little-endian length, then one byte that says what follows, then that many bytes less
 * one. Bytes in, frames out; no socket here. A frame longer than the limit ends the connection: its sender is broken or hostile.
 */
import type { JsonObject } from '../config/json.ts';

export const frameKinds = { message: 0, data: 1 } as const;

export type Frame =
  | { readonly kind: 'message'; readonly message: JsonObject }
  /** Console bytes, once a connection is attached to one. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array };

/** The largest is a domain's configuration or the hypervisor's log; both are far below. */
export const maxFrame = 1024 * 1024;
/** Console bytes go in pieces of at most this. */
export const maxData = 64 * 1024;
const headerLength = 5;

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

export function encodeMessage(message: JsonObject): Uint8Array {
  return encode(frameKinds.message, Buffer.from(JSON.stringify(message), 'utf8'));
}

export function encodeData(bytes: Uint8Array): Uint8Array {
  return encode(frameKinds.data, bytes);
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
  #pending: Buffer = Buffer.alloc(0);

  /** What has become complete with these bytes. Throws FrameError. */
  *push(bytes: Uint8Array): Generator<Frame> {
    this.#pending = this.#pending.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#pending, bytes]);
    let at = 0;
    try {
      for (; this.#pending.length - at >= headerLength;) {
        const length = this.#pending.readUInt32LE(at);
        if (length < 1 || length > maxFrame) throw new FrameError(`a message of ${length} bytes`);
        const end = at + 4 + length;
        if (this.#pending.length < end) return;
        const kind = this.#pending.readUInt8(at + 4);
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
  if (kind === frameKinds.data) return { kind: 'data', bytes: Uint8Array.from(body) };
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
