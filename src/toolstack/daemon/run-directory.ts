/**
 * Where the daemon and its clients meet: one directory for each user, with the sockets, and the logs below it. Every command begins by loading this, so it
 * does without `node:fs`, which takes five milliseconds to import (docs/performance.md).
 */
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { XenError } from '../xen-error.ts';

export interface RunDirectory {
  readonly path: string;
  readonly socket: string;
  /** What libxenstore finds with XENSTORED_RUNDIR set to its directory. */
  readonly xenstoreSocket: string;
  readonly logs: string;
  /** Cores of domains that crashed. */
  readonly dumps: string;
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
  return { path, socket, xenstoreSocket, logs: join(path, 'log'), dumps: dumpDirectory(env, own) };
}

/** Real xl's is /var/lib/xen/dump. A core is as large as its domain, and a runtime directory is in memory. */
function dumpDirectory({ XDG_STATE_HOME: state }: NodeJS.ProcessEnv, own: string | undefined): string {
  if (own) return join(own, 'dump');
  return join(state ? state : join(homedir(), '.local', 'state'), 'xenolith', 'dump');
}
