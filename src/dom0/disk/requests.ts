/** What every format checks of a request, and keeps account of until the disk is closed. */
import { DiskError } from './disk-error.ts';
import { SECTOR_SIZE } from './disk.ts';

export class RequestGate {
  readonly #name: string;
  readonly #size: () => number;
  readonly #readOnly: boolean;
  #closed = false;
  #underWay = 0;
  #onIdle: (() => void) | undefined;

  constructor(name: string, size: () => number, readOnly: boolean) {
    this.#name = name;
    this.#size = size;
    this.#readOnly = readOnly;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Runs a request on this range; the range is checked first. */
  async run<T>(
    kind: 'read' | 'write' | 'flush',
    offset: number,
    length: number,
    request: () => Promise<T>,
  ): Promise<T> {
    this.#check(kind, offset, length);
    this.#underWay++;
    try {
      return await request();
    } finally {
      if (--this.#underWay === 0) this.#onIdle?.();
    }
  }

  /** Whether a request on this range would be run; one that ends at once needs no account. */
  allows(kind: 'read' | 'write', offset: number, length: number): boolean {
    return !this.#closed && !(this.#readOnly && kind === 'write') && this.#isInside(offset, length);
  }

  /** Refuses further requests and waits for those under way; false when it was closed before. */
  async close(): Promise<boolean> {
    if (this.#closed) return false;
    this.#closed = true;
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    return true;
  }

  #check(kind: 'read' | 'write' | 'flush', offset: number, length: number): void {
    if (this.#closed) throw new DiskError('EBADF', `${this.#name} is closed`);
    if (this.#readOnly && kind === 'write') throw new DiskError('EROFS', `${this.#name} is read-only`);
    if (this.#isInside(offset, length)) return;
    throw new DiskError('EINVAL', `${this.#name}: no sectors at ${offset}, ${length} bytes`);
  }

  #isInside(offset: number, length: number): boolean {
    const whole = Number.isSafeInteger(offset) && offset % SECTOR_SIZE === 0 && length % SECTOR_SIZE === 0;
    return whole && offset >= 0 && length >= 0 && offset + length <= this.#size();
  }
}
