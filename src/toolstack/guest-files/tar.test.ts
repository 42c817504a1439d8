import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CorruptData } from '../builder/compression/corrupt-data.ts';
import { sample, sampleText } from '../builder/testing/compressed-samples.ts';
import { debData } from './deb.ts';
import { tarEntries, type TarHeader } from './tar.ts';
import { deb, tar } from './testing/synthetic-package.ts';

const all = (): boolean => true;

/** The archive in pieces of an odd size, to meet every boundary. */
function* cut(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function list(bytes: Uint8Array, wanted: (header: TarHeader) => boolean = all, size = 333): [string, string, string][] {
  return [...tarEntries(cut(bytes, size), wanted)].map(({ name, type, content }) => [
    name,
    type,
    Buffer.from(content).toString(),
  ]);
}

describe('a tar archive', () => {
  const longName = `./lib/modules/${'x'.repeat(150)}/a.ko`;
  const archive = tar([
    { name: './', type: '5' },
    { name: './boot/vmlinuz', content: 'kernel' },
    { name: './boot/link', type: '2', linkName: 'vmlinuz' },
    { name: longName, content: 'm'.repeat(2000) },
    { name: './empty' },
  ]);

  it('gives files, folders and links, with long names, whatever the pieces', () => {
    for (const size of [1, 100, 512, 513, archive.length]) {
      const entries = list(archive, all, size);
      assert.deepEqual(
        entries.map(([name, type]) => [name, type]),
        [
          ['', 'directory'],
          ['boot/vmlinuz', 'file'],
          ['boot/link', 'symlink'],
          [longName.slice(2), 'file'],
          ['empty', 'file'],
        ],
      );
      assert.equal(entries[3]?.[2], 'm'.repeat(2000));
    }
  });

  it('gives only what is wanted', () => {
    assert.deepEqual(
      list(archive, ({ name }) => name === 'empty'),
      [['empty', 'file', '']],
    );
  });

  it('takes names from pax headers', () => {
    const fields = 'path=boot/ä\n';
    // The length at the start counts itself, and bytes, not characters.
    const record = `${Buffer.byteLength(fields) + 3} ${fields}`;
    const archive = tar([
      { name: 'PaxHeader', type: 'x', content: record },
      { name: 'short', content: 'x' },
    ]);
    assert.equal(list(archive)[0]?.[0], 'boot/ä');
  });

  it('refuses names that lead outside', () => {
    assert.throws(() => list(tar([{ name: './a/../../etc/passwd' }])), CorruptData);
  });

  it('refuses to end early, anywhere', () => {
    for (let length = 0; length < archive.length - 512; length += 37) {
      assert.throws(() => list(archive.subarray(0, length)), CorruptData, `cut to ${length}`);
    }
  });

  it('notices damaged headers', () => {
    for (let at = 0; at < 512; at += 7) {
      const damaged = Buffer.from(archive);
      damaged[512 + at] = (damaged[512 + at] ?? 0) ^ 0x11;
      assert.throws(() => list(damaged), CorruptData, `byte ${at}`);
    }
  });
});

describe('a Debian package', () => {
  it('gives its data archive, packed in any way that dpkg uses', () => {
    const files = [{ name: './boot/vmlinuz', content: 'kernel' }];
    for (const bytes of [deb(files), deb(files, 'data.tar', tar(files))]) {
      assert.deepEqual([...tarEntries(debData(bytes), all)].length, 1);
    }
    const pieces = [...debData(deb([], 'data.tar.xz', sample('xzCrc32')))].map((piece) => piece.slice());
    assert.equal(Buffer.compare(Buffer.concat(pieces), sampleText()), 0);
  });

  it('is refused when it is none, is cut off, or holds nothing', () => {
    const whole = deb([{ name: './boot/vmlinuz', content: 'kernel' }]);
    // The last byte only pads.
    for (let length = 0; length < whole.length - 1; length++) {
      assert.throws(() => [...tarEntries(debData(whole.subarray(0, length)), all)], CorruptData, `cut to ${length}`);
    }
    assert.throws(() => debData(Buffer.from('not a package at all')), CorruptData);
    assert.throws(() => debData(deb([], 'data.tar.xyz')), /unknown way/);
  });
});
