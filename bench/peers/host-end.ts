/** The host's end of a machine's network: the same program that guests have, at the host's loopback, where user networks of all peers lead to. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { builtPrograms } from '../comparison/programs.ts';
import { guarded } from './processes.ts';

export interface HostEnd {
  /** It serves here. */
  readonly port: number;
  /** For a forward to the guest. */
  readonly forwarded: number;
  end(): Promise<void>;
}

export const LOOPBACK = '127.0.0.1';

/** Host and gateway of a user network as guests see them, in QEMU and here. */
export const GATEWAY = '10.0.2.2';

export async function startHostEnd(): Promise<HostEnd> {
  const folder = await builtPrograms('amd64', undefined, join(import.meta.dirname, '../network/programs'));
  const [port, forwarded] = await freePorts();
  const { end } = await guarded(join(folder, 'tcp-pair'), ['serve', `${port}`, LOOPBACK], '');
  return { port, forwarded, end };
}

/** Taken together, so that they are two. */
async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()] as const;
  const ports = await Promise.all([portOf(servers[0]), portOf(servers[1])]);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function portOf(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, LOOPBACK);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
