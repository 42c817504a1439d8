import { blockHashOf } from './dispatch.ts';
import { InheritedBlocks } from './inherited-blocks.ts';
import { BlockTable, JumpCache, Kept, Op, Region } from './state-layout.ts';

export interface Block {
  readonly op: number;
  readonly end: number;
  /** Host addresses of the bytes it was decoded from: first and last. */
  readonly firstByte: number;
  readonly lastByte: number;
  readonly key: number;
}

/** Numbers of handlers, and how many there are. */
interface Handlers {
  readonly stale: number;
  readonly cross: number;
  readonly count: number;
}

const MAX_BLOCKS = BlockTable.entries / 2;

/** Which operations came from which bytes: the block table, the pieces of frames that hold code, and their invalidation. */
export class CodeCache {
  readonly #memory: DataView;
  readonly #bytes: Uint8Array;
  readonly #vcpu: number;
  readonly #framesAt: number;
  readonly #handlers: Handlers;
  #next: number;
  #count = 0;
  #pages = new Map<number, Block[]>();
  /** Blocks with operations below this were decoded by another processor, in the domain that this one's is a clone of, and are not in `#pages`. */
  #unlisted = 0;
  #inherited: InheritedBlocks | undefined;
  /** Called with the first operation of each block that becomes stale, before it is marked so. */
  onStale: (op: number) => void = () => undefined;
  onCleared: () => void = () => undefined;

  constructor(memory: ArrayBufferLike, vcpu: number, framesAt: number, handlers: Handlers) {
    this.#memory = new DataView(memory);
    this.#bytes = new Uint8Array(memory);
    this.#vcpu = vcpu;
    this.#framesAt = framesAt;
    this.#handlers = handlers;
    this.#next = vcpu + Region.opsAt;
  }

