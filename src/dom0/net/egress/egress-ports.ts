/** The interfaces of a host by name and by ethernet address: whose rules are asked for a frame that comes from one. */
import type { BridgePort } from '../link.ts';
import { macKey, parseMac } from '../packet/addresses.ts';
import type { Egress } from './egress.ts';

export class EgressPorts {
  readonly #byMac = new Map<number, Set<Egress>>();
  readonly #byName = new Map<string, Egress>();

  add({ name, mac, egress }: BridgePort): void {
    const key = keyOf(mac);
    if (egress === undefined || key === undefined) return;
    this.#byName.set(name, egress);
    this.#byMac.set(key, (this.#byMac.get(key) ?? new Set()).add(egress));
  }

  remove({ name, mac, egress }: BridgePort): void {
    const key = keyOf(mac);
    if (egress === undefined || key === undefined) return;
    if (this.#byName.get(name) === egress) this.#byName.delete(name);
    const same = this.#byMac.get(key);
    same?.delete(egress);
    if (same?.size === 0) this.#byMac.delete(key);
  }

  named(name: string): Egress | undefined {
    return this.#byName.get(name);
  }

  /** Undefined: everything is allowed. Of several with the same address, one with rules. */
  of(mac: Uint8Array): Egress | undefined {
    for (const egress of this.#byMac.get(macKey(mac)) ?? []) if (egress.restricts) return egress;
    return undefined;
  }
}

function keyOf(mac: string | undefined): number | undefined {
  const bytes = mac === undefined ? undefined : parseMac(mac);
  return bytes && macKey(bytes);
}
