/** What a guest gets from a raw disk, past its page cache. The image is small enough to be in the host's. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guestFiles } from '../../src/toolstack/guest-files/guest-files.ts';
import { builtPrograms } from '../comparison/programs.ts';
import { noteSteps } from '../guest/note-steps.ts';
import { Xenolith } from '../guest/xenolith.ts';

export interface DiskFigures {
  /** Bytes a second, one transfer of 1 MiB after the other. */
  readonly read: number;
  readonly write: number;
  /** Transfers of 4 KiB a second anywhere on the disk, with one or 32 of them under way. */
  readonly read1: number;
  readonly read32: number;
  readonly write32: number;
}

const PROGRAM = '/bin/disk';
const IMAGE_BYTES = 256 * 2 ** 20;
const BLOCK = 4096;

let measured: Promise<DiskFigures> | undefined;

/** All are measured once, in one guest. */
export function diskFigures(note: (text: string) => void): Promise<DiskFigures> {
  measured ??= measure(note);
  return measured;
}

async function measure(note: (text: string) => void): Promise<DiskFigures> {
  const programs = await builtPrograms('amd64', undefined, join(import.meta.dirname, 'programs'));
  const content = readFileSync(join(programs, 'disk'));
  const files = await guestFiles({
    onProgress: noteSteps(note),
    extraFiles: { [PROGRAM]: { content, executable: true } },
  });
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-disk-'));
  const image = join(folder, 'disk.img');
  writeFileSync(image, '');
  truncateSync(image, IMAGE_BYTES);
  const xenolith = await Xenolith.start(note, { files, disk: [`${image},raw,xvda,w`] });
  try {
    const guest = await xenolith.create();
    await guest.shell();
    const figure = async (args: string): Promise<number> => {
      const printed = await guest.run(`${PROGRAM} ${args}`);
      const [, bytes, seconds] = /@end (\d+) ([\d.]+)/.exec(printed) ?? [];
      if (bytes === undefined || seconds === undefined) throw new Error(`disk ${args}: ${printed}`);
      return Number(bytes) / Number(seconds);
    };
    // The first transfers warm up the translator, and fill the image and the host's page cache.
    const write =
      (await figure(`write /dev/xvda 256 1048576 1 flush`), await figure(`write /dev/xvda 256 1048576 1 flush`));
    const read = (await figure(`read /dev/xvda 256 1048576 1`), await figure(`read /dev/xvda 256 1048576 1`));
    await figure(`read /dev/xvda 500 ${BLOCK} 1 random`);
    const read1 = (await figure(`read /dev/xvda 2000 ${BLOCK} 1 random`)) / BLOCK;
    await figure(`read /dev/xvda 2000 ${BLOCK} 32 random`);
    const read32 = (await figure(`read /dev/xvda 8000 ${BLOCK} 32 random`)) / BLOCK;
    const write32 = (await figure(`write /dev/xvda 8000 ${BLOCK} 32 random flush`)) / BLOCK;
    return { read, write, read1, read32, write32 };
  } finally {
    await xenolith.close();
    rmSync(folder, { recursive: true });
  }
}
