/**
 * Unpacking in a thread of its own. It takes a second or more for a large kernel, and on the main thread domain 0's
 * services would stand still for all other domains meanwhile.
 */
import { Worker } from 'node:worker_threads';
import type { Ramdisk } from '../ramdisk.ts';
import type { AsideReply, AsideRequest } from './aside-worker.ts';
import { CorruptData } from './corrupt-data.ts';

export async function unpackAside(payload: Uint8Array): Promise<Uint8Array> {
  const { bytes } = await run({ job: 'payload', bytes: payload });
  return bytes;
}

export async function inspectRamdiskAside(bytes: Uint8Array): Promise<Ramdisk> {
  const { unzipped } = await run({ job: 'ramdisk', bytes });
  return unzipped === undefined ? { bytes } : { bytes, unzipped };
}

async function run(request: AsideRequest): Promise<Extract<AsideReply, { ok: true }>> {
  const { promise, resolve, reject } = Promise.withResolvers<AsideReply>();
  const worker = new Worker(new URL('./aside-worker.ts', import.meta.url), { name: 'unpack' });
  worker.once('message', resolve);
  worker.once('error', reject);
  worker.once('exit', (code) => reject(new Error(`the unpacking thread ended with code ${code}`)));
  worker.postMessage(request);
  try {
    const reply = await promise;
    if (!reply.ok) throw new CorruptData(reply.reason);
    return reply;
  } finally {
    await worker.terminate();
  }
}
