/**
 * Xenstore for other programs: the socket that libxenstore looks for, so that Debian's `xenstore-ls`, `-read`, `-watch` … work unchanged
 * with XENSTORED_RUNDIR or XENSTORED_PATH set. Who may open it has domain 0's rights, as on a real host.
 */
import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { Xenstored } from '../../dom0/xenstore/index.ts';
import { listen } from './private-socket.ts';

export interface XenstoreSocket {
  close(): void;
}

/** Clients that may be connected at a time. */
const maxConnections = 256;

export async function serveXenstore(
  xenstored: Xenstored,
  path: string,
  onError: (error: unknown) => void,
): Promise<XenstoreSocket> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    if (sockets.size >= maxConnections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    connect(xenstored, socket, onError);
  });
  server.on('error', onError);
  await listen(server, path);
  return {
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      rmSync(path, { force: true });
    },
  };
}

function connect(xenstored: Xenstored, socket: Socket, onError: (error: unknown) => void): void {
  const connection = xenstored.connect({
    send: (bytes) => socket.write(bytes),
    close: () => socket.destroy(),
    resume: () => socket.resume(),
  });
  socket.on('data', (bytes: Buffer) => {
    try {
      if (!connection.receive(bytes)) socket.pause();
    } catch (error) {
      // Our bug: it costs this client its connection, and nobody else anything.
      onError(error);
      socket.destroy();
    }
  });
  socket.on('drain', () => connection.drained());
  socket.on('error', () => socket.destroy());
  socket.on('close', () => connection.end());
}
