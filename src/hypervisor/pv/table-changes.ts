/**
 * What was changed in a domain's page tables lately: a ring in its shared memory, written under the domain's lock and read by each vCPU that drops translations. A
 * translation is wrong once the entry that it came from has changed, and it leads to the frame that the entry had: so frames are what is recorded.
 */
import type { Mfn } from '../../abi/numbers.ts';
import type { TableChanges } from '../../cpu/address-spaces.ts';
import type { Domain } from '../domain.ts';
import { PvDomainState, RECORDED_CHANGES } from './pv-domain.ts';

/** In the ring, instead of a frame: any translation may be wrong. */
const UNKNOWN = -1;
/** … the frame with number -2 - n is no L4 table any more: with all below it, it can change unseen. */
const ROOT_GONE = -2;

export class RecordedChanges implements TableChanges {
  readonly frames = new Int32Array(RECORDED_CHANGES);
  count = 0;
  readonly #i32: Int32Array;
  readonly #version: number;
  readonly #ring: number;

  constructor(domain: Domain) {
    this.#i32 = domain.i32;
    this.#version = (domain.layout.pvDomainAt + PvDomainState.at.tablesVersion) >>> 2;
    this.#ring = (domain.layout.pvDomainAt + PvDomainState.at.tablesChanged) >>> 2;
  }

  get version(): number {
    return Atomics.load(this.#i32, this.#version);
  }

  /** An L1 entry that mapped the frame was changed. After the change, like all of these: a walk before it counts as one before. */
  mapping(mfn: Mfn): void {
    this.#record(mfn);
  }

  /** An entry of another level was. */
  table(): void {
    this.#record(UNKNOWN);
  }

  rootGone(mfn: Mfn): void {
    this.#record(ROOT_GONE - mfn);
  }

  since(version: number, root: Mfn): boolean {
    const i32 = this.#i32;
    const now = this.version;
    this.count = 0;
    if (((now - version) | 0) > RECORDED_CHANGES) return false;
    for (let at = version; at !== now; at = (at + 1) | 0) {
      const change = i32[this.#ring + (at & (RECORDED_CHANGES - 1))] ?? UNKNOWN;
      if (change === UNKNOWN || change === ROOT_GONE - root) return false;
      if (change >= 0) this.frames[this.count++] = change;
    }
    // Another vCPU may have gone round meanwhile.
    return ((this.version - version) | 0) <= RECORDED_CHANGES;
  }

  #record(change: number): void {
    const version = this.#i32[this.#version] ?? 0;
    this.#i32[this.#ring + (version & (RECORDED_CHANGES - 1))] = change;
    Atomics.store(this.#i32, this.#version, (version + 1) | 0);
  }
}
