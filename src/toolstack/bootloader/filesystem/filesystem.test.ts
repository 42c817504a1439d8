import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { BootFailure } from '../boot-failure.ts';
import { DiskBytes } from '../disk-bytes.ts';
import { extImage, hasTool, memoryDisk, xfsImage, type Tree } from '../testing/images.ts';
import type { FileSystem } from './file-system.ts';
import { openFileSystem } from './open.ts';

const big = new Uint8Array(3_000_001).map((_, at) => (at * 2654435761) >>> 24);
const many = Object.fromEntries(
  Array.from({ length: 300 }, (_, number) => [`many/file-with-a-long-name-${number}`, `${number}`]),
);
const tree: Tree = {
  'boot/vmlinuz': big,
  'boot/empty': '',
  'boot/short': 'forty bytes or so in a file of its own',
  'boot/medium': 'x'.repeat(110),
  'boot/link': { link: 'vmlinuz' },
  'boot/long-link': { link: `../${'./'.repeat(80)}boot/short` },
  absolute: { link: '/boot/short' },
  loop: { link: 'loop' },
  out: { link: '../../boot/short' },
  ...many,
};

function withImage(make: (folder: string) => Uint8Array, use: (fs: FileSystem) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-fs-'));
    try {
      const fs = await openFileSystem(DiskBytes.of(memoryDisk(make(folder))));
      assert.ok(fs);
      await use(fs);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
}

const text = async (fs: FileSystem, path: string): Promise<string | undefined> => {
  const bytes = await fs.readFile(path, 1 << 24);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
};

async function holdsTheTree(fs: FileSystem): Promise<void> {
  const kernel = await fs.readFile('/boot/vmlinuz', 1 << 24);
  assert.equal(Buffer.compare(kernel ?? new Uint8Array(), big), 0);
  assert.equal(Buffer.compare((await fs.readFile('boot/link', 1 << 24)) ?? new Uint8Array(), big), 0);
  assert.equal(await text(fs, '/boot/empty'), '');
  for (const path of [
    '/boot/short',
    '/boot/long-link',
    '/absolute',
    '/out',
    '/boot/../boot/./short',
    '/../boot/short',
  ]) {
    assert.equal(await text(fs, path), tree['boot/short'], path);
  }
  assert.equal(await text(fs, '/boot/medium'), tree['boot/medium']);
  for (const path of ['/nothing', '/boot/nothing', '/boot/short/x', '/loop', '/boot/link/..']) {
    assert.equal(await text(fs, path), undefined, path);
  }
  assert.equal(await text(fs, '/many/file-with-a-long-name-0'), '0');
  assert.equal(await text(fs, '/many/file-with-a-long-name-299'), '299');
  assert.equal((await fs.names('/many')).length, 300);
  await assert.rejects(fs.readFile('/boot', 1 << 24), BootFailure);
  await assert.rejects(fs.readFile('/boot/vmlinuz', 1000), /too many/);
}

const extFlavours: Readonly<Record<string, readonly string[]>> = {
  'ext2 with blocks of 1 KiB': ['-t', 'ext2', '-b', '1024'],
  'ext2 of revision 0': ['-t', 'ext2', '-b', '1024', '-r', '0', '-I', '128', '-O', 'none'],
  'ext3 with blocks of 4 KiB': ['-t', 'ext3', '-b', '4096'],
  'ext4 as Debian makes it': ['-t', 'ext4'],
  'ext4 with 64-bit blocks and large inodes': ['-t', 'ext4', '-O', '64bit', '-I', '1024', '-b', '4096'],
  'ext4 without flexible groups, with meta groups': [
    '-t',
    'ext4',
    '-b',
    '1024',
    '-O',
    '^resize_inode,^flex_bg,meta_bg,64bit',
  ],
  'ext4 with data in inodes': ['-t', 'ext4', '-O', 'inline_data', '-I', '256'],
  'ext4 with few copies of the superblock': ['-t', 'ext4', '-b', '1024', '-O', 'sparse_super2,^resize_inode,meta_bg'],
  'ext4 with clusters': ['-t', 'ext4', '-O', 'bigalloc', '-C', '16384'],
  'ext4 with block maps': ['-t', 'ext4', '-O', '^extents,^64bit', '-b', '1024'],
};

describe('ext', { skip: !hasTool('mke2fs') && 'no mke2fs' }, () => {
  for (const [flavour, options] of Object.entries(extFlavours)) {
    it(
      `reads ${flavour}`,
      withImage((folder) => extImage(folder, tree, options, 48), holdsTheTree),
    );
  }

  it(
    'reads files with holes, and extents over several levels',
    withImage(
      (folder) => {
        // Every other block only, so that extents cannot join.
        const sparse = new Uint8Array(1024 * 2048);
        for (let block = 0; block < 2048; block += 2) sparse.fill(block % 251 || 1, block * 1024, (block + 1) * 1024);
        return extImage(folder, { sparse }, ['-t', 'ext4', '-b', '1024']);
      },
      async (fs) => {
        const bytes = (await fs.readFile('/sparse', 1 << 24)) ?? new Uint8Array();
        assert.equal(bytes.length, 1024 * 2048);
        for (let block = 0; block < 2048; block++) {
          assert.equal(bytes[block * 1024 + 5], block % 2 === 0 ? block % 251 || 1 : 0, `block ${block}`);
        }
      },
    ),
  );

  it(
    'knows its kind and UUID',
    withImage(
      (folder) => extImage(folder, { file: '' }, ['-t', 'ext3', '-U', '01234567-89ab-cdef-0123-456789abcdef']),
      (fs) => {
        assert.deepEqual([fs.type, fs.uuid], ['ext3', '01234567-89ab-cdef-0123-456789abcdef']);
        return Promise.resolve();
      },
    ),
  );
});

const xfsFlavours: Readonly<Record<string, readonly string[]>> = {
  'version 5': [],
  'version 4, as el7 makes it': ['-m', 'crc=0,finobt=0,reflink=0,rmapbt=0', '-n', 'ftype=1'],
  'version 4 without types in directories': ['-m', 'crc=0,finobt=0,reflink=0,rmapbt=0', '-n', 'ftype=0'],
  'large directory blocks and small blocks': ['-b', 'size=1024', '-n', 'size=8192'],
  'large inodes': ['-i', 'size=2048'],
};

describe('xfs', { skip: !hasTool('mkfs.xfs') && 'no mkfs.xfs' }, () => {
  for (const [flavour, options] of Object.entries(xfsFlavours)) {
    it(
      `reads ${flavour}`,
      withImage((folder) => xfsImage(folder, tree, options), holdsTheTree),
    );
  }
});

describe('a file system that is none', () => {
  it('is not taken for one', async () => {
    for (const size of [0, 512, 4096]) {
      assert.equal(await openFileSystem(DiskBytes.of(memoryDisk(new Uint8Array(size)))), undefined);
    }
  });

  it('is refused when it needs what is not understood', { skip: !hasTool('mke2fs') && 'no mke2fs' }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-fs-'));
    try {
      const image = extImage(folder, { file: '' }, ['-t', 'ext4']);
      new DataView(image.buffer, image.byteOffset).setUint32(1024 + 0x60, 0x80000000, true);
      await assert.rejects(openFileSystem(DiskBytes.of(memoryDisk(image))), /features that are not known/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
