import type { Code, Variable } from '../wasm/code.ts';
import { I32, type I64, type Origin, ValType } from '../wasm/value.ts';

const PAGE = 4096;
/** Pages known at a time: the stack's and another one. Each has two locals; with four pages, 4 % more accesses would find theirs. */
const PLACES = 2;
/** In the place of an offset in a page: no comparison finds an address to be in that page. */
const NOWHERE = 0x8000_0000 | 0;

/** A page that was looked up. */
export interface KnownPage {
  /** Of the address that was looked up, and of how many bytes. */
  readonly origin: Origin;
  readonly bytes: number;
  readonly writable: boolean;
  /** Counts up with every use. */
  readonly used: number;
}

interface Place {
  /** Host address of the access that was looked up. */
  readonly host: Variable<I32>;
  /** Its offset in the page, or `NOWHERE`. */
  readonly offset: Variable<I32>;
}

/** Where an access lies beside one that was looked up before: where that is, when it is known to be in the same page. */
export interface Beside {
  readonly host: I32;
  readonly inPage: I32;
}

/**
 * Pages that accesses were found in, so that others through the same register need not look into the TLB: how far they are from one another is known, and whether that
 * leads out of the page is one comparison. What the TLB said stays right until the region is left: only others drop translations, or take the right to write away.
 */
export class KnownPages {
  readonly #code: Code;
  readonly #places: Place[] = [];
  #known: readonly (KnownPage | undefined)[] = [];
  #uses = 0;

  constructor(code: Code) {
    this.#code = code;
  }

  get state(): readonly (KnownPage | undefined)[] {
    return this.#known;
  }

  set state(known: readonly (KnownPage | undefined)[]) {
    this.#known = known;
  }

  /** For an access at a value of this origin; undefined when nothing is known that helps. */
  find(origin: Origin, bytes: number, write: boolean): Beside | undefined {
    const n = this.#known.findIndex((page) => page?.origin.of === origin.of);
    const [page, place] = [this.#known[n], this.#places[n]];
    if (!page || !place || (write && !page.writable)) return undefined;
    const by = origin.offset - page.origin.offset;
    const inPage = withinPage(place.offset.get, by, bytes, page.bytes);
    if (!inPage) return undefined;
    this.#known = this.#known.with(n, { ...page, used: ++this.#uses });
    const host = place.host.get;
    return { host: by < 0 ? host.sub(-by) : host.add(by), inPage };
  }

  /**
   * An access is being looked up.
   * @returns what to do where the TLB has it, with the host address, and where it has not
   */
  note(origin: Origin, at: I64, bytes: number, write: boolean): { hit: (host: I32) => void; miss: () => void } {
    const n = this.#placeFor(origin);
    const place = (this.#places[n] ??= {
      host: this.#code.lasting(ValType.i32),
      offset: this.#code.lasting(ValType.i32),
    });
    const known = [...this.#known];
    known[n] = { origin, bytes, writable: write, used: ++this.#uses };
    this.#known = known;
    return {
      hit: (host) => {
        place.host.set(host);
        place.offset.set(at.wrap().and(PAGE - 1));
      },
      // It may be in two pages, or in one that is not written by everybody.
      miss: () => place.offset.set(I32.of(NOWHERE)),
    };
  }

  /** The one that has this value's page, a free one, or the one that was not used for longest. */
  #placeFor(origin: Origin): number {
    let best = 0;
    let least = Infinity;
    for (let n = 0; n < PLACES; n++) {
      const page = this.#known[n];
      if (page?.origin.of === origin.of) return n;
      const used = page?.used ?? -1;
      if (used < least) [best, least] = [n, used];
    }
    return best;
  }
}

/**
 * Whether an access lies in a page in which another lies at an offset, `by` bytes before it; undefined when it hardly ever does.
 * @param other bytes of the other one, all in that page
 */
function withinPage(offset: I32, by: number, bytes: number, other: number): I32 | undefined {
  const last = PAGE - bytes;
  if (Math.abs(by) > last) return undefined;
  if (by >= 0) return offset.leU(last - by);
  // It cannot end after the page when it ends before the other one does.
  return by + bytes <= other ? offset.geS(-by) : offset.sub(-by).leU(last);
}
