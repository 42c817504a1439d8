/** What the platform may know of a running domain's memory: which of its frames are written, whoever writes them. */
import type { GuestFrames } from '../../hypervisor/control.ts';

export interface WriteWatch {
  /**
   * Tells the frames that were written since the last call, or since the watch began, in runs. A frame that is written during the call is told by it or by the
   * next one. False when the platform does not know any more; it may not be asked again then.
   */
  written(mark: (first: number, count: number) => void): boolean;
  end(): void;
}

/** Undefined where the platform cannot tell. */
export type WatchWrites = (frames: GuestFrames) => WriteWatch | undefined;
