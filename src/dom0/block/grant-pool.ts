/**
 * The guest's pages that one queue's requests read from and write to. With persistent grants (feature-persistent of
 * xen/include/public/io/blkif.h) a page stays mapped after its request, up to a number of them; the frontend then uses the same
 * pages again. Without, the pages of a request are mapped together, and unmapped before it is answered, since the frontend ends
 * the grants then.
 */
import type { FrontendLink, MappedGrants } from '../backend/index.ts';

/** As Linux' xen_blkif_max_pgrants. */
export const MAX_PERSISTENT_GRANTS = 1056;

type Link = Pick<FrontendLink, 'tryMapBatch'>;

interface Kept {
  readonly page: MappedGrants;
  users: number;
}

/** Pages for the time of a request. */
export interface Lease {
  /** Their numbers, in the order in which the pages were asked for. */
  readonly frames: ArrayLike<number>;
  /** The guest's memory itself, by machine address. */
  bytes(address: number, length: number): Uint8Array;
  release(): void;
}

export class GrantPool {
  readonly #link: Link;
  readonly #persistent: boolean;
  /** In order of last use. */
  readonly #kept = new Map<number, Kept>();
  /** Those that are unmapped after their request. */
  readonly #passing = new Set<MappedGrants>();

  constructor(link: Link, persistent: boolean) {
    this.#link = link;
    this.#persistent = persistent;
  }

  /** Or the reference that the guest does not grant. What is kept is mapped writable, as the protocol demands. */
  lease(refs: readonly number[], readonly: boolean): Lease | number {
    return this.#persistent ? this.#keep(refs) : this.#pass(refs, readonly);
  }

  /** Pages that stay mapped. */
  get kept(): number {
    return this.#kept.size;
  }

  /** When no request is under way; also of requests that nobody ended. */
  clear(): void {
    for (const pages of this.#passing) pages.unmap();
    this.#passing.clear();
    for (const { page } of this.#kept.values()) page.unmap();
    this.#kept.clear();
  }

  #pass(refs: readonly number[], readonly: boolean): Lease | number {
    const pages = this.#link.tryMapBatch(refs, readonly);
    const { frames, status } = pages;
    if (status < 0) {
      pages.unmap();
      return refs[frames.findIndex((frame) => frame < 0)] ?? 0;
    }
    this.#passing.add(pages);
    const release = (): void => {
      this.#passing.delete(pages);
      pages.unmap();
    };
    return { frames, bytes: (address, length) => pages.bytes(address, length), release };
  }

  #keep(refs: readonly number[]): Lease | number {
    const parts: Lease[] = [];
    const release = (): void => {
      for (const part of parts) part.release();
    };
    for (const ref of refs) {
      const part = this.#use(ref) ?? this.#pass([ref], false);
      if (typeof part === 'number') {
        release();
        return part;
      }
      parts.push(part);
    }
    const [first] = parts;
    return {
      frames: parts.map(({ frames }) => frames[0] ?? 0),
      bytes: (address, length) => first?.bytes(address, length) ?? new Uint8Array(),
      release,
    };
  }

  /** A page that is or will be kept; undefined when there is no room, or it is not granted. */
  #use(ref: number): Lease | undefined {
    const kept = this.#kept.get(ref) ?? this.#map(ref);
    if (kept === undefined) return undefined;
    this.#kept.delete(ref);
    this.#kept.set(ref, kept);
    kept.users++;
    const { frames } = kept.page;
    return { frames, bytes: (address, length) => kept.page.bytes(address, length), release: () => void kept.users-- };
  }

  #map(ref: number): Kept | undefined {
    if (this.#kept.size >= MAX_PERSISTENT_GRANTS && !this.#evict()) return undefined;
    const page = this.#link.tryMapBatch([ref], false);
    if (page.status >= 0) return { page, users: 0 };
    page.unmap();
    return undefined;
  }

  #evict(): boolean {
    for (const [ref, kept] of this.#kept) {
      if (kept.users > 0) continue;
      kept.page.unmap();
      this.#kept.delete(ref);
      return true;
    }
    return false;
  }
}
