/** From what a program gives to a domain's configuration: the path that `xl create` takes, with its checks and messages. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { ConfigError } from '../config/config-error.ts';
import { joinOverrides } from '../config/config-text.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import { remarks } from '../config/keys.ts';
import { parseConfig } from '../config/parse-config.ts';
import { systemMessage } from '../system-message.ts';
import { withAbsolutePaths } from '../xl/config-file.ts';
import { configLines, pathOf } from './config-text.ts';
import { XenolithError } from './errors.ts';
import type { GuestSource } from './guest-config.ts';

export interface ConfigGlue {
  /** A name for a guest that is given none. */
  readonly freeName: () => string;
  /** What xl writes to standard error of a configuration that can be used. */
  readonly warn: (line: string) => void;
}

/** Throws XenolithError with code CONFIG. */
export function readGuestConfig(source: GuestSource, glue: ConfigGlue): DomainConfig {
  const { file, text, ...typed } = source;
  if (file !== undefined && text !== undefined)
    throw new XenolithError('CONFIG', 'a guest is made of a file or of a text, not of both');
  const name = file === undefined ? (text === undefined ? 'guest' : 'text') : pathOf(file);
  const given = file === undefined ? Buffer.from(text ?? '') : readFile(name);
  // What is said of a text without a name is what xl says.
  const named = file ?? text ?? typed.name;
  const lines = configLines(named === undefined ? { ...typed, name: glue.freeName() } : typed);
  const said: string[] = [];
  try {
    const { config, settings } = parseConfig(
      joinOverrides(given, lines),
      name,
      { cpus: availableParallelism() },
      (line) => said.push(line),
    );
    for (const line of [...said, ...remarks(settings)]) glue.warn(line);
    return withAbsolutePaths(config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const all = [...said, ...(error.message === '' ? [] : [error.message])];
    throw new XenolithError('CONFIG', all.join('\n'), { lines: all, cause: error });
  }
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const message = `Failed to read config file: ${path}: ${systemMessage(error)}`;
    throw new XenolithError('CONFIG', message, { cause: error });
  }
}
