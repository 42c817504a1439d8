/** Domain 0's mappings of a domain's grants: how often each is in use (struct active_grant_entry). Main thread only. */
import { GNTST, GTF_reading, GTF_writing } from '../../abi/grant-table.ts';
import { PAGE_SIZE, type GrantRef, type Mfn } from '../../abi/numbers.ts';
import type { GrantBatch, GrantCopy, GrantMapping } from '../control.ts';
import type { Domain } from '../domain.ts';
import type { PlatformKind } from '../platform.ts';
import { announceWrite } from '../code-coherence.ts';
import { acquire, clearInUse } from './table.ts';

const DOM0 = 0;

/** Grants, or copies, for which the domain's lock is held at a time: its vCPUs spin meanwhile. */
const ELEMENTS_PER_LOCK = 32;

interface Use {
  /** As long as it is in use, whatever the guest writes into the entry. */
  readonly mfn: Mfn;
  readers: number;
  writers: number;
}

/** A reference to a frame: a general one, or one that keeps it writable. */
export interface HeldFrame {
  readonly mfn: Mfn;
  readonly readonly: boolean;
}

export class GrantMappings {
  readonly #domain: Domain;
  readonly #kind: PlatformKind;
  readonly #uses = new Map<GrantRef, Use>();

  constructor(domain: Domain, kind: PlatformKind) {
    this.#domain = domain;
    this.#kind = kind;
  }

  get count(): number {
    return this.#uses.size;
  }

  /** The references that they keep, each as often as there is one. */
  get held(): HeldFrame[] {
    return [...this.#uses.values()].flatMap(({ mfn, readers, writers }) =>
      Array.from({ length: readers }, (_, i) => ({ mfn, readonly: i >= writers })),
    );
  }

  /** A GNTST_* number when the grant may not be mapped. */
  map(ref: GrantRef, readonly: boolean): GrantMapping | number {
    const mfn = this.#domain.locked(() => this.#take(ref, readonly));
    if (mfn < 0) return mfn;
    let mapped = true;
    return {
      mfn,
      unmap: () => {
        if (!mapped) return;
        mapped = false;
        this.#domain.locked(() => this.#drop(ref, mfn, readonly));
      },
    };
  }

  /** As `map` of each; those that may not be mapped have a GNTST_* number in the place of their frame. */
  mapBatch(refs: readonly GrantRef[], readonly: boolean): GrantBatch {
    const frames = new Int32Array(refs.length);
    let status: number = GNTST.okay;
    this.#inTurns(refs, (ref, i) => {
      const mfn = this.#take(ref, readonly);
      frames[i] = mfn;
      if (mfn < 0 && status === GNTST.okay) status = mfn;
    });
    let mapped = true;
    return {
      frames,
      status,
      unmap: () => {
        if (!mapped) return;
        mapped = false;
        this.#inTurns(refs, (ref, i) => {
          const mfn = frames[i] ?? -1;
          if (mfn >= 0) this.#drop(ref, mfn, readonly);
        });
      },
    };
  }

  /** GNTTABOP_copy (xen/common/grant_table.c, gnttab_copy): each has a status of its own. */
  copy(copies: readonly GrantCopy[]): Int32Array {
    const statuses = new Int32Array(copies.length);
    this.#inTurns(copies, (copy, i) => {
      statuses[i] = this.#copy(copy);
    });
    return statuses;
  }

  /** Under the lock, which others get in between. */
  #inTurns<T>(elements: readonly T[], body: (element: T, index: number) => void): void {
    for (let from = 0; from < elements.length; from += ELEMENTS_PER_LOCK) {
      this.#domain.lock();
      try {
        const to = Math.min(from + ELEMENTS_PER_LOCK, elements.length);
        for (let i = from; i < to; i++) body(elements[i] as T, i);
      } finally {
        this.#domain.unlock();
      }
    }
  }

  // --- under the lock ---------------------------------------------------------------------------------------------

  /** The frame, held, and the entry in use; or a GNTST_* number. */
  #take(ref: GrantRef, readonly: boolean): Mfn | number {
    const domain = this.#domain;
    const grant = acquire(domain, ref, DOM0, readonly);
    if (typeof grant === 'number') return grant;
    const use = this.#uses.get(ref);
    const mfn = use?.mfn ?? grant.frame;
    if (!this.#hold(mfn, readonly)) {
      this.#clear(ref, use);
      return GNTST.bad_page;
    }
    if (use === undefined) this.#uses.set(ref, { mfn, readers: 1, writers: readonly ? 0 : 1 });
    else {
      use.readers++;
      if (!readonly) use.writers++;
    }
    return mfn;
  }

  #drop(ref: GrantRef, mfn: Mfn, readonly: boolean): void {
    const use = this.#uses.get(ref);
    if (use === undefined) throw new Error(`grant ${ref} of domain ${this.#domain.domid}: mapped but not in use`);
    use.readers--;
    if (!readonly) use.writers--;
    if (use.readers === 0) this.#uses.delete(ref);
    this.#put(mfn, readonly);
    this.#clear(ref, use);
  }

  #copy({ ref, offset, bytes, direction }: GrantCopy): number {
    const domain = this.#domain;
    const { length } = bytes;
    if (!(offset >= 0) || offset + length > PAGE_SIZE) return GNTST.bad_copy_arg;
    const readonly = direction === 'from grant';
    const grant = acquire(domain, ref, DOM0, readonly, true);
    if (typeof grant === 'number') return grant;
    const { frame } = grant;
    const use = this.#uses.get(ref);
    if (offset < grant.offset || offset + length > grant.offset + grant.length) {
      this.#clear(ref, use);
      return GNTST.general_error;
    }
    if (!this.#hold(frame, readonly)) {
      this.#clear(ref, use);
      return GNTST.bad_page;
    }
    const at = domain.frameAt(frame) + offset;
    const granted = domain.u8.subarray(at, at + length);
    if (readonly) bytes.set(granted);
    else {
      granted.set(bytes);
      if (length > 0) announceWrite(domain, at, length);
    }
    this.#put(frame, readonly);
    this.#clear(ref, use);
    return GNTST.okay;
  }

  /** False for what is not a frame of the guest's RAM, or not one that may be written. */
  #hold(mfn: Mfn, readonly: boolean): boolean {
    const domain = this.#domain;
    if (!(readonly ? this.#kind.getPage(domain, mfn) : this.#kind.getWritable(domain, mfn))) return false;
    if (domain.isRam(mfn)) return true;
    this.#put(mfn, readonly);
    return false;
  }

  #put(mfn: Mfn, readonly: boolean): void {
    if (readonly) this.#kind.putPage(this.#domain, mfn);
    else this.#kind.putWritable(this.#domain, mfn);
  }

  /** The entry's in-use bits, when nobody of domain 0 uses it any more, or writes. */
  #clear(ref: GrantRef, use: Use | undefined): void {
    const writers = use?.writers ?? 0;
    const readers = use?.readers ?? 0;
    clearInUse(this.#domain, ref, (writers === 0 ? GTF_writing : 0) | (readers === 0 ? GTF_reading : 0));
  }
}
