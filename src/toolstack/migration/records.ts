/** Records as libxl's stream and libxc's both have them. */
import { RECORD_ALIGN, RECORD_LENGTH_MAX, RecordHeader } from './stream-format.ts';
import type { ByteSink, ByteSource } from './byte-stream.ts';
import { StreamError } from './byte-stream.ts';

const padding = new Uint8Array(RECORD_ALIGN);
const padded = (length: number): number => (RECORD_ALIGN - (length % RECORD_ALIGN)) % RECORD_ALIGN;

export interface RecordStart {
  readonly type: number;
  readonly length: number;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function writeRecord(sink: ByteSink, type: number, ...body: readonly Uint8Array[]): Promise<void> {
  const length = body.reduce((sum, chunk) => sum + chunk.length, 0);
  const header = new Uint8Array(RecordHeader.size);
  RecordHeader.write(viewOf(header), 0, { type, length });
  return sink.write([header, ...body, padding.subarray(0, padded(length))]);
}

/** The body is to be read next, with `readBody` or in parts and `skipPadding`. */
export async function readRecordStart(source: ByteSource): Promise<RecordStart> {
  const start = RecordHeader.read(viewOf(await source.read(RecordHeader.size)), 0);
  if (start.length > RECORD_LENGTH_MAX)
    throw new StreamError(`the saved domain is damaged: a record of ${start.length} bytes is longer than any can be`);
  return start;
}

export async function readBody(source: ByteSource, { length }: RecordStart): Promise<Uint8Array> {
  return (await source.read(length + padded(length))).subarray(0, length);
}

export async function skipPadding(source: ByteSource, { length }: RecordStart): Promise<void> {
  await source.read(padded(length));
}
