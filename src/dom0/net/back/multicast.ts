/**
 * Multicast control (xen/include/public/io/netif.h, feature-multicast-control): a frontend that asked for it gets only the groups
 * that it has named in extra infos of its transmit ring. Broadcasts always pass.
 */
import { isGroup, macKey } from '../packet/addresses.ts';

/** XEN_NETBK_MCAST_MAX of Linux' netback. */
const MAX_GROUPS = 64;
const BROADCAST = 0xffffffffffff;

export class MulticastFilter {
  #on = false;
  readonly #groups: number[] = [];

  /** What the frontend says in request-multicast-control. Turned off, the list is empty again. */
  set on(on: boolean) {
    this.#on = on;
    if (!on) this.#groups.length = 0;
  }

  /** False: the list is full. */
  add(address: Uint8Array): boolean {
    if (this.#groups.length >= MAX_GROUPS) return false;
    this.#groups.push(macKey(address));
    return true;
  }

  remove(address: Uint8Array): void {
    const at = this.#groups.indexOf(macKey(address));
    if (at >= 0) this.#groups.splice(at, 1);
  }

  /** Whether a frame that begins with this destination is for the guest. */
  passes(destination: Uint8Array): boolean {
    if (!this.#on || !isGroup(destination)) return true;
    const key = macKey(destination);
    return key === BROADCAST || this.#groups.includes(key);
  }
}
