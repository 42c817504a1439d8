/** What the receiver has of a domain that runs while its pages are sent: two ways to know what has changed since. */
import type { GuestFrames } from '../../hypervisor/control.ts';
import { HashedPages } from './hashed-pages.ts';
import { TrackedPages } from './tracked-pages.ts';
import type { WatchWrites } from './write-watch.ts';

export interface SentPages {
  /** A pass over memory begins. */
  begin(): void;
  wasSent(pfn: number): boolean;
  /**
   * What is to be sent of a page, which lies in this frame; undefined when the receiver has that already. It counts as sent from then on. The bytes may be the guest's
   * own, and change while they are sent: then the page is to be sent again.
   */
  take(pfn: number, mfn: number): Uint8Array | undefined;
  /** The receiver's page is to be none. */
  forget(pfn: number): void;
  end(): void;
}

/** `pages`: how many numbers pages can have. */
export async function sentPages(
  frames: GuestFrames,
  pages: number,
  watchWrites: WatchWrites | undefined,
): Promise<SentPages> {
  const watch = watchWrites?.(frames);
  return watch === undefined ? HashedPages.of(frames, pages) : new TrackedPages(frames, pages, watch);
}
