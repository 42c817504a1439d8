/**
 * One daemon for each run directory. The lock is an abstract unix socket: the kernel lets go of it when its holder dies, however it
 * dies, so a lock is never stale. Where there are none (not Linux) the daemon's own socket has to do.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';

export interface Lock {
  release(): void;
}

/** Undefined when another process holds it. */
export function acquireLock(runPath: string): Promise<Lock | undefined> {
  if (process.platform !== 'linux') return Promise.resolve({ release: () => undefined });
  const digest = createHash('sha256')
    .update(`${process.getuid?.() ?? ''}\0${runPath}`)
    .digest('hex')
    .slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen({ path: `\0xenolithd-${digest}` }, () => {
      server.unref();
      resolve({ release: () => void server.close() });
    });
  });
}
