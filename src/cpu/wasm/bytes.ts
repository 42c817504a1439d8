/** A growing byte buffer with the variable-length integers of the WebAssembly binary format (core specification, "Values"). */
export class Bytes {
  #data = new Uint8Array(256);
  #length = 0;
  /** Where the last `local.set` begins and ends. */
  #setAt = 0;
  #setEnd = -1;

  get length(): number {
    return this.#length;
  }

  /** Starts anew; what `view` gave before is overwritten. */
  clear(): void {
    this.#length = 0;
    this.#setEnd = -1;
  }

  all(values: readonly number[]): void {
    if (values[0] === 0x20 && this.#length === this.#setEnd && this.#tee(values)) return;
    if (this.#length + values.length > this.#data.length) this.#grow(values.length);
    for (let i = 0; i < values.length; i++) this.#data[this.#length++] = values[i] ?? 0;
  }

  /** local.set, which becomes local.tee when what follows is a local.get of the same. */
  localSet(index: number): void {
    this.#setAt = this.#length;
    this.byte(0x21);
    this.u32(index);
    this.#setEnd = this.#length;
  }

  #tee(get: readonly number[]): boolean {
    if (this.#setEnd - this.#setAt !== get.length) return false;
    for (let i = 1; i < get.length; i++) if (this.#data[this.#setAt + i] !== get[i]) return false;
    this.#data[this.#setAt] = 0x22;
    this.#setEnd = -1;
    return true;
  }

  byte(value: number): void {
    if (this.#length === this.#data.length) this.#grow(1);
    this.#data[this.#length++] = value;
  }

  /** Unsigned LEB128 of a value below 2^32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of a 32-bit value. */
  s32(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  /** Signed LEB128 of a 64-bit value. BigInt is fine here: this is the time of generation, not of execution. */
  s64(value: bigint): void {
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  name(text: string): void {
    const encoded = Array.from(text, (c) => c.charCodeAt(0));
    this.u32(encoded.length);
    for (const c of encoded) this.byte(c);
  }

  append(other: Bytes): void {
    this.bytes(other.view());
  }

  bytes(other: Uint8Array): void {
    if (this.#length + other.length > this.#data.length) this.#grow(other.length);
    this.#data.set(other, this.#length);
    this.#length += other.length;
  }

  /** The bytes written so far; valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#data.subarray(0, this.#length);
  }

  /** The bytes written so far, as numbers of their own. */
  toArray(): number[] {
    const bytes: number[] = [];
    for (let i = 0; i < this.#length; i++) bytes.push(this.#data[i] ?? 0);
    return bytes;
  }

  #grow(by: number): void {
    const bigger = new Uint8Array(Math.max(this.#data.length * 2, this.#length + by));
    bigger.set(this.#data);
    this.#data = bigger;
  }
}
