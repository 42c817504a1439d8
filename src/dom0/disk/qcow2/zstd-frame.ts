/** How long a zstd frame is (RFC 8878, "Frame Format"): behind it in the same sectors is another cluster's, which is not to be unpacked. */
const MAGIC = 0xfd2fb528;
const BLOCK_HEADER = 3;
const RLE_BLOCK = 1;

const dictionaryIdSizes = [0, 1, 2, 4];
const contentSizeSizes = [0, 2, 4, 8];

/** Undefined when there is no whole frame. */
export function zstdFrameLength(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 6 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSize = contentSizeSizes[descriptor >> 6] ?? 0;
  let at = 5 + (isSingleSegment ? 0 : 1) + (dictionaryIdSizes[descriptor & 3] ?? 0);
  at += contentSize === 0 && isSingleSegment ? 1 : contentSize;
  for (let isLast = false; !isLast;) {
    if (at + BLOCK_HEADER > bytes.length) return undefined;
    const header = view.getUint16(at, true) + view.getUint8(at + 2) * 65536;
    isLast = (header & 1) !== 0;
    at += BLOCK_HEADER + (((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3);
  }
  if ((descriptor & 4) !== 0) at += 4;
  return at <= bytes.length ? at : undefined;
}
