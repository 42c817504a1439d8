/**
 * How consoles are logged, console.cfg: what a Xen host gives xenconsoled as options, under their names, and how large logs may become.
 * docs/console.md has all of it. Without a file everything is logged, without time stamps.
 */
import { resolve } from 'node:path';
import { XenError } from '../xen-error.ts';
import { hostSettings, readHostConfig, wrongSetting } from './host-config.ts';
import type { Settings } from './settings.ts';

export interface ConsoleConfig {
  readonly log: Sources;
  readonly timestamp: Sources;
  readonly replaceEscape: boolean;
  /** Where the logs are; the run directory's own when absent. */
  readonly logDir: string | undefined;
  /** Bytes of a file before it is set aside. */
  readonly logSize: number;
  /** Files that were set aside and are kept, of each log. */
  readonly logFiles: number;
}

/** Whose console something is done with. */
export interface Sources {
  readonly guest: boolean;
  readonly hv: boolean;
}

const sources: Readonly<Record<string, Sources>> = {
  none: { guest: false, hv: false },
  guest: { guest: true, hv: false },
  hv: { guest: false, hv: true },
  all: { guest: true, hv: true },
};
const keys = ['log', 'timestamp', 'replace_escape', 'log_dir', 'log_size', 'log_files'];
const KIB = 1024;
const sizes = { least: 4, usual: 4096, most: 1024 * 1024 } as const;
const counts = { least: 0, usual: 4, most: 99 } as const;

/** Of the file that the daemon reads. Throws XenError. */
export function readConsoleConfig(env: NodeJS.ProcessEnv = process.env): ConsoleConfig {
  const file = readHostConfig('console.cfg', 'XENOLITH_CONSOLE_CONFIG', env);
  return parseConsoleConfig(file?.text ?? '', file?.path ?? 'console.cfg');
}

/** Throws XenError with the first thing that is wrong. */
export function parseConsoleConfig(text: string, source: string): ConsoleConfig {
  const { settings, lines } = hostSettings(text, source, keys);
  const config = {
    log: sourcesOf(settings, 'log', 'all'),
    timestamp: sourcesOf(settings, 'timestamp', 'none'),
    replaceEscape: number(settings, 'replace_escape', { least: 0, usual: 0, most: 1 }) === 1,
    logDir: directory(settings),
    logSize: number(settings, 'log_size', sizes) * KIB,
    logFiles: number(settings, 'log_files', counts),
  };
  if (lines.length > 0) throw new XenError(lines.join('\n'));
  return config;
}

function sourcesOf(settings: Settings, name: string, usual: string): Sources {
  const value = settings.string(name) ?? usual;
  const found = Object.hasOwn(sources, value) ? sources[value] : undefined;
  if (found === undefined) throw wrongSetting(settings, name, `${name} is none, guest, hv or all, not "${value}"`);
  return found;
}

function number(
  settings: Settings,
  name: string,
  { least, usual, most }: { readonly least: number; readonly usual: number; readonly most: number },
): number {
  const value = settings.long(name) ?? usual;
  if (value >= least && value <= most) return value;
  throw wrongSetting(settings, name, `${name} is a number from ${least} to ${most}, not ${value}`);
}

function directory(settings: Settings): string | undefined {
  const value = settings.string('log_dir');
  if (value === '') throw wrongSetting(settings, 'log_dir', 'log_dir is empty');
  return value === undefined ? undefined : resolve(value);
}
