/** The last bytes of a console, addressed by their position in all that it ever printed. */
const CHUNK = 16 * 1024;

interface Chunk {
  readonly bytes: Uint8Array;
  used: number;
}

export class ScrollBack {
  /** At least so many bytes are kept, and at most one chunk of 16 KiB more. What is too many goes with the next bytes. */
  capacity: number;
  #chunks: Chunk[] = [];
  /** Position of the oldest byte that is kept. */
  #start = 0;
  /** Position of the next byte to come. */
  #end = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      let last = this.#chunks.at(-1);
      if (!last || last.used === last.bytes.length) {
        last = { bytes: new Uint8Array(CHUNK), used: 0 };
        this.#chunks.push(last);
      }
      const piece = bytes.subarray(at, at + last.bytes.length - last.used);
      last.bytes.set(piece, last.used);
      last.used += piece.length;
      at += piece.length;
    }
    this.#end += bytes.length;
    for (
      let first = this.#chunks[0];
      first && this.#end - this.#start - first.used >= this.capacity;
      first = this.#chunks[0]
    ) {
      this.#start += first.used;
      this.#chunks.shift();
    }
  }

  /** A copy of what follows `from`, at most `max` bytes; empty at the end. Positions before `start` are read from there. */
  read(from: number, max = Infinity): Uint8Array {
    const begin = Math.min(Math.max(from, this.#start), this.#end);
    const out = new Uint8Array(Math.min(this.#end - begin, max));
    const first = Math.floor((begin - this.#start) / CHUNK); // all but the last chunk are full
    let offset = (begin - this.#start) % CHUNK;
    let used = 0;
    for (let i = first; used < out.length; i++) {
      const chunk = this.#chunks[i];
      if (!chunk) throw new Error('the scroll-back has lost count of its chunks');
      const piece = chunk.bytes.subarray(offset, Math.min(chunk.used, offset + out.length - used));
      out.set(piece, used);
      used += piece.length;
      offset = 0;
    }
    return out;
  }
}
