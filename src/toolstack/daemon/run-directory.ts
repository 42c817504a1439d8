/** Where the daemon and its clients meet: one directory for each user, with the sockets, and the logs below it. */
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { XenError } from '../xen-error.ts';

export interface RunDirectory {
  readonly path: string;
  readonly socket: string;
  /** What libxenstore finds with XENSTORED_RUNDIR set to its directory. */
  readonly xenstoreSocket: string;
  readonly logs: string;
}

/** sockaddr_un's sun_path, with its NUL. */
const maxSocketPath = 107;

/** `XENOLITH_RUN_DIR`, or `xenolith` in the user's runtime directory, or a private directory among the temporary files. */
export function runDirectory(env: NodeJS.ProcessEnv = process.env): RunDirectory {
  const { XENOLITH_RUN_DIR: own, XDG_RUNTIME_DIR: runtime } = env;
  const path = own
    ? own
    : runtime
      ? join(runtime, 'xenolith')
      : join(tmpdir(), `xenolith-${process.getuid?.() ?? 'user'}`);
  const socket = join(path, 'xenolithd.sock');
  const xenstoreSocket = join(path, 'xenstored', 'socket');
  for (const each of [socket, xenstoreSocket]) {
    if (Buffer.byteLength(each) > maxSocketPath) {
      throw new XenError(`the path of the daemon's socket is too long: ${each}`, {
        hint: 'set XENOLITH_RUN_DIR to a shorter one',
      });
    }
  }
  return { path, socket, xenstoreSocket, logs: join(path, 'log') };
}

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
