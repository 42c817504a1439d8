/**
 * LZMA: range decoder, probability model and match copying, after the "LZMA Specification" of the LZMA SDK.
 *
 * The output buffer is the dictionary: a match reads what was written earlier. The caller guarantees room for the bytes
 * it asks for and keeps at least the dictionary size of earlier output in front of `outPos`.
 *
 * The range decoder's `range` and `code` are locals of one long function and the bit decoding is written out at the hot
 * places: this is the inner loop of unpacking a kernel (66 MB for Debian's), and a call for each bit makes it three
 * times slower.
 */
import { CorruptData } from './corrupt-data.ts';

const PROB_INIT = 1024;
const TOP = 0x1000000;

/** Bits of position used by match states; the model always has room for the maximum. */
const STATES = 12;
const POS_STATES_MAX = 16;

// Offsets into the one table of probabilities.
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POS_STATES_MAX;
const IS_REP_G0 = IS_REP + STATES;
const IS_REP_G1 = IS_REP_G0 + STATES;
const IS_REP_G2 = IS_REP_G1 + STATES;
const IS_REP0_LONG = IS_REP_G2 + STATES;
const POS_SLOT = IS_REP0_LONG + STATES * POS_STATES_MAX;
const POS_SPECIAL = POS_SLOT + 4 * 64;
const ALIGN = POS_SPECIAL + 128;
const LEN = ALIGN + 16;
const LEN_CHOICE = 0;
const LEN_CHOICE2 = 1;
const LEN_LOW = 2;
const LEN_MID = LEN_LOW + POS_STATES_MAX * 8;
const LEN_HIGH = LEN_MID + POS_STATES_MAX * 8;
const LEN_SIZE = LEN_HIGH + 256;
const REP_LEN = LEN + LEN_SIZE;
const LITERAL = REP_LEN + LEN_SIZE;

/** What `LzmaDecoder.decode` stopped at. */
export type LzmaStop = 'full' | 'end-marker';

export class LzmaDecoder {
  #probs = new Uint16Array(LITERAL);
  #lc = 0;
  #lpMask = 0;
  #pbMask = 0;
  #state = 0;
  #rep0 = 0;
  #rep1 = 0;
  #rep2 = 0;
  #rep3 = 0;
  #range = 0;
  #code = 0;
  /** Rest of a match that did not fit into the last piece. */
  #pending = 0;

  /** Position in the input after the last `start` or `decode`. */
  inPos = 0;
  /** Position in the output after the last `decode`. */
  outPos = 0;

