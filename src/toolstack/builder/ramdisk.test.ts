import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { cpioArchive } from '../guest-files/cpio.ts';
import { CorruptData } from './compression/corrupt-data.ts';
import { inspectRamdisk } from './ramdisk.ts';
import { sample } from './testing/compressed-samples.ts';

const archive = cpioArchive([
  { path: 'init', kind: { type: 'file', content: Buffer.from('#!/bin/sh\n'), executable: true } },
  { path: 'etc/motd', kind: { type: 'file', content: Buffer.from('hello\n'.repeat(100)) } },
]);

function accepts(...parts: Uint8Array[]): void {
  inspectRamdisk(Buffer.concat(parts));
}

function refuses(bytes: Uint8Array, reason: RegExp): void {
  assert.throws(
    () => inspectRamdisk(bytes),
    (error) => error instanceof CorruptData && reason.test(error.message),
  );
}

describe('a ramdisk that Linux can unpack', () => {
  it('is a cpio archive', () => accepts(archive));
  it('is a cpio archive in gzip', () => accepts(gzipSync(archive)));
  it('is a cpio archive in zstd', () => accepts(zstdCompressSync(archive)));
  it('is plain microcode, padded, and then a compressed archive, as Debian makes it', () => {
    accepts(archive, new Uint8Array(512), gzipSync(archive));
    accepts(archive, new Uint8Array(512), sample('xzCrc32'));
  });
  it('is several compressed archives', () => accepts(gzipSync(archive), gzipSync(archive), new Uint8Array(3)));
  it('is an archive with a boot configuration behind it', () => {
    accepts(archive, Buffer.from('kernel { quiet }\0\0\0\0\0\0\0\0#BOOTCONFIG\n'));
  });
  it('is the image of a file system', () => {
    const ext2 = new Uint8Array(4096);
    ext2.set([0x53, 0xef], 0x438);
    accepts(ext2);
    accepts(Buffer.from('hsqs and so on'));
  });

  it('is given unzipped only when all of it is one gzip member', () => {
    assert.deepEqual(inspectRamdisk(gzipSync(archive)).unzipped?.length, archive.length);
    assert.equal(inspectRamdisk(Buffer.concat([gzipSync(archive), gzipSync(archive)])).unzipped, undefined);
    assert.equal(inspectRamdisk(archive).unzipped, undefined);
  });
});

describe('a ramdisk that it cannot unpack', () => {
  it('is empty', () => {
    refuses(new Uint8Array(), /empty/);
    refuses(new Uint8Array(1000), /empty/);
  });
  it('is something else', () => refuses(Buffer.from('root=/dev/xvda\n'), /neither a cpio archive nor compressed/));
  it('is a text in gzip', () => refuses(gzipSync('root=/dev/xvda\n'), /not a cpio archive/));
  it('has something else behind the archive', () => refuses(Buffer.concat([archive, Buffer.from('junk')]), /at byte/));
  it('has a damaged header', () => {
    const damaged = Buffer.from(archive);
    damaged.write('zz', 54);
    refuses(damaged, /damaged cpio header/);
  });

  it('is cut off', () => {
    const packed = gzipSync(archive);
    // Ends between two files are what an archive without a trailer looks like, which Linux takes.
    for (const length of [5, 100, 111, 130, archive.length - 3])
      refuses(archive.subarray(0, length), /ends early|neither/);
    for (let length = 1; length < packed.length; length++) {
      assert.throws(() => inspectRamdisk(packed.subarray(0, length)), CorruptData, `cut to ${length}`);
    }
    const zstd = zstdCompressSync(archive);
    refuses(zstd.subarray(0, zstd.length - 9), /zstd/);
    refuses(sample('xzCrc32').subarray(0, 100), /xz/);
    refuses(sample('lz4').subarray(0, 100), /LZ4/);
  });
});
