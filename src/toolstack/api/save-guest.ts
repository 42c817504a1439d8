/** Writing a guest down: into a file as `xl save` does, or into a stream. */
import { open, rm } from 'node:fs/promises';
import type { HostParts } from '../assembly/assemble-host.ts';
import type { ByteSink } from '../migration/byte-stream.ts';
import { FileSink } from '../migration/file-stream.ts';
import { becomes, partOf, replaceable } from '../migration/save-path.ts';
import { saveTo, type AfterSave } from '../migration/transfer.ts';
import { systemMessage } from '../system-message.ts';
import { StreamSink } from './byte-pipes.ts';
import { pathOf } from './config-text.ts';
import { XenolithError } from './errors.ts';
import { savedHeader } from './saved-guest.ts';
import { listener, type OnTransferProgress } from './transfer-progress.ts';
import type { WaitOptions } from './wait-options.ts';

/** How a guest is saved. */
export interface SaveOptions extends WaitOptions {
  /** What becomes of the guest once it is saved. Default `destroy`, as `xl save`. */
  readonly after?: AfterSave;
  /** Hears how far it is. */
  readonly onProgress?: OnTransferProgress;
}

interface SaveGlue {
  readonly parts: HostParts;
  readonly log: (line: string) => void;
}

/** A guest that cannot be saved goes on, and nothing is left of the file. */
export async function saveGuest(
  glue: SaveGlue,
  domid: number,
  target: string | URL | WritableStream<Uint8Array>,
  options: SaveOptions,
): Promise<void> {
  if (target instanceof WritableStream) await intoStream(glue, domid, target, options);
  else await intoFile(glue, domid, pathOf(target), options);
}

async function intoFile(glue: SaveGlue, domid: number, path: string, options: SaveOptions): Promise<void> {
  const name = replaceable(path);
  const draft = name === undefined ? path : partOf(name);
  const file = await open(draft, 'w', 0o600).catch((error: unknown) => {
    throw new XenolithError('FAILED', `Failed to open temp file ${path} for writing: ${systemMessage(error)}`, {
      cause: error,
    });
  });
  const complete = async (): Promise<void> => {
    await file.datasync();
    options.signal?.throwIfAborted();
    if (name !== undefined) await becomes(draft, name);
  };
  try {
    await write(glue, domid, new FileSink(file, 0), complete, options);
  } catch (error) {
    if (name !== undefined) await rm(draft, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function intoStream(
  glue: SaveGlue,
  domid: number,
  stream: WritableStream<Uint8Array>,
  options: SaveOptions,
): Promise<void> {
  const sink = new StreamSink(stream);
  try {
    await write(glue, domid, sink, () => sink.end(), options);
  } catch (error) {
    await sink.abandon(error);
    throw error;
  }
}

async function write(
  { parts, log }: SaveGlue,
  domid: number,
  sink: ByteSink,
  complete: () => Promise<void>,
  { after = 'destroy', signal, onProgress }: SaveOptions,
): Promise<void> {
  await sink.write([savedHeader(parts, domid)]);
  await saveTo(parts, domid, sink, { after, signal, complete }, listener(log, onProgress));
}
