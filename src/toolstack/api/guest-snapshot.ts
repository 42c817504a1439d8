/** A guest as it was at a moment, for any number of clones to begin from. */
import type { DomainSnapshot } from '../fork/domain-snapshot.ts';
import { withApiErrors, XenolithError } from './errors.ts';
import type { Guest } from './guest.ts';
import type { KeepAlive } from './keep-alive.ts';
import type { WaitOptions } from './wait-options.ts';

/** How a clone is made. A signal gives up, and nothing is left of the clone when `fork` rejects. */
export interface ForkOptions extends WaitOptions {
  /** Of its own in the host; by default the parent's with the first number that is free: `web-1`. */
  readonly name?: string;
  /** It does not run before `start`. Default false. */
  readonly paused?: boolean;
  /** Milliseconds after which it is destroyed, wherever it is, at most 24 days. Default, and `Infinity`: no limit. */
  readonly timeLimit?: number;
}

export interface SnapshotGlue {
  readonly keepAlive: KeepAlive;
  /** Takes a new domain, which is paused, into the host's guests. */
  readonly adopt: (domid: number, timeLimit: number | undefined) => Promise<Guest>;
  /** All that are open, of the host. */
  readonly snapshots: Set<GuestSnapshot>;
  /** Takes away a new domain that nobody wants any more. */
  readonly discard: (domid: number) => Promise<void>;
}

/** Clones share what none of them has changed with the snapshot, so each costs what it writes. */
export class GuestSnapshot implements AsyncDisposable {
  readonly #glue: SnapshotGlue;
  readonly #snapshot: DomainSnapshot;
  #open = true;

  /** @internal */
  constructor(glue: SnapshotGlue, snapshot: DomainSnapshot) {
    this.#glue = glue;
    this.#snapshot = snapshot;
    glue.snapshots.add(this);
  }

  /** A guest that goes on where the snapshot was taken, with a name, a uuid and ethernet addresses of its own. Throws XenolithError. */
  async fork({ name, paused = false, timeLimit, signal }: ForkOptions = {}): Promise<Guest> {
    signal?.throwIfAborted();
    const fork = async (): Promise<Guest> => {
      if (!this.#open) throw new XenolithError('CLOSED', 'the snapshot is closed');
      const domid = await this.#snapshot.fork({ name, paused: true });
      if (signal?.aborted === true) await this.#glue.discard(domid);
      signal?.throwIfAborted();
      const guest = await this.#glue.adopt(domid, timeLimit);
      if (!paused) await guest.unpause();
      return guest;
    };
    return this.#glue.keepAlive.during(withApiErrors(fork));
  }

  /** No more clones; those that there are go on. Closing the host does it too. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#glue.snapshots.delete(this);
    await this.#snapshot.close();
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
