/** Channels of `connection=socket`: a unix socket whose connections carry a console's bytes, as a character device of QEMU does. */
import { lstatSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { DomainConsole, Listener } from '../../dom0/console/index.ts';
import { listen } from './private-socket.ts';

/** Programs of the host that may be connected to one channel at a time. */
const maxConnections = 16;

/** Only a socket is taken away to make room: whoever wrote the configuration may have meant another path. */
export async function listenForChannel(path: string, console: () => DomainConsole | undefined): Promise<Listener> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false)
    throw new Error(`${path} exists and is no socket`);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const serving = console();
    if (serving === undefined || sockets.size >= maxConnections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    connect(socket, serving);
  });
  await listen(server, path);
  return {
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function connect(socket: Socket, console: DomainConsole): void {
  const client = console.attach('now');
  const print = (): void => {
    while (!socket.writableNeedDrain && !socket.destroyed) {
      const bytes = client.read();
      if (bytes !== undefined) socket.write(bytes);
      else if (client.ended) socket.end();
      if (bytes === undefined) return;
    }
  };
  client.onReadable = print;
  socket.on('drain', print);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => client.detach());
  socket.on('data', (bytes: Buffer) => {
    socket.pause();
    void client.write(bytes).then(() => socket.resume());
  });
}
