/** A disk in memory that can be made to wait, to fail, or to throw, for tests of backends. */
import { DiskError, type Disk, type Segments } from '../disk/index.ts';

export class MemoryDisk implements Disk {
  readonly format = 'raw';
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;
  readonly discardGranularity = 4096;
  /** What is safe from a crash. */
  stable: Uint8Array;
  /** Calls, as `read 0+4096`. */
  readonly calls: string[] = [];
  /** Asked before each call: what it returns is thrown. */
  fault: (call: string) => Error | undefined = () => undefined;
  /** While set, calls wait until `release`. */
  held = false;
  /** Whether reads and writes can be done at once, when nothing holds them. */
  atOnce = false;
  closed = false;
  #waiting: (() => void)[] = [];

  constructor(sectors: number, readOnly = false) {
    this.bytes = new Uint8Array(sectors * 512);
    this.stable = this.bytes.slice();
    this.readOnly = readOnly;
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Lets the calls that wait go on: all of them, or the one at this place. */
  release(index?: number): void {
    for (const go of index === undefined ? this.#waiting.splice(0) : this.#waiting.splice(index, 1)) go();
  }

  read(offset: number, into: Segments): Promise<void> {
    return this.#do('read', offset, total(into), () => this.#copyOut(offset, into));
  }

  write(offset: number, from: Segments): Promise<void> {
    return this.#do('write', offset, total(from), () => this.#copyIn(offset, from));
  }

  readNow(offset: number, into: Segments): boolean {
    return this.#doNow(`read ${offset}+${total(into)}`, () => this.#copyOut(offset, into));
  }

  writeNow(offset: number, from: Segments): boolean {
    return this.#doNow(`write ${offset}+${total(from)}`, () => this.#copyIn(offset, from));
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#do('zero', offset, length, () => void this.bytes.fill(0, offset, offset + length));
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#do('discard', offset, length, () => void this.bytes.fill(0, offset, offset + length));
  }

  flush(): Promise<void> {
    return this.#do('flush', 0, 0, () => void (this.stable = this.bytes.slice()));
  }

  async close(): Promise<void> {
    await this.flush();
    this.closed = true;
  }

  #copyOut(offset: number, into: Segments): void {
    let at = offset;
    for (const piece of into) {
      piece.set(this.bytes.subarray(at, at + piece.length));
      at += piece.length;
    }
  }

  #copyIn(offset: number, from: Segments): void {
    let at = offset;
    for (const piece of from) {
      this.bytes.set(piece, at);
      at += piece.length;
    }
  }

  #doNow(call: string, body: () => void): boolean {
    if (!this.atOnce || this.held || this.closed || this.fault(call) !== undefined) return false;
    this.calls.push(`${call} now`);
    body();
    return true;
  }

  async #do(what: string, offset: number, length: number, body: () => void): Promise<void> {
    const call = length > 0 ? `${what} ${offset}+${length}` : what;
    this.calls.push(call);
    if (this.closed) throw new DiskError('EBADF', 'the disk is closed');
    if (offset + length > this.size) throw new DiskError('EINVAL', `no sectors at ${offset}`);
    if (this.held) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const fault = this.fault(call);
    if (fault !== undefined) throw fault;
    body();
  }
}

function total(segments: Segments): number {
  return segments.reduce((sum, { length }) => sum + length, 0);
}
