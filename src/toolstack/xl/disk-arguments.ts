/** Disks on command lines of xl. */
import { resolve } from 'node:path';
import { ConfigError } from '../config/config-error.ts';
import { parseDisk } from '../config/disk-spec.ts';
import type { JsonObject } from '../config/json.ts';
import { Exit, type Invocation } from './command.ts';

/** The specification's parts describe one disk together. A wrong one is told, and ends the command. */
export function readDisk({ err }: Invocation, parts: readonly string[]): JsonObject {
  try {
    return parseDisk(parts, 'command line');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    err(error.message);
    throw new Exit(1);
  }
}

/** The daemon works in another directory than the user. A script's target is no path. */
export function withAbsoluteTarget(disk: JsonObject): JsonObject {
  const target = disk['pdev_path'];
  if (typeof target !== 'string' || target === '' || disk['script'] !== undefined) return disk;
  return { ...disk, pdev_path: resolve(target) };
}
