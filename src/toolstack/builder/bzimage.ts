/** Finds the compressed vmlinux inside a bzImage; the code around it never runs in a PV domain. */
import {
  DEFAULT_SETUP_SECTS,
  HDRS_MAGIC,
  SECTOR_SIZE,
  SETUP_HEADER_AT,
  SetupHeader,
  VERSION_WITH_PAYLOAD,
} from '../../abi/bzimage.ts';

/** The file has the mark of a bzImage but cannot be used; the message says why. */
export class BzImageError extends Error {
  override readonly name = 'BzImageError';
}

/** `undefined` when the file is no bzImage at all. */
export function bzImagePayload(file: Uint8Array): Uint8Array | undefined {
  if (file.length < SETUP_HEADER_AT + SetupHeader.size) return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const header = SetupHeader.read(view, SETUP_HEADER_AT);
  if (header.header !== HDRS_MAGIC) return undefined;
  if (header.version < VERSION_WITH_PAYLOAD) {
    throw new BzImageError(`boot protocol ${version(header.version)} is too old, 2.08 is needed`);
  }
  const sectors = (header.setup_sects === 0 ? DEFAULT_SETUP_SECTS : header.setup_sects) + 1;
  const start = sectors * SECTOR_SIZE + header.payload_offset;
  const end = start + header.payload_length;
  if (header.payload_length === 0) throw new BzImageError('the kernel has no payload');
  if (end > file.length) {
    throw new BzImageError(`the file is cut off: its payload ends at byte ${end}, the file at ${file.length}`);
  }
  return file.subarray(start, end);
}

function version(protocol: number): string {
  return `${protocol >>> 8}.${String(protocol & 0xff).padStart(2, '0')}`;
}
