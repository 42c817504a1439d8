import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runDirectory } from '../../src/toolstack/daemon/run-directory.ts';
import type { Row } from '../row.ts';
import { latency, throughput } from '../store/measure.ts';
import { ringThroughput } from '../store/ring.ts';

const program = join(import.meta.dirname, '../../bin/xenolithd');

/** On the socket of a daemon of its own, without domains. */
async function onSocket(measure: (socket: string) => Promise<number>): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-'));
  const env = { ...process.env, XENOLITH_RUN_DIR: folder };
  const daemon = async (...args: readonly string[]): Promise<void> => {
    const child = spawn(program, args, { env, stdio: 'ignore' });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`xenolithd ${args.join(' ')} exited with ${code}`);
  };
  try {
    await daemon();
    return await measure(runDirectory(env).xenstoreSocket);
  } finally {
    await daemon('--stop=0');
    rmSync(folder, { recursive: true, force: true });
  }
}

export const storeLatency: Row = {
  name: 'xenstore.latency',
  about: 'XS_READ over the unix socket, there and back, one at a time: median of 1000, best of 7 rounds',
  unit: 'us',
  better: 'lower',
  goal: 100,
  peers: { 'xenstored 4.17': 25 },
  measure: () => onSocket(latency),
};

export const storeThroughput: Row = {
  name: 'xenstore.throughput',
  about: 'requests a second over the unix socket, 64 on their way at a time, three reads for a write',
  unit: '1/s',
  better: 'higher',
  goal: 30_000,
  peers: { 'xenstored 4.17': 58_000 },
  measure: () => onSocket(throughput),
};

export const storeRing: Row = {
  name: 'xenstore.ring',
  about: 'XS_READ on a guest’s ring: requests in a second of processor time of the store’s half',
  unit: '1/s',
  better: 'higher',
  goal: 100_000,
  peers: {},
  measure: () => Promise.resolve(ringThroughput()),
};
