/** Makes the run directory for who starts a daemon. */
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { XenError } from '../xen-error.ts';
import type { RunDirectory } from './run-directory.ts';

/** Makes the directories, for this user alone. A directory that somebody else made in /tmp is not trusted. */
export function prepareRunDirectory({ path, xenstoreSocket, logs }: RunDirectory): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const status = lstatSync(path);
  const user = process.getuid?.();
  if (!status.isDirectory()) throw new XenError(`${path} is not a directory`);
  if (user !== undefined && status.uid !== user) throw new XenError(`${path} belongs to another user`);
  if ((status.mode & 0o077) !== 0) chmodSync(path, 0o700);
  for (const below of [logs, dirname(xenstoreSocket)]) mkdirSync(below, { recursive: true, mode: 0o700 });
}
