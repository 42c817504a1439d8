import { ADDRESS_SPACES, frameBitsAt, JumpCache, Mode, Region, S, View } from './state-layout.ts';

const PAGE = 4096;
/** Entries of a top table, and bits of one (SDM Vol. 3A, "4-Level Paging"). */
const SLOTS = 512;
const ENTRY = { P: 1, A: 0x20 } as const;

/** No frame, nor the -1 that stands for a view without tables. */
const NONE = -2;

/** What the address spaces need of the generated module. */
interface Flushes {
  flushSpace(vcpu: number, view: number): void;
  dropFrames(vcpu: number, view: number, bits: number): void;
  takeOver(vcpu: number, view: number, set: number): void;
  forgetJumps(vcpu: number, view: number): void;
  protectSpace(vcpu: number, view: number): void;
}

interface Frames {
  /** Host address of frame 0. */
  readonly framesAt: number;
  readonly frameCount: number;
}

/** What became of the page tables, as whoever changes them knows it. */
export interface TableChanges {
  /** Grows with each change that makes a translation wrong. */
  readonly version: number;
  /**
   * Tells which frames may be mapped otherwise than they were at a version, by the tables below a top table: `frames[0]` to `frames[count - 1]`. False when that is
   * not known.
   */
  since(version: number, mfn: number): boolean;
  readonly frames: Int32Array;
  readonly count: number;
}

interface Space {
  /** Which view it is of, and the frame of its top page table. */
  view: number;
  root: number;
  /** Of all page tables, when its translations were last right; undefined: that is not known. */
  version: number | undefined;
  /** How many frames had been protected when it was last in use. */
  protects: number;
  used: number;
  /** Its jump cache has never held anything: it may be zeroes, and is prepared when the space is first entered. */
  isNew: boolean;
  mode: Mode;
  jumpKey: bigint;
}

/**
 * The address spaces that a vCPU was in lately. A load of CR3 drops all translations (SDM Vol. 3A, "Operations that Invalidate TLBs and Paging-Structure
 * Caches"); whoever knows what has changed in the page tables meanwhile gets the others back that the space had when it was left.
 */
export class AddressSpaces {
  readonly #memory: DataView;
  readonly #bytes: Uint8Array;
  readonly #vcpu: number;
  readonly #words: Int32Array;
  readonly #framesAt: number;
  readonly #frameCount: number;
  readonly #bitsAt: number;
  readonly #flushes: Flushes;
  readonly #spaces: readonly Space[];
  /** By view: which space it is in. */
  readonly #active: [number, number] = [0, 1];
  #protects = 0;
  #clock = 0;

