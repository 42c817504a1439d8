/** Writing at the pace of a stream. */
import type { Writable } from 'node:stream';

/** What can be kept from giving more for a while. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

/** One for all who wait: as many listeners as waits would be too many where many write to one stream. */
const waits = new WeakMap<Writable, Promise<void>>();

/** Resolves when there is room for more, or nobody reads any more. Leaves no listener behind: streams live longer than their waits. */
export function drained(stream: Writable): Promise<void> {
  if (!stream.writableNeedDrain) return Promise.resolve();
  const known = waits.get(stream);
  if (known !== undefined) return known;
  const wait = new Promise<void>((resolve) => {
    const go = (): void => {
      stream.off('drain', go).off('close', go).off('error', go);
      waits.delete(stream);
      resolve();
    };
    stream.on('drain', go).on('close', go).on('error', go);
  });
  waits.set(stream, wait);
  return wait;
}

/** Passes bytes on to a stream. Their source rests while there is no room; what it had before it was told still comes. */
export function atPaceOf(stream: Writable, source: Pausable): (bytes: Uint8Array | string) => void {
  let rests = false;
  return (bytes) => {
    if (stream.write(bytes) || rests) return;
    rests = true;
    source.pause();
    void drained(stream).then(() => {
      rests = false;
      source.resume();
    });
  };
}
