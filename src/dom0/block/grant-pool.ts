/**
 * The guest's pages that one queue's requests read from and write to. With persistent grants (feature-persistent of
 * xen/include/public/io/blkif.h) a page stays mapped after its request, up to a number of them; the frontend then uses the same
 * pages again. Without, a page is unmapped before its request is answered, since the frontend ends the grant then.
 */
import type { FrontendLink, MappedGrant } from '../backend/index.ts';

/** As Linux' xen_blkif_max_pgrants. */
export const MAX_PERSISTENT_GRANTS = 1056;

interface Kept {
  readonly grant: MappedGrant;
  users: number;
}

/** A page for the time of a request. */
export interface Lease {
  readonly bytes: Uint8Array;
  release(): void;
}

export class GrantPool {
  readonly #link: Pick<FrontendLink, 'tryMap'>;
  readonly #persistent: boolean;
  /** In order of last use. */
  readonly #kept = new Map<number, Kept>();
  /** Those that are unmapped after their request. */
  readonly #passing = new Set<MappedGrant>();

  constructor(link: Pick<FrontendLink, 'tryMap'>, persistent: boolean) {
    this.#link = link;
    this.#persistent = persistent;
  }

  /** Undefined when the guest does not grant it. What is kept is mapped writable, as the protocol demands. */
  lease(ref: number, readonly: boolean): Lease | undefined {
    if (!this.#persistent) return this.#pass(ref, readonly);
    const known = this.#kept.get(ref);
    if (known !== undefined) {
      this.#kept.delete(ref);
      this.#kept.set(ref, known);
      return this.#use(known);
    }
    if (this.#kept.size >= MAX_PERSISTENT_GRANTS && !this.#evict()) return this.#pass(ref, readonly);
    const grant = this.#link.tryMap(ref, false);
    if (typeof grant === 'number') return undefined;
    const kept = { grant, users: 0 };
    this.#kept.set(ref, kept);
    return this.#use(kept);
  }

  /** Pages that stay mapped. */
  get kept(): number {
    return this.#kept.size;
  }

  /** When no request is under way; also of requests that nobody ended. */
  clear(): void {
    for (const grant of this.#passing) grant.unmap();
    this.#passing.clear();
    for (const { grant } of this.#kept.values()) grant.unmap();
    this.#kept.clear();
  }

  #use(kept: Kept): Lease {
    kept.users++;
    return { bytes: kept.grant.bytes, release: () => void kept.users-- };
  }

  #pass(ref: number, readonly: boolean): Lease | undefined {
    const grant = this.#link.tryMap(ref, readonly);
    if (typeof grant === 'number') return undefined;
    this.#passing.add(grant);
    const release = (): void => {
      this.#passing.delete(grant);
      grant.unmap();
    };
    return { bytes: grant.bytes, release };
  }

  #evict(): boolean {
    for (const [ref, kept] of this.#kept) {
      if (kept.users > 0) continue;
      kept.grant.unmap();
      this.#kept.delete(ref);
      return true;
    }
    return false;
  }
}
