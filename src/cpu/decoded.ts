import type { Encoding } from './instruction-set.ts';
import { Op, S } from './state-layout.ts';

/** What a decoded instruction becomes; `writeTo` puts it into memory. One object is reused: decoding allocates nothing. */
export class Decoded {
  length = 0;
  handler = 0;
  /** The instruction ends its block. */
  ends = false;
  /** The bytes seen so far are not enough. */
  truncated = false;
  a: number = S.zero;
  b: number = S.zero;
  c: number = S.zero;
  base: number = S.zero;
  index: number = S.zero;
  scale = 0;
  segment: number = S.zero;
  disp = 0;
  immLo = 0;
  immHi = 0;
  /** The immediate is a branch displacement: relative to the end of the instruction. */
  relative = false;
  ripRelative = false;
  /** Handler of an operation that computes the address first, or -1. */
  prelude = -1;
  preludeLo = 0;
  preludeHi = 0;
  /** Bits that an address computed first wraps at, 0 for none. Stands in `scale`, which is not needed then. */
  wrap = 0;
  encoding: Encoding | undefined;

  readonly #simple: ReadonlyMap<number, number>;
  readonly #addressFromRip: number;

  /** @param simple handlers for addresses without index and segment; @param addressFromRip handler that computes a RIP-relative address ahead */
  constructor(simple: ReadonlyMap<number, number>, addressFromRip: number) {
    this.#simple = simple;
    this.#addressFromRip = addressFromRip;
  }

  /**
   * Writes the operations at byte offset `at` of `memory`; gives the number of bytes written.
   * @param off offset of the instruction in its page
   * @param count instructions since the block's entry, this one included
   */
  writeTo(memory: DataView, at: number, off: number, count: number): number {
    let to = at;
    let { base, index, scale, segment, disp } = this;
    let { prelude, c } = this;
    if (this.ripRelative && prelude < 0) {
      // RIP-relative addresses are relative to the page's address, which the state has. Out of 32 bits only at the very edge.
      const sum = disp + off + this.length;
      if (sum === (sum | 0)) {
        disp = sum;
        base = S.pageVa;
      } else prelude = this.#addressFromRip;
    }
    if (prelude >= 0) {
      memory.setUint32(to + Op.handler, prelude, true);
      memory.setUint16(to + Op.off, off, true);
      memory.setUint8(to + Op.len, this.length);
      memory.setUint8(to + Op.scale, scale);
      memory.setUint16(to + Op.base, base, true);
      memory.setUint16(to + Op.index, index, true);
      memory.setUint16(to + Op.segment, segment, true);
      memory.setInt32(to + Op.disp, disp, true);
      memory.setInt32(to + Op.imm, this.preludeLo, true);
      memory.setInt32(to + Op.imm + 4, this.preludeHi, true);
      to += Op.size;
      // Bit strings compute an address from this one: they need to know how it wraps, and the segment.
      if (c === S.zero) c = segment;
      base = S.ea;
      index = segment = S.zero;
      scale = this.wrap;
      disp = 0;
    }
    const isSimple = index === S.zero && segment === S.zero;
    memory.setUint32(to + Op.handler, (isSimple ? this.#simple.get(this.handler) : undefined) ?? this.handler, true);
    memory.setUint16(to + Op.off, off, true);
    memory.setUint8(to + Op.len, this.length);
    memory.setUint8(to + Op.scale, scale);
    memory.setUint16(to + Op.a, this.a, true);
    memory.setUint16(to + Op.b, this.b, true);
    memory.setUint16(to + Op.base, base, true);
    memory.setUint16(to + Op.index, index, true);
    memory.setUint16(to + Op.segment, segment, true);
    memory.setUint16(to + Op.c, this.ends || this.relative ? count : c, true);
    memory.setInt32(to + Op.disp, disp, true);
    let lo = this.immLo;
    let hi = this.immHi;
    if (this.relative) {
      const target = lo + off + this.length;
      lo = target | 0;
      hi = Math.floor(target / 2 ** 32);
    }
    memory.setInt32(to + Op.imm, lo, true);
    memory.setInt32(to + Op.imm + 4, hi, true);
    return to + Op.size - at;
  }
}
