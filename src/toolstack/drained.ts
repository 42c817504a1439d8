/** Writing at the pace of a stream. */
import type { Writable } from 'node:stream';

/** Resolves when there is room for more, or nobody reads any more. Leaves no listener behind: streams live longer than their waits. */
export function drained(stream: Writable): Promise<void> {
  if (!stream.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off('drain', go).off('close', go).off('error', go);
      resolve();
    };
    stream.on('drain', go).on('close', go).on('error', go);
  });
}
