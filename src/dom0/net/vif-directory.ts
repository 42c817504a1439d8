/** What xenstore says about guests' interfaces: which domain has which ethernet address, and the IP addresses that `ip=` gives it. */
import type { Xenstore } from '../xenstore/index.ts';
import { parseIp, parseMac } from './packet/addresses.ts';

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

  /** The addresses that the configuration gives the interface with this ethernet address, with blanks between them as libxl writes them. */
  addressesOf(mac: string): readonly Uint8Array[] {
    for (const domid of this.#domids()) {
      for (const path of this.#interfaces(domid)) {
        if (this.#xs.read(`${path}/mac`)?.toLowerCase() !== mac) continue;
        return (this.#xs.read(`${path}/ip`) ?? '').split(/\s+/).flatMap((text) => parseIp(text) ?? []);
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
