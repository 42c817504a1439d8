/**
 * What a backend has of a connected frontend: mapped grants, rings, event channels. All of it is given back by `close`, whoever asked
 * for it; a backend instance that fails does not own it, and its successor goes on with it.
 */
import { GNTST } from '../../abi/grant-table.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import {
  HypercallError,
  type GrantCopy,
  type GrantMapping,
  type GuestFrames,
  type HypervisorControl,
} from '../../hypervisor/control.ts';
import type { XenstoreView } from '../xenstore/index.ts';
import { BackRing } from './back-ring.ts';
import { Channel } from './channel.ts';

/** What the frontend has written makes no sense; the message goes to the device's error node and the device closes (xenbus_dev_fatal). */
export class FrontendError extends Error {
  override readonly name = 'FrontendError';
  /** As Linux' xenbus_dev_fatal prints it: a negative number. */
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}

export interface MappedGrant {
  readonly mfn: number;
  /** The guest's page itself. */
  readonly bytes: Uint8Array;
  unmap(): void;
}

/** Grants that were mapped together. */
export interface MappedGrants {
  /** In the order in which they were asked for: frame numbers, or the negative GNTST_* number of a grant that is not mapped. */
  readonly frames: Int32Array;
  /** The first of those numbers; GNTST_okay when all are mapped. */
  readonly status: number;
  /** The guest's memory itself, by machine address: the page at a place in `frames` begins at its number times PAGE_SIZE. */
  bytes(address: number, length: number): Uint8Array;
  /** Copies into a page of the guest that is mapped to be written, by machine address. */
  write(address: number, bytes: Uint8Array): void;
  /** To be called in any case; a second time does nothing. */
  unmap(): void;
}

export type LinkControl = Pick<HypervisorControl, 'domain' | 'bindInterdomain'>;

const EINVAL = -22;
const ENOENT = -2;
/** Grant references, ports and other numbers of a frontend: what `%u` reads. */
const MAX_U32 = 0xffffffff;
const statusNames = new Map<number, string>(Object.entries(GNTST).map(([name, status]) => [status, name]));

export class FrontendLink {
  readonly domid: number;
  readonly path: string;
  readonly #control: LinkControl;
  readonly #xs: Pick<XenstoreView, 'read'>;
  readonly #mapped = new Set<() => void>();
  readonly #channels = new Set<Channel>();
  #memory: Uint8Array | undefined;

  constructor(control: LinkControl, xs: Pick<XenstoreView, 'read'>, domid: number, path: string) {
    this.#control = control;
    this.#xs = xs;
    this.domid = domid;
    this.path = path;
  }

  // --- what the frontend has written ------------------------------------------------------------------------------

  read(key: string): string | undefined {
    return this.#xs.read(`${this.path}/${key}`);
  }

  /** A number from `least` to `most`. Throws FrontendError for anything else, and when there is none and no `absent`. */
  number(key: string, options: { least?: number; most?: number; absent?: number } = {}): number {
    const { least = 0, most = MAX_U32, absent } = options;
    const text = this.read(key);
    if (text === undefined) {
      if (absent !== undefined) return absent;
      throw new FrontendError(ENOENT, `reading ${this.path}/${key}`);
    }
    const value = /^\s*\d{1,10}\s*$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    throw new FrontendError(EINVAL, `${this.path}/${key}: ${JSON.stringify(text.slice(0, 32))}`);
  }

  flag(key: string): boolean {
    return this.number(key, { absent: 0 }) !== 0;
  }

  // --- what the frontend has granted ------------------------------------------------------------------------------

