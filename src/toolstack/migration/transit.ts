/**
 * Domains on their way from one host to another. At each moment it is clear whose the domain is: the sender's until it says so, the receiver's from
 * then on. A domain whose guide, the connection it is moved by, goes away before that stays with the sender, and the receiver's copy goes.
 */
import { LibxlError } from '../domain/libxl-error.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';

/** What a suspended domain holds that the receiver needs. */
export interface Disks {
  releaseDisks(domid: number): Promise<void>;
  reclaimDisks(domid: number): Promise<void>;
}

const AWAY = '--migratedaway';
const INCOMING = '--incoming';

export class Transit {
  readonly #manager: DomainManager;
  readonly #disks: Disks;
  /** Suspended, with nothing open, by domid: the names they had. */
  readonly #leaving = new Map<number, string>();
  /** Complete but paused, by domid: the names they are to have. */
  readonly #arriving = new Map<number, string>();

  constructor(manager: DomainManager, disks: Disks) {
    this.#manager = manager;
    this.#disks = disks;
    // Numbers are used again.
    manager.onEvent(({ kind, domid }) => {
      if (kind !== 'destroyed') return;
      this.#leaving.delete(domid);
      this.#arriving.delete(domid);
    });
  }

  // --- the sender ------------------------------------------------------------------------------------------------------

  /** The domain has suspended. Resolves when the receiver can have its disks. */
  async suspended({ domid, name }: ManagedDomain): Promise<void> {
    this.#leaving.set(domid, name);
    await this.#disks.releaseDisks(domid);
  }

  /** The receiver has all of it: from now on it is the receiver's, and only an order brings it back. Throws LibxlError for a domain that goes on here. */
  give(domid: number): void {
    const name = this.#leaving.get(domid);
    if (name === undefined)
      throw new LibxlError('FAIL', [`xl: domain ${domid} is not on its way to another host any more`]);
    this.#manager.rename(domid, `${name}${AWAY}`);
  }

  /** Whether the domain has left, or is about to, and stands still here. */
  holds(domid: number): boolean {
    return this.#leaving.has(domid);
  }

  /** Nobody is left to give it away: it goes on here, unless it has been given. */
  async abandoned(domid: number): Promise<void> {
    const name = this.#leaving.get(domid);
    if (name !== undefined && this.#manager.nameOf(domid) === name) await this.takeBack(domid);
  }

  /** The receiver does not want it: the domain goes on here. */
  async takeBack(domid: number): Promise<void> {
    const name = this.#leaving.get(domid);
    const domain = this.#manager.domain(domid);
    if (name === undefined) return;
    this.#leaving.delete(domid);
    if (domain === undefined || domain.destruction !== undefined) return;
    // Somebody may have made a domain of that name since.
    if (this.#manager.domidOf(name) === undefined) this.#manager.rename(domid, name);
    await this.#disks.reclaimDisks(domid);
    this.#manager.resume(domid);
  }

  /** Does the work while the domain runs nowhere and nobody writes to its memory for it. */
  async standStill(domid: number, work: () => void): Promise<void> {
    if (this.#manager.domain(domid) === undefined) return;
    this.#manager.pause(domid);
    try {
      // Reads of disks that are under way end in its memory.
      await this.#disks.releaseDisks(domid);
      work();
    } finally {
      if (this.#manager.domain(domid) !== undefined) {
        await this.#disks.reclaimDisks(domid);
        this.#manager.unpause(domid);
      }
    }
  }

  // --- the receiver ----------------------------------------------------------------------------------------------------

  /** What a domain is called while it comes. */
  incomingName(name: string): string {
    return `${name}${INCOMING}`;
  }

  arrived(domid: number, name: string): void {
    this.#arriving.set(domid, name);
  }

  /** It is this host's now. */
  start(domid: number, paused: boolean): void {
    const name = this.#arriving.get(domid);
    if (name === undefined) return;
    this.#manager.rename(domid, name);
    if (!paused) this.#manager.unpause(domid);
    this.#arriving.delete(domid);
  }

  /** Nobody is left to give this host the domain. */
  async notGiven(domid: number): Promise<void> {
    if (this.#arriving.delete(domid) && this.#manager.domain(domid) !== undefined) await this.#manager.destroy(domid);
  }
}
