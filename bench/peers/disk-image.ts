/** The raw image behind a machine's disk. It is small enough to be in the host's page cache, whose use is allowed to all peers alike. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MIB = 2 ** 20;
const IMAGE_MIB = 256;

export interface DiskImage {
  readonly path: string;
  remove(): void;
}

/** A file without holes, of which no two blocks are the same. It is removed when the bench ends, unless it was before. */
export function makeDiskImage(): DiskImage {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-disk-'));
  const remove = (): void => {
    process.off('exit', remove);
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', remove);
  const path = join(folder, 'disk.img');
  const file = openSync(path, 'wx');
  const content = randomFillSync(new Uint8Array(MIB));
  const numbers = new DataView(content.buffer);
  for (let n = 0; n < IMAGE_MIB; n++) {
    for (let at = 0; at < MIB; at += 512) numbers.setUint32(at, n * (MIB / 512) + at / 512);
    writeSync(file, content);
  }
  closeSync(file);
  return { path, remove };
}
