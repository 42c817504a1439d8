/** The old .lzma format: properties, dictionary size, plain size or ~0 for "until the end marker", then one stretch of LZMA. */
import { CorruptData } from './corrupt-data.ts';
import { LzmaDecoder } from './lzma.ts';

const HEADER_SIZE = 13;

export function unlzma(input: Uint8Array, maxSize: number): Uint8Array {
  if (input.length < HEADER_SIZE) throw new CorruptData('LZMA data ends early');
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  const lo = view.getUint32(5, true);
  const hi = view.getUint32(9, true);
  const isSized = lo !== 0xffffffff || hi !== 0xffffffff;
  const size = hi * 2 ** 32 + lo;
  if (isSized && size > maxSize) throw new CorruptData(`LZMA data unpacks to more than ${maxSize} bytes`);
  const decoder = new LzmaDecoder();
  decoder.setProperties(input[0] as number);
  decoder.start(input, HEADER_SIZE);

  // The whole output is the dictionary: it is never smaller than what a valid stream refers to.
  let out = new Uint8Array(isSized ? size : Math.min(maxSize, input.length * 8));
  let pos = 0;
  while (decoder.decode(input, input.length, out, pos, out.length, 0) === 'full') {
    // An end marker may follow all the same; there is no checksum that would be worth looking for.
    if (isSized) return out;
    if (out.length === maxSize) throw new CorruptData(`LZMA data unpacks to more than ${maxSize} bytes`);
    pos = out.length;
    const grown = new Uint8Array(Math.min(maxSize, 2 * out.length));
    grown.set(out);
    out = grown;
  }
  if (isSized) throw new CorruptData('LZMA data is shorter than it says');
  return out.subarray(0, decoder.outPos);
}
