/** The configuration in front of a saved guest, as `xl save` writes it and `xl restore` reads it. */
import { open } from 'node:fs/promises';
import type { HostParts } from '../assembly/assemble-host.ts';
import { configFromJson, type DomainConfig } from '../config/domain-config.ts';
import { formatJson, type JsonObject, type JsonValue } from '../config/json.ts';
import * as read from '../daemon/parameters.ts';
import { retrieveConfig } from '../daemon/retrieve-config.ts';
import { StreamError, type ByteSource } from '../migration/byte-stream.ts';
import { readSaveFileHeader, saveFileHeader } from '../migration/save-file.ts';
import { mappedSource } from '../migration/transfer.ts';
import { systemMessage } from '../system-message.ts';
import { XenError } from '../xen-error.ts';
import { IterableSource } from './byte-pipes.ts';
import { pathOf } from './config-text.ts';
import { XenolithError } from './errors.ts';

export function savedHeader(parts: HostParts, domid: number): Uint8Array {
  const json = retrieveConfig(parts, domid) as JsonObject;
  const { domid: _, ...c_info } = json['c_info'] as JsonObject;
  return saveFileHeader(`${formatJson({ ...json, c_info })}\n`).bytes;
}

/** Whoever wrote it may be anybody, so it is checked as what comes from a client of the daemon. Throws StreamError. */
export async function readSavedConfig(source: ByteSource): Promise<DomainConfig> {
  const { text } = await readSaveFileHeader(source);
  let json: JsonValue;
  try {
    json = JSON.parse(text) as JsonValue;
  } catch {
    json = null;
  }
  const config = configFromJson(json);
  if (config === undefined)
    throw new StreamError('Failed to parse the configuration of the saved domain: it is no JSON of a domain');
  try {
    return read.config({ config: config as unknown as JsonObject });
  } catch (error) {
    if (!(error instanceof XenError)) throw error;
    throw new StreamError(`the configuration of the saved domain cannot be used: ${error.message}`);
  }
}

/** A saved guest, until it is disposed of. */
export interface SavedGuest extends AsyncDisposable {
  readonly bytes: ByteSource;
  /** The domain of this number is made of it. */
  readonly complete: (domid: number) => void;
  /** It has not become a domain. */
  readonly giveUp: () => void;
}

export async function openSaved(
  parts: Parameters<typeof mappedSource>[0],
  source: string | URL | AsyncIterable<Uint8Array>,
): Promise<SavedGuest> {
  if (typeof source !== 'string' && !(source instanceof URL)) {
    const bytes = new IterableSource(source);
    const nothing = (): void => undefined;
    return { bytes, complete: nothing, giveUp: nothing, [Symbol.asyncDispose]: () => bytes.close() };
  }
  const path = pathOf(source);
  const file = await open(path).catch((error: unknown) => {
    throw new XenolithError('FAILED', `Can't open restore file: ${path}: ${systemMessage(error)}`, { cause: error });
  });
  const { source: bytes, complete, giveUp } = mappedSource(parts, file, 0);
  return { bytes, complete, giveUp, [Symbol.asyncDispose]: () => file.close() };
}
