/** The beginning of a file that `xl save` writes and of what `xl migrate` sends: the domain's configuration. */
import {
  RECORD_ALIGN,
  RECORD_LENGTH_MAX,
  XL_BYTE_ORDER,
  XL_MAGIC,
  XL_MANDATORY_FLAG,
  XlSaveHeader,
} from './stream-format.ts';
import { StreamError, type ByteSource } from './byte-stream.ts';
import { viewOf } from './records.ts';

export interface SavedConfig {
  /** JSON as `xl list -l` prints it. */
  readonly text: string;
  readonly mandatoryFlags: number;
  readonly optionalFlags: number;
  readonly optionalLength: number;
}

const LENGTH_SIZE = 4;
const { JSON: JSON_FLAG, STREAM_V2 } = XL_MANDATORY_FLAG;
const known = JSON_FLAG | STREAM_V2;

export function saveFileHeader(configText: string): { readonly bytes: Uint8Array; readonly config: SavedConfig } {
  // xl's text ends with a zero byte; with more of them the stream begins where its records are aligned in a file.
  const end = XlSaveHeader.size + LENGTH_SIZE + Buffer.byteLength(configText) + 1;
  const text = new TextEncoder().encode(
    `${configText}\0${'\0'.repeat((RECORD_ALIGN - (end % RECORD_ALIGN)) % RECORD_ALIGN)}`,
  );
  const config = {
    text: configText,
    mandatoryFlags: known,
    optionalFlags: 0,
    optionalLength: LENGTH_SIZE + text.length,
  };
  const bytes = new Uint8Array(XlSaveHeader.size + config.optionalLength);
  const view = viewOf(bytes);
  XlSaveHeader.write(view, 0, {
    magic: new TextEncoder().encode(XL_MAGIC),
    byteorder: XL_BYTE_ORDER,
    mandatory_flags: config.mandatoryFlags,
    optional_flags: config.optionalFlags,
    optional_data_len: config.optionalLength,
  });
  view.setUint32(XlSaveHeader.size, text.length, true);
  bytes.set(text, XlSaveHeader.size + LENGTH_SIZE);
  return { bytes, config };
}

/** Throws StreamError in xl's words where it has some. */
export async function readSaveFileHeader(source: ByteSource): Promise<SavedConfig> {
  const header = XlSaveHeader.read(viewOf(await source.read(XlSaveHeader.size)), 0);
  if (new TextDecoder('latin1').decode(header.magic) !== XL_MAGIC)
    throw new StreamError('File has wrong magic number - corrupt or for a different tool?');
  if (header.byteorder !== XL_BYTE_ORDER) throw new StreamError('File has wrong byte order');
  const unknown = (header.mandatory_flags & ~known) >>> 0;
  if (unknown !== 0)
    throw new StreamError(
      `Savefile has mandatory flag(s) 0x${unknown.toString(16)} which are not supported; need newer xl`,
    );
  if (header.mandatory_flags !== known)
    throw new StreamError('the saved domain is in the format of Xen 4.5 or earlier, which is not supported');
  const optionalLength = header.optional_data_len;
  if (optionalLength < LENGTH_SIZE || optionalLength > RECORD_LENGTH_MAX)
    throw new StreamError('Corrupt savefile header: its length cannot be');
  const optional = await source.read(optionalLength);
  const length = viewOf(optional).getUint32(0, true);
  if (length > optionalLength - LENGTH_SIZE)
    throw new StreamError('Optional data has bad length: corrupt savefile header');
  const text = new TextDecoder().decode(optional.subarray(LENGTH_SIZE, LENGTH_SIZE + length)).replace(/\0[^]*$/, '');
  return { text, mandatoryFlags: header.mandatory_flags, optionalFlags: header.optional_flags, optionalLength };
}
