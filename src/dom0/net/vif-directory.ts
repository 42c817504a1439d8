/** What xenstore says about guests' interfaces: which domain has which ethernet address, and what `ip=` says of it. */
import type { Xenstore } from '../xenstore/index.ts';
import { parseMac } from './packet/addresses.ts';

type Store = Pick<Xenstore, 'ls' | 'read'>;

const backends = '/local/domain/0/backend/vif';

export class VifDirectory {
  readonly #xs: Store;

  constructor(xs: Store) {
    this.#xs = xs;
  }

  /** Ethernet addresses of a domain's interfaces, in their order. */
  macsOf(domainName: string): readonly Uint8Array[] {
    const domid = this.#domids().find((id) => this.#xs.read(`/local/domain/${id}/name`) === domainName);
    if (domid === undefined) return [];
    return this.#interfaces(domid).flatMap((path) => parseMac(this.#xs.read(`${path}/mac`) ?? '') ?? []);
  }

  /** What `ip=` says of the interface with this ethernet address, addresses and networks; nothing for one that has none. */
  ipOf(mac: string): readonly string[] {
    for (const domid of this.#domids()) {
      for (const path of this.#interfaces(domid)) {
        if (this.#xs.read(`${path}/mac`)?.toLowerCase() !== mac) continue;
        return (this.#xs.read(`${path}/ip`) ?? '').split(/\s+/).filter((text) => text !== '');
      }
    }
    return [];
  }

  #domids(): readonly string[] {
    return this.#xs.ls(backends) ?? [];
  }

  #interfaces(domid: string): readonly string[] {
    const below = `${backends}/${domid}`;
    const devids = (this.#xs.ls(below) ?? []).map(Number).sort((a, b) => a - b);
    return devids.map((devid) => `${below}/${devid}`);
  }
}