  /** A negative GNTST_* number when the frontend does not grant that. */
  tryMap(ref: number, readonly: boolean): MappedGrant | number {
    const domain = this.#control.domain(this.domid);
    if (domain === undefined) return GNTST.bad_domain;
    const mapping: GrantMapping | number = domain.grantMap(ref, { readonly });
    if (typeof mapping === 'number') return mapping;
    const { mfn } = mapping;
    const unmap = (): void => {
      if (!this.#mapped.delete(unmap)) return;
      // It may have held code that is decoded; what a device puts there, the guest may execute without writing it first.
      if (!readonly) domain.frames.wrote(mfn, 0, PAGE_SIZE);
      mapping.unmap();
    };
    this.#mapped.add(unmap);
    return { mfn, bytes: domain.frames.view(mfn), unmap };
  }

  /** As `tryMap` of each, and quicker than that. */
  tryMapBatch(refs: readonly number[], readonly: boolean): MappedGrants {
    const domain = this.#control.domain(this.domid);
    if (domain === undefined) return nothingMapped(refs.length);
    const { frames, status, unmap: release } = domain.grantMapBatch(refs, { readonly });
    const unmap = (): void => {
      if (!this.#mapped.delete(unmap)) return;
      if (!readonly) for (const mfn of frames) if (mfn >= 0) domain.frames.wrote(mfn, 0, PAGE_SIZE);
      release();
    };
    this.#mapped.add(unmap);
    return {
      frames,
      status,
      bytes: (address, length) => domain.frames.bytes(address, length),
      write: (address, bytes) => this.#write(domain.frames, address, bytes),
      unmap,
    };
  }

  /** One view of the guest's memory for all that is written, since a view for each piece costs more than a short copy. */
  #write(frames: GuestFrames, address: number, bytes: Uint8Array): void {
    if (!(address >= 0) || address + bytes.length > frames.count * PAGE_SIZE)
      throw new RangeError(`domain ${this.domid} has no memory at ${address}, ${bytes.length} bytes`);
    this.#memory ??= new Uint8Array(frames.dataView.buffer, frames.dataView.byteOffset, frames.dataView.byteLength);
    this.#memory.set(bytes, frames.base + address);
  }

  /** Copies to and from granted pages, none of which stays mapped: a GNTST_* number for each. */
  copy(copies: readonly GrantCopy[]): Int32Array {
    const domain = this.#control.domain(this.domid);
    return domain === undefined ? new Int32Array(copies.length).fill(GNTST.bad_domain) : domain.grantCopy(copies);
  }

  /** As `tryMap`, for pages without which there is no connection. */
  map(ref: number, readonly = false): MappedGrant {
    const grant = this.tryMap(ref, readonly);
    if (typeof grant !== 'number') return grant;
    throw new FrontendError(EINVAL, `mapping grant ${ref}: GNTST_${statusNames.get(grant) ?? String(grant)}`);
  }

  /** A ring of so many pages. */
  ring(refs: readonly number[], slotSize: number): BackRing {
    return new BackRing(
      refs.map((ref) => this.map(ref).bytes),
      slotSize,
    );
  }

  /** Binds to a port that the frontend has allocated for domain 0. */
  bind(remotePort: number): Channel {
    try {
      const channel = new Channel((onEvent) => this.#control.bindInterdomain(this.domid, remotePort, onEvent));
      this.#channels.add(channel);
      return channel;
    } catch (error) {
      if (!(error instanceof HypercallError)) throw error;
      throw new FrontendError(error.errno, `binding to event channel ${remotePort}`);
    }
  }

  /** What is mapped now; grants that were mapped together count as one. */
  get mappedGrants(): number {
    return this.#mapped.size;
  }

  /** Nobody hears of events: the instance that listened is no more. */
  silence(): void {
    for (const channel of this.#channels) channel.listen(undefined);
  }

  /** Nothing of what was mapped may be touched after this. */
  close(): void {
    for (const channel of this.#channels) channel.close();
    this.#channels.clear();
    for (const unmap of [...this.#mapped]) unmap();
  }
}

function nothingMapped(count: number): MappedGrants {
  const frames = new Int32Array(count).fill(GNTST.bad_domain);
  const nothing = (): undefined => undefined;
  return { frames, status: GNTST.bad_domain, bytes: () => new Uint8Array(), write: nothing, unmap: nothing };
}
