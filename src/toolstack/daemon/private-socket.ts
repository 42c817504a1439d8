/** Unix sockets of the daemon: for the user who owns the run directory, and nobody else. */
import { chmodSync, rmSync } from 'node:fs';
import { type Server } from 'node:net';

/** Listens where nobody does: the caller holds the lock of the run directory, so a socket that is there already is nobody's. */
export async function listen(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  // The directory is private already; the mask closes the moment before chmod.
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
}
