/**
 * LZMA2 chunks (".xz file format", section 5.3.1 "LZMA2"; control bytes as documented in the xz sources): each chunk says
 * its packed and its plain size, so the sizes of everything are known before anything is decoded.
 */
import { CorruptData } from './corrupt-data.ts';
import { LzmaDecoder } from './lzma.ts';

const MAX_CHUNK = 1 << 21;
/** LZMA looks at the low four bits of positions, so the buffer slides by multiples of this. */
const ALIGNMENT = 16;
/** What one kernel or block may unpack to. */
const MAX_WHOLE = 1 << 30;

interface Chunk {
  readonly control: number;
  readonly data: number;
  readonly packed: number;
  readonly plain: number;
}

export class Lzma2 {
  readonly #input: Uint8Array;
  readonly #dictionary: number;
  readonly #decoder = new LzmaDecoder();
  #ready = { dictionary: false, properties: false, state: false };

  /** Position of the next chunk; after the end, of the byte behind the end mark. */
  at: number;

  constructor(input: Uint8Array, at: number, dictionary: number) {
    this.#input = input;
    this.at = at;
    this.#dictionary = dictionary;
  }

  /** Decodes chunk by chunk in a sliding buffer; a piece is valid until the next. */
  *pieces(): Generator<Uint8Array> {
    const plain = this.#plainSize();
    // Distances may reach back by a dictionary; sliding by another one at a time keeps the copying cheap.
    const room = Math.min(plain, 2 * this.#dictionary + MAX_CHUNK + 2 * ALIGNMENT);
    const out = new Uint8Array(room);
    let pos = 0;
    let dictStart = 0;
    for (;;) {
      const chunk = this.#next();
      if (chunk === undefined) return;
      if (pos + chunk.plain > out.length) {
        const drop = (pos - this.#dictionary - ALIGNMENT) & -ALIGNMENT;
        out.copyWithin(0, drop, pos);
        pos -= drop;
        dictStart = Math.max(dictStart - drop, dictStart & (ALIGNMENT - 1));
      }
      dictStart = this.#decode(chunk, out, pos, dictStart);
      yield out.subarray(pos, pos + chunk.plain);
      pos += chunk.plain;
    }
  }

  /** Decodes everything into one array. */
  whole(): Uint8Array {
    const out = new Uint8Array(this.#plainSize());
    let pos = 0;
    let dictStart = 0;
    for (;;) {
      const chunk = this.#next();
      if (chunk === undefined) return out;
      dictStart = this.#decode(chunk, out, pos, dictStart);
      pos += chunk.plain;
    }
  }

  #decode(chunk: Chunk, out: Uint8Array, pos: number, dictStart: number): number {
    const { control, data, packed, plain } = chunk;
    const ready = this.#ready;
    if (control === 1 || control >= 0xe0) {
      dictStart = pos;
      ready.dictionary = true;
    }
    if (!ready.dictionary) throw new CorruptData('LZMA2 data does not start with an empty dictionary');
    if (control < 0x80) {
      out.set(this.#input.subarray(data, data + plain), pos);
      return dictStart;
    }
    if (control >= 0xc0) {
      this.#decoder.setProperties(this.#input[data - 1] as number);
      ready.properties = ready.state = true;
    } else if (control >= 0xa0) {
      if (ready.properties) this.#decoder.resetState();
      ready.state = ready.properties;
    }
    if (!ready.state) throw new CorruptData('LZMA2 chunk without properties');
    this.#decoder.start(this.#input, data);
    this.#decoder.decode(this.#input, data + packed, out, pos, pos + plain, dictStart);
    if (!this.#decoder.finished || this.#decoder.inPos !== data + packed) {
      throw new CorruptData('LZMA2 chunk has another size than it says');
    }
    return dictStart;
  }

  #next(): Chunk | undefined {
    const chunk = readChunk(this.#input, this.at);
    this.at = chunk === undefined ? this.at + 1 : chunk.data + chunk.packed;
    return chunk;
  }

  /** Adds up what the chunks say, without decoding them. */
  #plainSize(): number {
    let total = 0;
    let at = this.at;
    for (let chunk = readChunk(this.#input, at); chunk !== undefined; chunk = readChunk(this.#input, at)) {
      total += chunk.plain;
      at = chunk.data + chunk.packed;
      if (total > MAX_WHOLE) throw new CorruptData(`LZMA2 data unpacks to more than ${MAX_WHOLE} bytes`);
    }
    return total;
  }
}

/** `undefined` is the end mark. */
function readChunk(input: Uint8Array, at: number): Chunk | undefined {
  const byte = (offset: number): number => {
    const value = input[at + offset];
    if (value === undefined) throw new CorruptData('LZMA2 data ends early');
    return value;
  };
  const control = byte(0);
  if (control === 0) return undefined;
  if (control > 2 && control < 0x80) throw new CorruptData('LZMA2 control byte not known');
  const isPacked = control >= 0x80;
  const plain = (isPacked ? (control & 0x1f) << 16 : 0) + (byte(1) << 8) + byte(2) + 1;
  const packed = isPacked ? (byte(3) << 8) + byte(4) + 1 : plain;
  const data = at + (isPacked ? (control >= 0xc0 ? 6 : 5) : 3);
  if (data + packed > input.length) throw new CorruptData('LZMA2 data ends early');
  return { control, data, packed, plain };
}
