/** Putting a file together from where its pieces lie. */
import { BootFailure } from '../boot-failure.ts';
import type { DiskBytes } from '../disk-bytes.ts';

/** Blocks that follow each other on the disk as in the file. What no run covers, and one without `from`, is zeroes. */
export interface Run {
  /** First block in the file. */
  readonly to: number;
  /** First block on the disk. */
  readonly from: number | undefined;
  readonly count: number;
}

/** What one file may consist of: a ramdisk of the largest size in blocks of the smallest. */
const MAX_RUNS = 1 << 20;

export async function gather(
  disk: DiskBytes,
  blockSize: number,
  size: number,
  runs: AsyncIterable<Run>,
): Promise<Uint8Array> {
  const content = new Uint8Array(size);
  let count = 0;
  for await (const run of runs) {
    if (++count > MAX_RUNS) throw new BootFailure("a file in the guest's disk is in too many pieces");
    const at = run.to * blockSize;
    if (run.from === undefined || at >= size) continue;
    const length = Math.min(run.count * blockSize, size - at);
    content.set(await disk.read(run.from * blockSize, length), at);
  }
  return content;
}
