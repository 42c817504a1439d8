/**
 * Keeps requests that change what lies where apart from those that rely on it: a reader must not read a piece of the file that has been
 * given to another part of the disk meanwhile. Who comes first is served first, so that no one waits for ever.
 */
export type LockMode = 'shared' | 'exclusive';

export interface RangeLock {
  /** Others may share the range from now on. */
  downgrade(): void;
  release(): void;
}

interface Entry {
  readonly first: number;
  readonly last: number;
  exclusive: boolean;
  granted: (() => void) | undefined;
}

export class RangeLocks {
  /** Held or waited for, in the order of arrival. */
  readonly #entries: Entry[] = [];

  /** Nothing is held, and nobody waits. */
  get isIdle(): boolean {
    return this.#entries.length === 0;
  }

  /** Whether `acquire` would not have to wait: enough for a request that is over before anybody else can ask. */
  isFree(first: number, last: number, mode: LockMode): boolean {
    const entry: Entry = { first, last, exclusive: mode === 'exclusive', granted: undefined };
    return !this.#isBlocked(entry, this.#entries.length);
  }

  /** The lock, or a promise of it when it has to be waited for: a lock that is free costs no turn of the event loop. */
  acquire(first: number, last: number, mode: LockMode): RangeLock | Promise<RangeLock> {
    const entry: Entry = { first, last, exclusive: mode === 'exclusive', granted: undefined };
    const mustWait = this.#isBlocked(entry, this.#entries.length);
    this.#entries.push(entry);
    const lock: RangeLock = {
      downgrade: () => {
        entry.exclusive = false;
        this.#grant();
      },
      release: () => {
        const at = this.#entries.indexOf(entry);
        if (at >= 0) this.#entries.splice(at, 1);
        this.#grant();
      },
    };
    return mustWait ? new Promise((resolve) => (entry.granted = () => resolve(lock))) : lock;
  }

  #isBlocked(entry: Entry, before: number): boolean {
    for (let at = 0; at < before; at++) {
      const other = this.#entries[at];
      if (other === undefined || other.last < entry.first || other.first > entry.last) continue;
      if (entry.exclusive || other.exclusive) return true;
    }
    return false;
  }

  #grant(): void {
    this.#entries.forEach((entry, at) => {
      if (entry.granted === undefined || this.#isBlocked(entry, at)) return;
      const { granted } = entry;
      entry.granted = undefined;
      granted();
    });
  }
}
