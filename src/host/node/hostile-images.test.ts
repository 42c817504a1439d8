/** Images that QEMU has made, in which bytes were changed. What QEMU writes that we never would is read here too. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import type { DiskFormat } from '../../dom0/disk/index.ts';
import { backing, checkQcow2, spoil, spoiling, useAs } from '../../dom0/testing/image-use.ts';
import { qemuImg, qemuIo, withoutQemu } from './testing/qemu-tools.ts';

const size = backing.length;
/** In memory where that is to be had: QEMU's programs flush at every end. */
const fast = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

interface Made {
  readonly about: string;
  readonly format: DiskFormat;
  /** qemu-img's name for it. */
  readonly driver: string;
  readonly options: readonly string[];
  readonly snapshots?: boolean;
}

const qcow2 = { format: 'qcow2', driver: 'qcow2' } as const;
const vhd = { format: 'vhd', driver: 'vpc' } as const;
const kinds: readonly Made[] = [
  { ...qcow2, about: 'qcow2 of version 2', options: ['compat=0.10', 'cluster_size=4096'], snapshots: true },
  { ...qcow2, about: 'qcow2 with small clusters', options: ['cluster_size=512'], snapshots: true },
  {
    ...qcow2,
    about: 'qcow2 with lazy refcounts of one bit',
    options: ['cluster_size=4096', 'lazy_refcounts=on', 'refcount_bits=1'],
  },
  {
    ...qcow2,
    about: 'qcow2 with refcounts of 64 bits',
    options: ['cluster_size=4096', 'refcount_bits=64'],
    snapshots: true,
  },
  { ...qcow2, about: 'qcow2 with zstd', options: ['cluster_size=4096', 'compression_type=zstd'] },
  { ...qcow2, about: 'qcow2 with extended L2 entries', options: ['cluster_size=16384', 'extended_l2=on'] },
  { ...qcow2, about: 'qcow2 that is preallocated', options: ['cluster_size=4096', 'preallocation=metadata'] },
  {
    ...qcow2,
    about: 'qcow2 with a backing file',
    options: ['cluster_size=4096', 'backing_file=base', 'backing_fmt=raw'],
    snapshots: true,
  },
  { ...vhd, about: 'dynamic VHD', options: ['subformat=dynamic'] },
  { ...vhd, about: 'fixed VHD', options: ['subformat=fixed'] },
];

async function make({ driver, options, snapshots }: Made): Promise<Uint8Array> {
  const folder = mkdtempSync(join(fast, 'hostile-images-'));
  try {
    const path = join(folder, 'disk');
    writeFileSync(join(folder, 'base'), backing);
    await qemuImg('create', '-q', '-f', driver, '-o', options.join(','), path, String(size));
    await qemuIo(
      path,
      driver,
      'write -P 1 0 20k',
      'write -P 2 100k 9k',
      ...(driver === 'qcow2' ? ['write -z 8k 8k'] : []),
    );
    if (snapshots) {
      await qemuImg('snapshot', '-c', 'one', path);
      await qemuIo(path, driver, 'write -P 3 4k 4k', 'discard 100k 4k');
    }
    if (driver === 'qcow2' && !options.includes('extended_l2=on'))
      await qemuIo(path, driver, 'write -c -P 4 64k 4k').catch(() => undefined);
    return readFileSync(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('an image of QEMU in which bytes were changed', { skip: withoutQemu }, () => {
  for (const kind of kinds) {
    it(`is used, refused or found damaged: ${kind.about}`, async () => {
      const image = await make(kind);
      // The header, and where QEMU puts tables first.
      const changed = fc.oneof(spoiling(image.length, 600), spoiling(image.length, Math.min(image.length - 9, 20_000)));
      await fc.assert(
        fc.asyncProperty(changed, async (changes) => {
          const bytes = spoil(image, changes);
          await useAs(kind.format, bytes);
          if (kind.format === 'qcow2') await checkQcow2(bytes);
        }),
        fuzz(15),
      );
    });
  }
});
