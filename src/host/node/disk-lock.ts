/**
 * Who writes an image has it alone. Node has no advisory locks, so the lock is an abstract unix socket that names the file's device and
 * inode: the kernel lets go of it when its holder dies, however it dies. Writers of this program are kept apart by it, over all its
 * processes, and away from readers; other programs do not know of it. Where there are no abstract sockets (not Linux) it holds within one process.
 */
import { connect, createServer, type Server } from 'node:net';

interface Holder {
  writers: number;
  readers: number;
  server: Server | undefined;
}

/** By device and inode; this process' own holders. */
const holders = new Map<string, Holder>();

/** What opens the file: `write` wants it alone, `read` with other readers, `look` does not mind a writer. */
export type LockMode = 'write' | 'read' | 'look';

/** Lets go of it, or is undefined when somebody else is in the way. */
export async function lockImage(key: string, mode: LockMode): Promise<(() => void) | undefined> {
  if (mode === 'look') return () => undefined;
  const holder = holders.get(key) ?? { writers: 0, readers: 0, server: undefined };
  if (holder.writers > 0 || (mode === 'write' && holder.readers > 0)) return undefined;
  holders.set(key, holder);
  const count = mode === 'write' ? 'writers' : 'readers';
  holder[count]++;
  const release = (): void => {
    holder[count]--;
    holder.server?.close();
    holder.server = undefined;
    if (holder.writers + holder.readers === 0) holders.delete(key);
  };
  if (mode === 'read') {
    // A reader only looks whether another process writes: readers of several processes do not keep each other out.
    if (!(await answers(socketOf(key)))) return release;
    release();
    return undefined;
  }
  const server = await listen(socketOf(key));
  if (server === 'taken') {
    release();
    return undefined;
  }
  holder.server = server;
  return release;
}

function socketOf(key: string): string {
  return `\0xenolith-image-${key}`;
}

function answers(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ path });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => done(true)).once('error', () => done(false));
  });
}

function listen(path: string): Promise<Server | 'taken' | undefined> {
  if (process.platform !== 'linux') return Promise.resolve(undefined);
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve('taken');
      else reject(error);
    });
    server.listen({ path }, () => {
      server.unref();
      resolve(server);
    });
  });
}
