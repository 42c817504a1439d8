/** Domain 0's mappings of a domain's grants: how often each is in use (struct active_grant_entry). Main thread only. */
import { GNTST, GTF_reading, GTF_writing } from '../../abi/grant-table.ts';
import type { GrantRef, Mfn } from '../../abi/numbers.ts';
import type { Domain } from '../domain.ts';
import type { PlatformKind } from '../platform.ts';
import { acquire, clearInUse } from './table.ts';

const DOM0 = 0;

interface Use {
  readers: number;
  writers: number;
}

export interface Mapping {
  readonly mfn: Mfn;
  unmap(): void;
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

  /** A GNTST_* number when the grant may not be mapped. */
  map(ref: GrantRef, readonly: boolean): Mapping | number {
    const domain = this.#domain;
    return domain.locked(() => {
      const grant = acquire(domain, ref, DOM0, readonly);
      if (typeof grant === 'number') return grant;
      const use = this.#uses.get(ref) ?? { readers: 0, writers: 0 };
      const held = readonly ? this.#kind.getPage(domain, grant.frame) : this.#kind.getWritable(domain, grant.frame);
      if (!held || !domain.isRam(grant.frame)) {
        if (held) this.#put(grant.frame, readonly);
        this.#clear(ref, use);
        return GNTST.bad_page;
      }
      use.readers++;
      if (!readonly) use.writers++;
      this.#uses.set(ref, use);
      return this.#mapping(ref, grant.frame, readonly);
    });
  }

  #mapping(ref: GrantRef, mfn: Mfn, readonly: boolean): Mapping {
    let mapped = true;
    return {
      mfn,
      unmap: () => {
        if (!mapped) return;
        mapped = false;
        this.#domain.locked(() => {
          const use = this.#uses.get(ref);
          if (use === undefined) throw new Error(`grant ${ref} of domain ${this.#domain.domid}: mapped but not in use`);
          use.readers--;
          if (!readonly) use.writers--;
          if (use.readers === 0) this.#uses.delete(ref);
          this.#put(mfn, readonly);
          this.#clear(ref, use);
        });
      },
    };
  }

  #put(mfn: Mfn, readonly: boolean): void {
    if (readonly) this.#kind.putPage(this.#domain, mfn);
    else this.#kind.putWritable(this.#domain, mfn);
  }

  #clear(ref: GrantRef, use: Use): void {
    clearInUse(this.#domain, ref, (use.writers === 0 ? GTF_writing : 0) | (use.readers === 0 ? GTF_reading : 0));
  }
}
