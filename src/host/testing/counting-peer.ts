/** The other end of a guest's connection: gets numbers, one a line, sends them back, and notices when one is missing or the connection ends. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class CountingPeer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The last number. */
  count = 0;
  /** What went wrong first. */
  fault: string | undefined;
  connections = 0;

  private constructor() {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      let rest = '';
      socket.setEncoding('latin1');
      socket.on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const number = Number(line.trim().split(' ')[0]);
          if (number !== this.count + 1) this.fault ??= `${line.slice(0, 20)} after ${this.count}`;
          this.count = number;
          socket.write(`${number}\n`);
        }
      });
      socket.on('error', (error) => (this.fault ??= error.message));
      socket.on('close', () => (this.fault ??= 'the connection has ended'));
    });
  }

  static async listen(address: string): Promise<CountingPeer> {
    const peer = new CountingPeer();
    await new Promise<void>((resolve, reject) => {
      peer.#server.once('error', reject).listen(0, address, resolve);
    });
    return peer;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
