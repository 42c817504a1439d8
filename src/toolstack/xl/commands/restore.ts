/** `xl restore` */
import { resolve } from 'node:path';
import type { DomainConfig } from '../../config/domain-config.ts';
import type { JsonObject } from '../../config/json.ts';
import { XlSaveHeader } from '../../migration/stream-format.ts';
import { attempt, printHelp, readArguments, type Invocation } from '../command.ts';
import { parseOrExit, readConfig, withAbsolutePaths } from '../config-file.ts';
import { showFrames } from '../frames-progress.ts';
import { readHeader, savedConfig, savedInfo } from '../saved-config.ts';

const long = { vncviewer: 'V', 'vncviewer-autopass': 'A' };

export async function run(invocation: Invocation): Promise<number> {
  const { err } = invocation;
  const { has, arguments: given } = await readArguments(invocation, { short: 'FcpdeVA', long }, 1);
  const [configFile, file] = given.length === 1 ? [undefined, given[0]] : given;
  if (file === undefined || given.length > 2) {
    await printHelp(invocation, 'restore');
    return 1;
  }
  const saved = await readHeader(file, err);
  err(`Loading new save file ${file} (new xl fmt info ${savedInfo(saved)})`);
  err(' Savefile contains xl domain config in JSON format');
  err(`Parsing config from ${configFile ?? '<saved>'}`);
  const config = configFile === undefined ? savedConfig(saved, err) : configOf(configFile, err);
  const client = await invocation.daemon();
  const frames = showFrames(err);
  client.onEvent = frames.event;
  const failure = await attempt(invocation, () =>
    client.call('restore', {
      config: config as unknown as JsonObject,
      path: resolve(file),
      offset: XlSaveHeader.size + saved.optionalLength,
      paused: has('p'),
      monitor: !has('e'),
      foreground: false,
    }),
  );
  return failure === undefined ? 0 : -failure;
}

function configOf(file: string, err: (line: string) => void): DomainConfig {
  return withAbsolutePaths(parseOrExit(readConfig(file, [], err, 1), file, err).config);
}