  /** The properties byte `(pb * 5 + lp) * 9 + lc`; also resets the state. */
  setProperties(byte: number): void {
    if (byte >= 9 * 5 * 5) throw new CorruptData('LZMA properties out of range');
    const lc = byte % 9;
    const lp = Math.floor(byte / 9) % 5;
    const pb = Math.floor(byte / 45);
    this.#lc = lc;
    this.#lpMask = (1 << lp) - 1;
    this.#pbMask = (1 << pb) - 1;
    const size = LITERAL + (0x300 << (lc + lp));
    if (this.#probs.length !== size) this.#probs = new Uint16Array(size);
    this.resetState();
  }

  resetState(): void {
    this.#probs.fill(PROB_INIT);
    this.#state = 0;
    this.#rep0 = this.#rep1 = this.#rep2 = this.#rep3 = 0;
    this.#pending = 0;
  }

  /** Reads the five bytes with which every range coded stretch begins. */
  start(input: Uint8Array, at: number): void {
    if (at + 5 > input.length || input[at] !== 0) throw new CorruptData('LZMA range coder does not start with zero');
    this.#range = -1 >>> 0;
    this.#code = new DataView(input.buffer, input.byteOffset).getUint32(at + 1);
    this.inPos = at + 5;
  }

  /** After the last byte of a complete stretch the code is zero; anything else is damage. */
  get finished(): boolean {
    return this.#code === 0 && this.#pending === 0;
  }

  /**
   * Decodes until `out` is filled up to `outEnd`, or an end marker comes. `dictStart` is where the oldest byte lies that
   * a match may reach.
   */
  decode(
    input: Uint8Array,
    inEnd: number,
    out: Uint8Array,
    outPos: number,
    outEnd: number,
    dictStart: number,
  ): LzmaStop {
    const probs = this.#probs;
    const lc = this.#lc;
    const lcShift = 8 - lc;
    const lpMask = this.#lpMask;
    const pbMask = this.#pbMask;
    let state = this.#state;
    let rep0 = this.#rep0;
    let rep1 = this.#rep1;
    let rep2 = this.#rep2;
    let rep3 = this.#rep3;
    let range = this.#range;
    let code = this.#code;
    let pos = this.inPos;
    let at = outPos;
    let stop: LzmaStop = 'full';
    let length = this.#pending;
    let prob = 0;
    let index = 0;
    let bound = 0;

    for (;;) {
      if (length > 0) {
        // Copy a match, or the part of it that fits.
        if (rep0 >= at - dictStart) throw new CorruptData('LZMA match reaches before the start of the data');
        const fits = length < outEnd - at ? length : outEnd - at;
        const from = at - rep0 - 1;
        if (fits > 16 && rep0 >= fits) {
          out.copyWithin(at, from, from + fits);
        } else {
          for (let i = 0; i < fits; i++) out[at + i] = out[from + i] as number;
        }
        at += fits;
        length -= fits;
      }
      if (at >= outEnd) break;
      // A bit takes at most one byte from the input; one round takes at most 48 bits. Reads beyond the array give
      // undefined, which counts as zero in `| 0`, so that a check per round is enough.
      if (pos > inEnd) throw new CorruptData('LZMA data ends early');

      // `position` counts from the start of the dictionary; only its low bits matter.
      const position = at - dictStart;
      const posState = position & pbMask;
      index = IS_MATCH + (state << 4) + posState;
      prob = probs[index] as number;
      if (range < TOP) {
        range = (range << 8) >>> 0;
        code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
      }
      bound = Math.imul(range >>> 11, prob) >>> 0;
      if (code < bound) {
        range = bound;
        probs[index] = prob + ((2048 - prob) >>> 5);
        // A literal.
        const previous = position > 0 ? (out[at - 1] as number) : 0;
        const base = LITERAL + 0x300 * (((position & lpMask) << lc) + (previous >>> lcShift));
        let symbol = 1;
        if (state >= 7) {
          // After a match the byte that the match would have continued with steers the tree.
          if (rep0 >= position) throw new CorruptData('LZMA literal refers before the start of the data');
          let match = out[at - rep0 - 1] as number;
          let offset = 0x100;
          do {
            match <<= 1;
            const bit = match & offset;
            index = base + offset + bit + symbol;
            prob = probs[index] as number;
            if (range < TOP) {
              range = (range << 8) >>> 0;
              code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
            }
            bound = Math.imul(range >>> 11, prob) >>> 0;
            if (code < bound) {
              range = bound;
              probs[index] = prob + ((2048 - prob) >>> 5);
              symbol <<= 1;
              offset &= ~bit;
            } else {
              range = (range - bound) >>> 0;
              code = (code - bound) >>> 0;
              probs[index] = prob - (prob >>> 5);
              symbol = (symbol << 1) | 1;
              offset &= bit;
            }
          } while (symbol < 0x100);
        } else {
          do {
            index = base + symbol;
            prob = probs[index] as number;
            if (range < TOP) {
              range = (range << 8) >>> 0;
              code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
            }
            bound = Math.imul(range >>> 11, prob) >>> 0;
            if (code < bound) {
              range = bound;
              probs[index] = prob + ((2048 - prob) >>> 5);
              symbol <<= 1;
            } else {
              range = (range - bound) >>> 0;
              code = (code - bound) >>> 0;
              probs[index] = prob - (prob >>> 5);
              symbol = (symbol << 1) | 1;
            }
          } while (symbol < 0x100);
        }
        out[at++] = symbol;
        state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
        continue;
      }
      range = (range - bound) >>> 0;
      code = (code - bound) >>> 0;
      probs[index] = prob - (prob >>> 5);

      // A match. `tree` is the length coder that follows, or 0 for the one-byte repeat.
      let tree = LEN;
      index = IS_REP + state;
      prob = probs[index] as number;
      if (range < TOP) {
        range = (range << 8) >>> 0;
        code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
      }
      bound = Math.imul(range >>> 11, prob) >>> 0;
      if (code < bound) {
        range = bound;
        probs[index] = prob + ((2048 - prob) >>> 5);
        rep3 = rep2;
        rep2 = rep1;
        rep1 = rep0;
        state = state < 7 ? 7 : 10;
      } else {
        range = (range - bound) >>> 0;
        code = (code - bound) >>> 0;
        probs[index] = prob - (prob >>> 5);
        tree = REP_LEN;
        index = IS_REP_G0 + state;
        prob = probs[index] as number;
        if (range < TOP) {
          range = (range << 8) >>> 0;
          code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
        }
        bound = Math.imul(range >>> 11, prob) >>> 0;
        if (code < bound) {
          range = bound;
          probs[index] = prob + ((2048 - prob) >>> 5);
          index = IS_REP0_LONG + (state << 4) + posState;
          prob = probs[index] as number;
          if (range < TOP) {
            range = (range << 8) >>> 0;
            code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
          }
          bound = Math.imul(range >>> 11, prob) >>> 0;
          if (code < bound) {
            range = bound;
            probs[index] = prob + ((2048 - prob) >>> 5);
            state = state < 7 ? 9 : 11;
            length = 1;
            continue;
          }
          range = (range - bound) >>> 0;
          code = (code - bound) >>> 0;
          probs[index] = prob - (prob >>> 5);
        } else {
          range = (range - bound) >>> 0;
          code = (code - bound) >>> 0;
          probs[index] = prob - (prob >>> 5);
          index = IS_REP_G1 + state;
          prob = probs[index] as number;
          if (range < TOP) {
            range = (range << 8) >>> 0;
            code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
          }
          bound = Math.imul(range >>> 11, prob) >>> 0;
          let distance = rep1;
          if (code < bound) {
            range = bound;
            probs[index] = prob + ((2048 - prob) >>> 5);
          } else {
            range = (range - bound) >>> 0;
            code = (code - bound) >>> 0;
            probs[index] = prob - (prob >>> 5);
            index = IS_REP_G2 + state;
            prob = probs[index] as number;
            if (range < TOP) {
              range = (range << 8) >>> 0;
              code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
            }
            bound = Math.imul(range >>> 11, prob) >>> 0;
            if (code < bound) {
              range = bound;
              probs[index] = prob + ((2048 - prob) >>> 5);
              distance = rep2;
            } else {
              range = (range - bound) >>> 0;
              code = (code - bound) >>> 0;
              probs[index] = prob - (prob >>> 5);
              distance = rep3;
              rep3 = rep2;
            }
            rep2 = rep1;
          }
          rep1 = rep0;
          rep0 = distance;
        }
        state = state < 7 ? 8 : 11;
      }

      // Length: a choice of three trees of 3, 3 and 8 bits.
      let bits = 3;
      let base = tree + LEN_LOW + (posState << 3);
      let add = 2;
      index = tree + LEN_CHOICE;
      prob = probs[index] as number;
      if (range < TOP) {
        range = (range << 8) >>> 0;
        code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
      }
      bound = Math.imul(range >>> 11, prob) >>> 0;
      if (code < bound) {
        range = bound;
        probs[index] = prob + ((2048 - prob) >>> 5);
      } else {
        range = (range - bound) >>> 0;
        code = (code - bound) >>> 0;
        probs[index] = prob - (prob >>> 5);
        index = tree + LEN_CHOICE2;
        prob = probs[index] as number;
        if (range < TOP) {
          range = (range << 8) >>> 0;
          code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
        }
        bound = Math.imul(range >>> 11, prob) >>> 0;
        if (code < bound) {
          range = bound;
          probs[index] = prob + ((2048 - prob) >>> 5);
          base = tree + LEN_MID + (posState << 3);
          add = 10;
        } else {
          range = (range - bound) >>> 0;
          code = (code - bound) >>> 0;
          probs[index] = prob - (prob >>> 5);
          base = tree + LEN_HIGH;
          bits = 8;
          add = 18;
        }
      }
      let symbol = 1;
      let limit = 1 << bits;
      do {
        index = base + symbol;
        prob = probs[index] as number;
        if (range < TOP) {
          range = (range << 8) >>> 0;
          code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
        }
        bound = Math.imul(range >>> 11, prob) >>> 0;
        if (code < bound) {
          range = bound;
          probs[index] = prob + ((2048 - prob) >>> 5);
          symbol <<= 1;
        } else {
          range = (range - bound) >>> 0;
          code = (code - bound) >>> 0;
          probs[index] = prob - (prob >>> 5);
          symbol = (symbol << 1) | 1;
        }
      } while (symbol < limit);
      length = symbol - limit + add;
      if (tree === REP_LEN) continue;

      // Distance: a slot of 6 bits, then extra bits, coded or direct.
      base = POS_SLOT + (length < 6 ? length - 2 : 3) * 64;
      symbol = 1;
      do {
        index = base + symbol;
        prob = probs[index] as number;
        if (range < TOP) {
          range = (range << 8) >>> 0;
          code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
        }
        bound = Math.imul(range >>> 11, prob) >>> 0;
        if (code < bound) {
          range = bound;
          probs[index] = prob + ((2048 - prob) >>> 5);
          symbol <<= 1;
        } else {
          range = (range - bound) >>> 0;
          code = (code - bound) >>> 0;
          probs[index] = prob - (prob >>> 5);
          symbol = (symbol << 1) | 1;
        }
      } while (symbol < 64);
      const slot = symbol - 64;
      if (slot < 4) {
        rep0 = slot;
        continue;
      }
      bits = (slot >>> 1) - 1;
      let distance = (2 | (slot & 1)) << bits;
      let shift = 0;
      if (slot < 14) {
        base = POS_SPECIAL + distance - slot;
      } else {
        let direct = 0;
        for (let n = bits - 4; n > 0; n--) {
          if (range < TOP) {
            range = (range << 8) >>> 0;
            code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
          }
          range >>>= 1;
          if (code >= range) {
            code = (code - range) >>> 0;
            direct = (direct << 1) | 1;
          } else {
            direct <<= 1;
          }
        }
        distance += direct << 4;
        base = ALIGN;
        bits = 4;
      }
      // The low bits come from a reversed tree, lowest bit first.
      symbol = 1;
      limit = bits;
      while (shift < limit) {
        index = base + symbol;
        prob = probs[index] as number;
        if (range < TOP) {
          range = (range << 8) >>> 0;
          code = ((code << 8) | ((input[pos++] as number) | 0)) >>> 0;
        }
        bound = Math.imul(range >>> 11, prob) >>> 0;
        if (code < bound) {
          range = bound;
          probs[index] = prob + ((2048 - prob) >>> 5);
          symbol <<= 1;
        } else {
          range = (range - bound) >>> 0;
          code = (code - bound) >>> 0;
          probs[index] = prob - (prob >>> 5);
          symbol = (symbol << 1) | 1;
          distance += 1 << shift;
        }
        shift++;
      }
      rep0 = distance >>> 0;
      if (rep0 === 0xffffffff) {
        length = 0;
        stop = 'end-marker';
        break;
      }
    }

    // The coder normalizes before a bit, not after it: at the end of a stretch one byte may still be due.
    if (range < TOP && (stop === 'end-marker' || length === 0)) {
      if (pos < inEnd) {
        range = (range << 8) >>> 0;
        code = ((code << 8) | (input[pos++] as number)) >>> 0;
      }
    }
    if (pos > inEnd) throw new CorruptData('LZMA data ends early');
    this.#state = state;
    this.#rep0 = rep0;
    this.#rep1 = rep1;
    this.#rep2 = rep2;
    this.#rep3 = rep3;
    this.#range = range;
    this.#code = code;
    this.#pending = length;
    this.inPos = pos;
    this.outPos = at;
    return stop;
  }
}
