/** Where the host's own configuration files are: one that the environment names, the user's, or the system's. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { XenError } from '../xen-error.ts';
import { parseText } from './grammar.ts';
import { Settings } from './settings.ts';

export interface HostConfigFile {
  readonly path: string;
  readonly text: string;
}

/** Undefined when there is none. One that `variable` names has to be there. Throws XenError. */
export function readHostConfig(
  name: string,
  variable: string,
  env: NodeJS.ProcessEnv = process.env,
): HostConfigFile | undefined {
  const { [variable]: named, XDG_CONFIG_HOME: home } = env;
  const candidates = named
    ? [named]
    : [join(home ? home : join(homedir(), '.config'), 'xenolith', name), join('/etc/xenolith', name)];
  for (const path of candidates) {
    try {
      return { path, text: readFileSync(path, 'latin1') };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !named) continue;
      throw new XenError(`cannot read the configuration ${path}: ${(error as Error).message}`);
    }
  }
  return undefined;
}

/** The settings of a file in xl.cfg's syntax, which may hold these keys and no others. `lines` are what reading values has to say. */
export function hostSettings(
  text: string,
  source: string,
  keys: readonly string[],
): { readonly settings: Settings; readonly lines: readonly string[] } {
  const lines: string[] = [];
  const parsed = parseText(text, source, (line) => lines.push(line));
  if (parsed.failed) throw new XenError(lines.join('\n') || `${source}: syntax error`);
  const settings = new Settings(parsed, source, (line) => lines.push(line));
  for (const name of settings.names())
    if (!keys.includes(name)) throw wrongSetting(settings, name, `unknown key "${name}"`);
  return { settings, lines };
}

export function wrongSetting(settings: Settings, name: string, message: string): XenError {
  return new XenError(`${settings.source}:${settings.lineOf(name) ?? 1}: ${message}`);
}