  /** Where the next block's operations go. Empties the cache when less than `room` bytes are left. */
  reserve(room: number): number {
    if (this.#next + room > this.#vcpu + Region.opsEnd || this.#count >= MAX_BLOCKS) this.clear();
    return this.#next;
  }

  /** Begins with what the region holds: nothing in a new memory, or what the processor had decoded whose memory this one's is a copy of. */
  adopt(): void {
    const kept = this.#vcpu + Region.keptAt;
    const next = this.#memory.getUint32(kept + Kept.next, true);
    if (next === 0) return;
    this.#next = this.#unlisted = next;
    this.#count = this.#memory.getUint32(kept + Kept.count, true);
    // Its translated regions were its own.
    for (let n = 0; n < Kept.entries; n++) {
      const entry = kept + Kept.regions + n * Kept.entrySize;
      const op = this.#memory.getUint32(entry, true);
      if (op !== 0 && this.#memory.getUint32(op + Op.handler, true) === this.#handlers.count + n)
        this.#memory.setUint32(op + Op.handler, this.#memory.getUint32(entry + 4, true), true);
    }
    this.#bytes.fill(0, kept + Kept.regions, kept + Kept.size);
  }

  #forgetJumps(): void {
    this.#bytes.fill(JumpCache.free, this.#vcpu + Region.jumpCacheAt, this.#vcpu + Region.keptAt);
  }

  clear(): void {
    for (const pages of [this.#unlisted === 0 ? [] : this.#unlistedBlocks().pages, this.#pages.keys()])
      for (const page of pages) this.#setMask(page, 0, 0);
    this.#unlisted = 0;
    this.#inherited = undefined;
    this.#forgetJumps();
    this.#bytes.fill(0, this.#vcpu + Region.keptAt, this.#vcpu + Region.opsAt);
    this.#pages = new Map();
    this.#next = this.#vcpu + Region.opsAt;
    this.#count = 0;
    this.onCleared();
  }

  /**
   * Registers a block. `pieces` are the host address ranges of its bytes: one, or two when it lies in two pages.
   * @returns the host pages that hold code only from now on
   */
  add(
    host: number,
    mode: number,
    op: number,
    end: number,
    pieces: readonly (readonly [first: number, last: number])[],
  ): number[] {
    this.#next = end;
    this.#count++;
    this.#memory.setUint32(this.#vcpu + Region.keptAt + Kept.next, end, true);
    this.#memory.setUint32(this.#vcpu + Region.keptAt + Kept.count, this.#count, true);
    const entry = this.#entry(host, mode);
    const before = this.#memory.getUint32(entry + BlockTable.op, true);
    // A block for this address is replaced (its second page moved): whoever still points at the old one looks again.
    if (before !== 0) {
      this.onStale(before);
      this.#memory.setUint32(before + Op.handler, this.#handlers.stale, true);
    }
    this.#memory.setUint32(entry + BlockTable.key, host, true);
    this.#memory.setUint32(entry + BlockTable.key + 4, mode, true);
    this.#memory.setUint32(entry + BlockTable.op, op, true);
    const fresh: number[] = [];
    let bytes = 0;
    for (const [firstByte, lastByte] of pieces) {
      const page = this.#listed({ op, end, firstByte, lastByte, key: entry });
      if (page !== undefined) fresh.push(page);
      this.#mark(this.#pageOf(firstByte), firstByte, lastByte);
      bytes += lastByte + 1 - firstByte;
    }
    this.#memory.setUint32(entry + BlockTable.size, (end - op) | (bytes << 16), true);
    return fresh;
  }

  #pageOf(host: number): number {
    return host - ((host - this.#framesAt) & 4095);
  }

  /** @returns the block's page when it is the first one there */
  #listed(block: Block): number | undefined {
    const page = this.#pageOf(block.firstByte);
    const blocks = this.#pages.get(page);
    if (blocks) blocks.push(block);
    else this.#pages.set(page, [block]);
    return blocks ? undefined : page;
  }

  #unlistedBlocks(): InheritedBlocks {
    return (this.#inherited ??= new InheritedBlocks({
      words: new Uint32Array(this.#memory.buffer),
      vcpu: this.#vcpu,
      framesAt: this.#framesAt,
      end: this.#unlisted,
      cross: this.#handlers.cross,
    }));
  }

  /** Bytes are about to be written: every operation that came from them becomes stale. */
  written(host: number, length: number): void {
    const page = this.#pageOf(host);
    if (this.#unlisted !== 0 && this.#isMarked(page))
      for (const block of this.#unlistedBlocks().take(page)) this.#listed(block);
    const blocks = this.#pages.get(page);
    if (!blocks) return;
    const last = host + length - 1;
    const kept: Block[] = [];
    for (const block of blocks) {
      if (block.firstByte > last || block.lastByte < host) {
        kept.push(block);
        continue;
      }
      this.onStale(block.op);
      for (let op = block.op; op < block.end; op += Op.size)
        this.#memory.setUint32(op + Op.handler, this.#handlers.stale, true);
      if (this.#memory.getUint32(block.key + BlockTable.op, true) === block.op)
        this.#memory.setUint32(block.key + BlockTable.op, 0, true);
    }
    this.#setMask(page, 0, 0);
    if (kept.length === 0) this.#pages.delete(page);
    else {
      this.#pages.set(page, kept);
      for (const block of kept) this.#mark(page, block.firstByte, block.lastByte);
    }
  }

  /** The operation that a block begins with, or 0. */
  find(host: number, mode: number): number {
    return this.#memory.getUint32(this.#entry(host, mode) + BlockTable.op, true);
  }

  /** Whether a frame holds code that operations came from. */
  holds(page: number): boolean {
    return this.#pages.has(page);
  }

  #isMarked(page: number): boolean {
    return this.#memory.getBigUint64(this.#maskAt(page), true) !== 0n;
  }

  #entry(host: number, mode: number): number {
    const table = this.#vcpu + Region.blockTableAt;
    for (let at = blockHashOf(host); ; at = (at + 1) & (BlockTable.entries - 1)) {
      const entry = table + at * BlockTable.entrySize;
      const lo = this.#memory.getUint32(entry + BlockTable.key, true);
      const hi = this.#memory.getUint32(entry + BlockTable.key + 4, true);
      if ((lo === 0 && hi === 0) || (lo === host && hi === mode)) return entry;
    }
  }

  #maskAt(page: number): number {
    return this.#vcpu + Region.codeMaskAt + ((page - this.#framesAt) >>> 12) * 8;
  }

  #setMask(page: number, lo: number, hi: number): void {
    this.#memory.setUint32(this.#maskAt(page), lo, true);
    this.#memory.setUint32(this.#maskAt(page) + 4, hi, true);
  }

  /** Bit n of the frame's mask stands for its bytes 64n … 64n+63. */
  #mark(page: number, firstByte: number, lastByte: number): void {
    const at = this.#maskAt(page);
    let lo = this.#memory.getUint32(at, true);
    let hi = this.#memory.getUint32(at + 4, true);
    for (let piece = (firstByte - page) >> 6; piece <= (lastByte - page) >> 6; piece++) {
      if (piece < 32) lo |= 1 << piece;
      else hi |= 1 << (piece - 32);
    }
    this.#setMask(page, lo >>> 0, hi >>> 0);
  }
}
