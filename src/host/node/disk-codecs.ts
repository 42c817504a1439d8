/** Compression of image formats, by Node's zlib on its thread pool. */
import { constants, deflateRaw, inflateRaw, zstdCompress, zstdDecompress } from 'node:zlib';
import { type Codecs } from '../../dom0/disk/index.ts';

type Convert = (done: (error: Error | null, result: Uint8Array) => void) => void;

function converted(convert: Convert): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    convert((error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

export const nodeCodecs: Codecs = {
  inflateRaw: (bytes, limit) =>
    converted((done) => inflateRaw(bytes, { maxOutputLength: limit, finishFlush: constants.Z_SYNC_FLUSH }, done)),
  // qcow2 promises readers a window of 4 KiB (docs/interop/qcow2.txt, "Compressed Clusters").
  deflateRaw: (bytes) => converted((done) => deflateRaw(bytes, { windowBits: 12 }, done)),
  zstdDecompress: (bytes, limit) => converted((done) => zstdDecompress(bytes, { maxOutputLength: limit }, done)),
  zstdCompress: (bytes) => converted((done) => zstdCompress(bytes, done)),
};
