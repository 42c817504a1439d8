/** What has changed, by what the platform says was written. */
import type { GuestFrames } from '../../hypervisor/control.ts';
import type { SentPages } from './sent-pages.ts';
import type { WriteWatch } from './write-watch.ts';

export class TrackedPages implements SentPages {
  readonly #frames: GuestFrames;
  readonly #watch: WriteWatch;
  /** By MFN: 1 where the frame was written after it was last sent. */
  readonly #written: Uint8Array;
  /** By PFN: the frame that was sent for it, and one more; 0: the receiver has no such page. A guest may exchange frames without writing to them. */
  readonly #sentFrom: Uint32Array;
  #known = true;

  constructor(frames: GuestFrames, pages: number, watch: WriteWatch) {
    this.#frames = frames;
    this.#watch = watch;
    this.#written = new Uint8Array(frames.count);
    this.#sentFrom = new Uint32Array(pages);
  }

  /** Before pages are looked at: what is written from now on is told the next time. */
  begin(): void {
    this.#known &&= this.#watch.written((first, count) => this.#written.fill(1, first, first + count));
  }

  wasSent(pfn: number): boolean {
    return this.#sentFrom[pfn] !== 0;
  }

  take(pfn: number, mfn: number): Uint8Array | undefined {
    if (this.#known && this.#written[mfn] === 0 && this.#sentFrom[pfn] === mfn + 1) return undefined;
    this.#written[mfn] = 0;
    this.#sentFrom[pfn] = mfn + 1;
    return this.#frames.view(mfn);
  }

  forget(pfn: number): void {
    this.#sentFrom[pfn] = 0;
  }

  end(): void {
    this.#watch.end();
  }
}
