/** The real agent, as a process of this machine: it needs nothing of Xen but a channel, and here that is a socket. */
import { spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { agentProgram } from '../../guest-files/agent.ts';
import { Cache, cacheFolder } from '../../guest-files/cache.ts';
import { GuestFilesError } from '../../guest-files/guest-files-error.ts';
import type { ByteChannel } from '../link.ts';

export interface NativeAgent {
  readonly socket: Duplex;
  close(): void;
}

/** Undefined where it cannot be had: another kind of machine, or no apt. */
export async function nativeAgentProgram(): Promise<string | undefined> {
  try {
    return await agentProgram(new Cache(cacheFolder()), () => undefined);
  } catch (error) {
    if (error instanceof GuestFilesError) return undefined;
    throw error;
  }
}

export function startNativeAgent(program: string): NativeAgent {
  const child = spawn('/bin/sh', ['-c', 'exec "$0" - <&3 3>&-', program], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', FROM_AGENT: 'yes' },
  });
  const socket = child.stdio[3] as Duplex;
  return { socket, close: () => void child.kill('SIGKILL') };
}

/** The socket for a host that follows another, which hears no more and does not say so. */
export function takeOver(socket: Duplex): ByteChannel {
  socket.removeAllListeners('data');
  const chunks: Uint8Array[] = [];
  let wake = (): void => undefined;
  socket.on('data', (bytes: Buffer) => {
    chunks.push(bytes);
    wake();
  });
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const chunk = chunks.shift();
        if (chunk !== undefined) yield chunk;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    write: (bytes) => new Promise((resolve) => socket.write(bytes, () => resolve(true))),
    detach: () => undefined,
  };
}
