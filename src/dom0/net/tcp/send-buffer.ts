/** What was given to be sent and is not yet acknowledged: a queue of pieces, addressed by their distance from its begin. */

/** Smaller pieces are copied together, so that a peer that sends single bytes costs a byte each. */
const SMALL = 2048;
const BLOCK = 16 * 1024;

export class SendBuffer {
  #pieces: Uint8Array[] = [];
  /** Pieces before it are gone. */
  #first = 0;
  /** Bytes of the first piece that are gone. */
  #skipped = 0;
  #length = 0;
  /** The block that small pieces are copied into, and how much of it is used; while there is one, that part is the last piece. */
  #block: Uint8Array | undefined;
  #used = 0;

  get length(): number {
    return this.#length;
  }

  /** The bytes are kept, not copied, when they are many. */
  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    if (bytes.length > SMALL) {
      this.#pieces.push(bytes);
      this.#block = undefined;
      return;
    }
    let block = this.#block;
    if (block === undefined || this.#used + bytes.length > block.length) {
      block = this.#block = new Uint8Array(BLOCK);
      this.#used = 0;
    } else {
      this.#pieces.pop();
    }
    block.set(bytes, this.#used);
    this.#used += bytes.length;
    this.#pieces.push(block.subarray(0, this.#used));
  }

  /** Views of `length` bytes from `from` on; both within. */
  slice(from: number, length: number): Uint8Array[] {
    const result: Uint8Array[] = [];
    let skip = from + this.#skipped;
    let left = length;
    for (let i = this.#first; left > 0; i++) {
      const piece = this.#pieces[i];
      if (piece === undefined) throw new Error('the send buffer does not hold what is sent');
      if (skip >= piece.length) {
        skip -= piece.length;
        continue;
      }
      const take = Math.min(piece.length - skip, left);
      result.push(skip === 0 && take === piece.length ? piece : piece.subarray(skip, skip + take));
      left -= take;
      skip = 0;
    }
    return result;
  }

  /** The first so many bytes are no longer needed. */
  drop(count: number): void {
    this.#length -= count;
    let left = count + this.#skipped;
    for (;;) {
      const piece = this.#pieces[this.#first];
      if (piece === undefined || piece.length > left) break;
      left -= piece.length;
      this.#first += 1;
    }
    this.#skipped = left;
    if (this.#first < 32 && this.#first < this.#pieces.length) return;
    this.#pieces = this.#pieces.slice(this.#first);
    this.#first = 0;
    if (this.#pieces.length === 0) this.#block = undefined;
  }
}
