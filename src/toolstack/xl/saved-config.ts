/** The configuration in front of a saved domain: what `xl save` and `xl migrate` write there, and what `xl restore` makes of it. */
import { open, type FileHandle } from 'node:fs/promises';
import { configFromJson, configToJson, type DomainConfig } from '../config/domain-config.ts';
import { formatJson, type JsonObject, type JsonValue } from '../config/json.ts';
import { StreamError } from '../migration/byte-stream.ts';
import { FileSource } from '../migration/file-stream.ts';
import { readSaveFileHeader, saveFileHeader, type SavedConfig } from '../migration/save-file.ts';
import { systemMessage } from '../system-message.ts';
import { Exit, type Invocation } from './command.ts';
import { parseOrExit, readConfig, withAbsolutePaths } from './config-file.ts';

/** Characters of a configuration; those of real domains have some thousand. It has to fit into a request to the daemon. */
const LONGEST = 256 * 1024;

export interface HeaderOptions {
  /** A configuration file in place of what the domain was made from. */
  readonly configFile?: string | undefined;
  /** Whoever restores it shall give it the same number. */
  readonly keepDomid?: boolean;
}

export async function headerOf(
  invocation: Invocation,
  domid: number,
  { configFile, keepDomid = false }: HeaderOptions,
): Promise<{ readonly bytes: Uint8Array; readonly info: string }> {
  const json = configFile === undefined ? await runningConfig(invocation, domid) : fileConfig(invocation, configFile);
  const { domid: _, ...c_info } = json['c_info'] as JsonObject;
  const named = { ...json, c_info: keepDomid ? { ...c_info, domid } : c_info };
  const { bytes, config } = saveFileHeader(`${formatJson(named)}\n`);
  return { bytes, info: savedInfo(config) };
}

/** Of a saved domain's file. Ends xl when there is none. */
export async function readHeader(file: string, err: (line: string) => void): Promise<SavedConfig> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file);
    return await readSaveFileHeader(new FileSource(handle, 0));
  } catch (error) {
    if (error instanceof StreamError) err(error.message);
    else err(`Can't open restore file: ${systemMessage(error)}`);
    throw new Exit(1);
  } finally {
    await handle?.close();
  }
}

/** As xl prints it of what it writes and reads. */
export function savedInfo({ mandatoryFlags, optionalFlags, optionalLength }: SavedConfig): string {
  return `0x${mandatoryFlags.toString(16)}/0x${optionalFlags.toString(16)}/${optionalLength}`;
}

/** Ends xl when it is no configuration. */
export function savedConfig({ text }: SavedConfig, err: (line: string) => void): DomainConfig {
  if (text.length > LONGEST) {
    err(`Failed to parse the configuration of the saved domain: its ${text.length} characters are more than any has`);
    throw new Exit(1);
  }
  let json: JsonValue;
  try {
    json = JSON.parse(text) as JsonValue;
  } catch {
    json = null;
  }
  const config = configFromJson(json);
  if (config !== undefined) return config;
  err('Failed to parse the configuration of the saved domain: it is no JSON of a domain');
  throw new Exit(1);
}

async function runningConfig(invocation: Invocation, domid: number): Promise<JsonObject> {
  const client = await invocation.daemon();
  const { configs } = await client.call('configs', { domid });
  const config = configs[0]?.['config'];
  if (typeof config === 'object' && config !== null) return config as JsonObject;
  invocation.err(`unable to retrieve domain configuration`);
  throw new Exit(1);
}

function fileConfig({ err }: Invocation, file: string): JsonObject {
  const { config } = parseOrExit(readConfig(file, [], err, 1), file, err);
  return configToJson(withAbsolutePaths(config));
}
