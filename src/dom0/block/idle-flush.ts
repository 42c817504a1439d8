/**
 * Flushes a disk when it has come to rest. A flush that nobody asked for is always allowed, and it is of use to formats with tables of their own (qcow2, VHD): what
 * was written where nothing had been is found again after the next flush only, should the host end without warning.
 */
import type { Disk } from '../disk/index.ts';
import type { Timers } from '../scheduler.ts';

/** Without a write for so long. A guest in the middle of its work is not held up by the host's disk. */
export const REST_MS = 2000;

export class IdleFlush {
  readonly #disk: Disk;
  readonly #timers: Timers;
  readonly #failed: (error: unknown) => void;
  #cancel: (() => void) | undefined;
  #writtenSince = false;

  constructor(disk: Disk, timers: Timers, failed: (error: unknown) => void) {
    this.#disk = disk;
    this.#timers = timers;
    this.#failed = failed;
  }

  /** Something was written, zeroed or discarded. */
  written(): void {
    this.#writtenSince = true;
    if (this.#cancel === undefined) this.#wait();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #wait(): void {
    this.#writtenSince = false;
    this.#cancel = this.#timers.after(REST_MS, () => {
      this.#cancel = undefined;
      if (this.#writtenSince) this.#wait();
      else this.#disk.flush().catch((error: unknown) => this.#failed(error));
    });
  }
}