  constructor(memory: DataView, vcpu: number, frames: Frames, flushes: Flushes) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#vcpu = vcpu;
    this.#words = new Int32Array(memory.buffer);
    this.#framesAt = frames.framesAt;
    this.#frameCount = frames.frameCount;
    this.#bitsAt = vcpu + frameBitsAt(frames.frameCount);
    this.#flushes = flushes;
    this.#spaces = Array.from({ length: ADDRESS_SPACES }, (_, n) => ({
      view: n & 1,
      root: NONE,
      version: undefined,
      protects: 0,
      used: 0,
      isNew: true,
      mode: Mode.long64,
      jumpKey: 0n,
    }));
    for (const view of [0, 1] as const) this.#enter(view, view);
  }

  /** The view is in the space of the top table in frame `root` now. */
  load(view: 0 | 1, root: number, tables: TableChanges | undefined): void {
    const from = this.#active[view];
    const known = this.#spaces.findIndex((space) => space.view === view && space.root === root);
    const n = known < 0 ? this.#oldest() : known;
    const space = this.#spaces[n];
    const before = this.#spaces[from];
    if (!space || !before) throw new Error(`address spaces: no space ${n}`);
    const keeps = known >= 0 && tables !== undefined && this.#knows(space, tables);
    // Of the kernel's view most is the same in every space.
    const takes = !keeps && n !== from && view === 0 && tables !== undefined && root >= 0 && before.root >= 0;
    if (takes) this.#settle(view, before, tables);
    if (n !== from) {
      this.#leave(view);
      this.#enter(view, n);
    }
    space.used = ++this.#clock;
    space.view = view;
    space.root = root;
    if (!keeps) space.version = undefined;
    if (takes) {
      this.#takeOver(view, from, before.root, root);
      space.version = before.version;
      space.protects = before.protects;
    }
    this.#settle(view, space, tables);
  }

  #knows(space: Space, tables: TableChanges): boolean {
    if (space.version === undefined) return false;
    return space.version === tables.version || tables.since(space.version, space.root);
  }

  /** The upper half's translations of another space, where both have the same entry in their top tables. */
  #takeOver(view: 0 | 1, from: number, fromRoot: number, root: number): void {
    const words = this.#words;
    const scratch = this.#vcpu + S.scratch;
    this.#bytes.fill(0, scratch, scratch + SLOTS / 8);
    for (let slot = SLOTS / 2; slot < SLOTS; slot++) {
      const old = (this.#framesAt + fromRoot * PAGE + slot * 8) >>> 2;
      const now = (this.#framesAt + root * PAGE + slot * 8) >>> 2;
      const entry = words[old] ?? 0;
      if ((entry & ENTRY.P) === 0 || words[old + 1] !== words[now + 1]) continue;
      if (((entry ^ (words[now] ?? 0)) & ~ENTRY.A) !== 0) continue;
      // As a walk would have left it (SDM Vol. 3A, "Accessed and Dirty Flags").
      if ((entry & ~(words[now] ?? 0)) !== 0) Atomics.or(words, now, ENTRY.A);
      const at = scratch + (slot >>> 3);
      this.#bytes[at] = (this.#bytes[at] ?? 0) | (1 << (slot & 7));
    }
    this.#flushes.takeOver(this.#vcpu, view, this.#vcpu + Region.tlbAt + from * Region.tlbSet);
    this.#flushes.forgetJumps(this.#vcpu, view);
  }

  /** Drops the views' translations that are wrong by now. */
  refresh(tables: TableChanges): void {
    for (const view of [0, 1] as const) {
      const space = this.#spaces[this.#active[view]];
      if (space) this.#settle(view, space, tables);
    }
  }

  #settle(view: 0 | 1, space: Space, tables: TableChanges | undefined): void {
    const version = tables?.version;
    if (space.version !== version || version === undefined) {
      if (tables !== undefined && space.version !== undefined && tables.since(space.version, space.root))
        this.#drop(view, tables);
      else this.#flushes.flushSpace(this.#vcpu, view);
    }
    if (space.protects !== this.#protects) this.#flushes.protectSpace(this.#vcpu, view);
    space.version = version;
    space.protects = this.#protects;
  }

  #drop(view: 0 | 1, { frames, count }: TableChanges): void {
    const bytes = this.#bytes;
    let code = false;
    for (let i = 0; i < count; i++) {
      const mfn = frames[i] ?? 0;
      if (mfn >= this.#frameCount) continue;
      const at = this.#bitsAt + (mfn >>> 3);
      bytes[at] = (bytes[at] ?? 0) | (1 << (mfn & 7));
      code ||= this.#memory.getBigUint64(this.#vcpu + Region.codeMaskAt + mfn * 8, true) !== 0n;
    }
    this.#flushes.dropFrames(this.#vcpu, view, this.#bitsAt);
    for (let i = 0; i < count; i++) {
      const mfn = frames[i] ?? 0;
      if (mfn < this.#frameCount) bytes[this.#bitsAt + (mfn >>> 3)] = 0;
    }
    // No jump leads to a frame without decoded code.
    if (code) this.#flushes.forgetJumps(this.#vcpu, view);
  }

  /** Nothing that was translated before is right any more. */
  flush(): void {
    for (const [n, space] of this.#spaces.entries()) if (!this.#active.includes(n)) space.root = NONE;
    this.#flushes.flushSpace(this.#vcpu, 0);
    this.#flushes.flushSpace(this.#vcpu, 1);
  }

  /** No TLB entry may let some frame be written any more; those of the views are seen to. */
  frameProtected(): void {
    this.#protects++;
    for (const n of this.#active) {
      const space = this.#spaces[n];
      if (space) space.protects = this.#protects;
    }
  }

  /** The jump cache of a view knows addresses only: what it holds of the other mode must go. A view seldom changes its mode. */
  setMode(view: 0 | 1, mode: Mode): void {
    const at = this.#viewAt(view);
    if (this.#memory.getUint32(at + View.mode, true) === mode) return;
    this.#memory.setUint32(at + View.mode, mode, true);
    const cache = this.#memory.getUint32(at + View.jumpCache, true);
    this.#bytes.fill(JumpCache.free, cache, cache + Region.jumpCacheSet);
  }

  /** Makes a view the active one. */
  activate(view: 0 | 1): void {
    const memory = this.#memory;
    const at = this.#viewAt(view);
    memory.setUint32(this.#vcpu + S.space, view, true);
    memory.setUint32(this.#vcpu + S.tlb, memory.getUint32(at + View.tlb, true), true);
    memory.setUint32(this.#vcpu + S.jumpCache, memory.getUint32(at + View.jumpCache, true), true);
    memory.setUint32(this.#vcpu + S.jumpKey, memory.getUint32(at + View.jumpKey, true), true);
    memory.setUint32(this.#vcpu + S.jumpKey + 4, memory.getUint32(at + View.jumpKey + 4, true), true);
  }

  #viewAt(view: number): number {
    return this.#vcpu + S.views + view * View.size;
  }

  #oldest(): number {
    let oldest = -1;
    for (const [n, space] of this.#spaces.entries()) {
      if (this.#active.includes(n)) continue;
      if (oldest < 0 || space.used < (this.#spaces[oldest]?.used ?? 0)) oldest = n;
    }
    return oldest;
  }

  #leave(view: 0 | 1): void {
    const space = this.#spaces[this.#active[view]];
    if (!space) return;
    const at = this.#viewAt(view);
    space.mode = this.#memory.getUint32(at + View.mode, true) === 0 ? Mode.long64 : Mode.compat32;
    space.jumpKey = this.#memory.getBigInt64(at + View.jumpKey, true);
  }

  #enter(view: 0 | 1, n: number): void {
    const space = this.#spaces[n];
    if (!space) return;
    const memory = this.#memory;
    const at = this.#viewAt(view);
    const jumpCache = this.#vcpu + Region.jumpCacheAt + n * Region.jumpCacheSet;
    if (space.isNew) this.#bytes.fill(JumpCache.free, jumpCache, jumpCache + Region.jumpCacheSet);
    space.isNew = false;
    this.#active[view] = n;
    memory.setUint32(at + View.tlb, this.#vcpu + Region.tlbAt + n * Region.tlbSet, true);
    memory.setUint32(at + View.jumpCache, jumpCache, true);
    memory.setUint32(at + View.mode, space.mode, true);
    memory.setBigInt64(at + View.jumpKey, space.jumpKey, true);
    if (memory.getUint32(this.#vcpu + S.space, true) === view) this.activate(view);
  }
}
