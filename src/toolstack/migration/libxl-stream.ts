/** libxl's stream: for a PV guest nothing but a frame around libxc's. */
import { LIBXL_HEADER, LIBXL_RECORD, RECORD_OPTIONAL } from './stream-format.ts';
import { StreamError, type ByteSink, type ByteSource } from './byte-stream.ts';
import { readBody, readRecordStart, viewOf, writeRecord } from './records.ts';

const IDENT_SIZE = LIBXL_HEADER.ident.length;

/** `domain` writes libxc's stream. */
export async function writeLibxlStream(sink: ByteSink, domain: () => Promise<unknown>): Promise<void> {
  const header = new Uint8Array(LIBXL_HEADER.size);
  header.set(new TextEncoder().encode(LIBXL_HEADER.ident));
  viewOf(header).setUint32(IDENT_SIZE, LIBXL_HEADER.version);
  await sink.write([header]);
  await writeRecord(sink, LIBXL_RECORD.LIBXC_CONTEXT);
  await domain();
  await writeRecord(sink, LIBXL_RECORD.END);
}

/** `domain` reads libxc's stream up to its end. */
export async function readLibxlStream(source: ByteSource, domain: () => Promise<void>): Promise<void> {
  const header = await source.read(LIBXL_HEADER.size);
  const view = viewOf(header);
  if (new TextDecoder('latin1').decode(header.subarray(0, IDENT_SIZE)) !== LIBXL_HEADER.ident)
    throw new StreamError('the saved domain is damaged: it has no stream of libxl');
  const version = view.getUint32(IDENT_SIZE);
  const options = view.getUint32(IDENT_SIZE + 4);
  if (version !== LIBXL_HEADER.version)
    throw new StreamError(`the saved domain's stream is of version ${version}, which is not supported`);
  if (options !== 0)
    throw new StreamError('the saved domain was written in big-endian order or converted, which is not supported');
  let seen = false;
  for (;;) {
    const start = await readRecordStart(source);
    if (start.type === LIBXL_RECORD.END) break;
    if (start.type === LIBXL_RECORD.LIBXC_CONTEXT && !seen) {
      await readBody(source, start);
      await domain();
      seen = true;
    } else if (start.type >= RECORD_OPTIONAL) await readBody(source, start);
    else
      throw new StreamError(
        `the saved domain has a record 0x${start.type.toString(16)} of libxl, which no PV domain needs`,
      );
  }
  if (!seen) throw new StreamError('the saved domain is damaged: it has no memory');
}
