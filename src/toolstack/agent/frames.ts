/**
 * Frames on the channel: [type, id, content, CRC-32C of these], encoded by COBS (Cheshire and Baker, "Consistent Overhead Byte Stuffing"), and a zero byte
 * behind each. No zero byte is inside, so whoever joins in the middle, as after a restore, finds the next frame; what was cut off or glued together has a wrong
 * checksum and is dropped. Bytes in, messages out; nothing here waits or fails.
 */
import { crc32c } from './crc32c.ts';
import { maxFrame, type Message } from './protocol.ts';

const head = 5;
const sum = 4;
/** Of an encoded frame without its end. */
const maxEncoded = maxFrame + Math.ceil(maxFrame / 254) + 1;

export function encodeFrame({ type, id, content }: Message): Uint8Array {
  const length = head + content.length;
  if (length + sum > maxFrame) throw new Error(`a frame of ${length} bytes`);
  const plain = Buffer.alloc(length + sum);
  plain.writeUInt8(type, 0);
  plain.writeUInt32LE(id, 1);
  plain.set(content, head);
  plain.writeUInt32LE(crc32c(plain.subarray(0, length)), length);
  return stuff(plain);
}

function stuff(plain: Uint8Array): Uint8Array {
  const encoded = new Uint8Array(plain.length + Math.ceil(plain.length / 254) + 2);
  let code = 0;
  let to = 1;
  for (const byte of plain) {
    if (byte !== 0) encoded[to++] = byte;
    if (byte !== 0 && to - code < 0xff) continue;
    encoded[code] = to - code;
    code = to++;
  }
  encoded[code] = to - code;
  return encoded.subarray(0, to + 1);
}

export class FrameDecoder {
  readonly #encoded = new Uint8Array(maxEncoded);
  #length = 0;
  #tooLong = false;

  /** What has become complete with these bytes. */
  *push(bytes: Uint8Array): Generator<Message, void, undefined> {
    for (let at = 0; at < bytes.length;) {
      const zero = bytes.indexOf(0, at);
      const end = zero < 0 ? bytes.length : zero;
      this.#add(bytes.subarray(at, end));
      at = end + 1;
      if (zero < 0) return;
      const message = this.#tooLong ? undefined : decode(this.#encoded.subarray(0, this.#length));
      this.#length = 0;
      this.#tooLong = false;
      if (message !== undefined) yield message;
    }
  }

  #add(bytes: Uint8Array): void {
    if (this.#length + bytes.length > maxEncoded) this.#tooLong = true;
    if (this.#tooLong) return;
    this.#encoded.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

/** Undefined: it is none, or damaged. */
function decode(encoded: Uint8Array): Message | undefined {
  const plain = Buffer.alloc(encoded.length);
  let to = 0;
  for (let at = 0; at < encoded.length;) {
    const code = encoded[at] ?? 0;
    const end = at + code;
    if (end > encoded.length) return undefined;
    // By hand: blocks may be short, and then a copy costs more than what it copies.
    for (let from = at + 1; from < end; from++) plain[to++] = encoded[from] ?? 0;
    if (code < 0xff && end < encoded.length) to += 1; // a zero, which is there already
    at = end;
  }
  const length = to - sum;
  if (length < head || to > maxFrame || crc32c(plain.subarray(0, length)) !== plain.readUInt32LE(length))
    return undefined;
  return { type: plain.readUInt8(0), id: plain.readUInt32LE(1), content: plain.subarray(head, length) };
}
