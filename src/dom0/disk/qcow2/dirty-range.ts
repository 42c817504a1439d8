/** Bytes of a table in memory that differ from the file. */
export interface TableWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The write did not happen: the range is dirty again. */
  failed(): void;
  done(): void;
}

export class DirtyTable {
  readonly bytes: Uint8Array;
  /** Where it lies in the file. */
  offset: number;
  #from: number;
  #to: number;
  #writing = 0;

  constructor(bytes: Uint8Array, offset: number) {
    this.bytes = bytes;
    this.offset = offset;
    this.#from = bytes.length;
    this.#to = 0;
  }

  /** Differs from the file, or is being written: it must stay in memory. */
  get isBusy(): boolean {
    return this.isDirty || this.#writing > 0;
  }

  get isDirty(): boolean {
    return this.#from < this.#to;
  }

  mark(from = 0, to = this.bytes.length): void {
    this.#from = Math.min(this.#from, from);
    this.#to = Math.max(this.#to, to);
  }

  /** A copy of what is dirty, as it is now; later changes belong to the next. */
  take(): TableWrite {
    const from = this.#from;
    const to = this.#to;
    this.#from = this.bytes.length;
    this.#to = 0;
    this.#writing++;
    return {
      offset: this.offset + from,
      bytes: this.bytes.slice(from, to),
      done: () => void this.#writing--,
      failed: () => {
        this.#writing--;
        this.mark(from, to);
      },
    };
  }
}
