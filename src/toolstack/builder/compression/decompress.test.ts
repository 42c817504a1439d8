import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { sample, sampleCode, samplePeriodic, sampleText } from '../testing/compressed-samples.ts';
import { CorruptData } from './corrupt-data.ts';
import { compressionOf, decompressPayload, decompressStream } from './decompress.ts';
import { gunzipMember } from './gzip.ts';
import { checkLz4Legacy } from './lz4-legacy.ts';
import { checkXzEnd, unxz } from './xz.ts';

const LIMIT = 1 << 24;

/** As the kernel's build appends it to all formats but gzip. */
function withSize(stream: Uint8Array, size: number): Uint8Array {
  const all = Buffer.alloc(stream.length + 4);
  all.set(stream);
  all.writeUInt32LE(size, stream.length);
  return all;
}

function same(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(Buffer.compare(actual, expected), 0);
}

describe('xz', () => {
  it('unpacks a stream with CRC-32', () => same(decompressStream(sample('xzCrc32')), sampleText()));
  it('unpacks several blocks with CRC-64', () => same(decompressStream(sample('xzCrc64Blocks')), sampleText()));
  it('unpacks a stream whose check it does not know', () => same(decompressStream(sample('xzSha256')), sampleText()));
  it('undoes the x86 filter', () => same(decompressStream(sample('xzX86')), sampleCode()));
  it('keeps the whole dictionary when its buffer slides', () => {
    same(decompressStream(sample('xzSliding')), samplePeriodic());
  });

  it('stops at the end of the stream and says where that is', () => {
    const stream = sample('xzCrc32');
    const pieces = unxz(withSize(stream, 22092));
    let step = pieces.next();
    while (!step.done) step = pieces.next();
    assert.equal(step.value.end, stream.length);
  });

  it('refuses every stream that is cut off', () => {
    for (const name of ['xzCrc32', 'xzX86'] as const) {
      const stream = sample(name);
      for (let length = 0; length < stream.length; length++) {
        assert.throws(() => decompressStream(stream.subarray(0, length)), CorruptData, `${name} cut to ${length}`);
      }
    }
  });

  it('notices any damaged byte', () => {
    const stream = sample('xzCrc32');
    for (let at = 0; at < stream.length; at++) {
      const damaged = stream.slice();
      damaged[at] = (damaged[at] as number) ^ 0x55;
      assert.throws(() => decompressStream(damaged), CorruptData, `byte ${at}`);
    }
  });

  it('tells from the end alone whether a stream is whole', () => {
    const stream = sample('xzCrc32');
    checkXzEnd(stream);
    checkXzEnd(new Uint8Array([...stream, 0, 0, 0, 0]));
    assert.throws(() => checkXzEnd(stream.subarray(0, stream.length - 4)), CorruptData);
  });
});

describe('LZMA alone', () => {
  it('unpacks to the end marker', () => same(decompressStream(sample('lzma')), sampleText()));

  it('unpacks a stream that says its size', () => {
    const stream = sample('lzma');
    new DataView(stream.buffer).setUint32(5, sampleText().length, true);
    new DataView(stream.buffer).setUint32(9, 0, true);
    same(decompressStream(stream), sampleText());
    assert.throws(() => decompressStream(stream.subarray(0, 40)), CorruptData);
  });

  it('refuses a stream that is cut off', () => {
    const stream = sample('lzma');
    for (let length = 0; length < stream.length - 5; length++) {
      assert.throws(() => decompressStream(stream.subarray(0, length)), CorruptData, `cut to ${length}`);
    }
  });
});

describe('LZ4 legacy', () => {
  const text = sampleText();

  it('unpacks as much as the appended size says', () => {
    same(decompressPayload(withSize(sample('lz4'), text.length)), text);
  });

  it('refuses a size that the blocks do not yield', () => {
    assert.throws(() => decompressPayload(withSize(sample('lz4'), text.length + 1)), CorruptData);
    assert.throws(() => decompressPayload(withSize(sample('lz4'), text.length - 1)), CorruptData);
    assert.throws(() => decompressPayload(withSize(sample('lz4'), 0xffffffff)), CorruptData);
  });

  it('never reads or writes outside its block, whatever is damaged', () => {
    const stream = sample('lz4');
    for (let at = 4; at < stream.length; at++) {
      for (const value of [0, 0xff, (stream[at] as number) ^ 0x10]) {
        const damaged = stream.slice();
        damaged[at] = value;
        try {
          decompressPayload(withSize(damaged, text.length));
        } catch (error) {
          assert.ok(error instanceof CorruptData, String(error));
        }
      }
    }
  });

  it('is checked by walking its blocks', () => {
    checkLz4Legacy(sample('lz4'));
    assert.throws(() => checkLz4Legacy(sample('lz4').subarray(0, 100)), CorruptData);
  });
});

describe('gzip and zstd', () => {
  const text = sampleText();

  it('unpacks one gzip member and says where it ends', () => {
    const member = gzipSync(text);
    const { plain, end } = gunzipMember(Buffer.concat([member, Buffer.from('anything')]), LIMIT);
    same(plain, text);
    assert.equal(end, member.length);
  });

  it('refuses gzip data that is cut off, damaged or too large', () => {
    const member = gzipSync(text);
    for (let length = 0; length < member.length; length++) {
      assert.throws(() => gunzipMember(member.subarray(0, length), LIMIT), CorruptData, `cut to ${length}`);
    }
    const damaged = Buffer.from(member);
    damaged.writeUInt32LE(1, member.length - 8);
    assert.throws(() => gunzipMember(damaged, LIMIT), CorruptData);
    assert.throws(() => gunzipMember(member, 100), CorruptData);
  });

  it('unpacks zstd with a size behind it', () => {
    same(decompressPayload(withSize(zstdCompressSync(text), text.length)), text);
  });

  it('refuses zstd data that is cut off', () => {
    const stream = zstdCompressSync(text);
    assert.throws(() => decompressPayload(withSize(stream.subarray(0, 50), text.length)), CorruptData);
  });
});

describe('recognition', () => {
  it('names each format by its first bytes', () => {
    assert.equal(compressionOf(sample('xzCrc32')), 'xz');
    assert.equal(compressionOf(sample('lz4')), 'lz4');
    assert.equal(compressionOf(sample('lzma')), 'lzma');
    assert.equal(compressionOf(gzipSync('x')), 'gzip');
    assert.equal(compressionOf(Buffer.from('BZh9')), 'bzip2');
    assert.equal(compressionOf(new Uint8Array()), undefined);
  });

  it('says which format it cannot unpack', () => {
    assert.throws(() => decompressPayload(Buffer.from('BZh91AY')), /bzip2 compression is not supported/);
    assert.throws(() => decompressPayload(Buffer.from('none of these')), /compression not known/);
  });
});
