/**
 * Unpacking in a thread of its own. It takes a second or more for a large kernel, and on the main thread domain 0's
 * services would stand still for all other domains meanwhile.
 */
import { Worker } from 'node:worker_threads';
import { startFile } from '../../start-files.ts';
import type { Ramdisk } from '../ramdisk.ts';
import type { AsideReply, AsideRequest } from './aside-worker.ts';
import { CorruptData } from './corrupt-data.ts';

type Done = Extract<AsideReply, { ok: true }>;

/**
 * The thread starts at once and is closed by who made it. Requests are answered in their order. The bytes of a request move to the thread, with all of the buffer
 * that they lie in, and whoever gave them has them no more: a copy would cost time, and memory until somebody collects it.
 */
export class Aside {
  readonly #worker = new Worker(startFile(new URL('./aside-worker.ts', import.meta.url)), {
    name: 'unpack',
    stdin: false,
  });
  readonly #waiting: PromiseWithResolvers<AsideReply>[] = [];
  #failure: Error | undefined;

  constructor() {
    this.#worker.on('message', (reply: AsideReply) => this.#waiting.shift()?.resolve(reply));
    this.#worker.once('error', (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    this.#worker.once('exit', (code) => this.#fail(new Error(`the unpacking thread ended with code ${code}`)));
  }

  /** Throws CorruptData. */
  async unpack(payload: Uint8Array): Promise<Uint8Array> {
    const { bytes } = await this.#run({ job: 'payload', bytes: payload });
    return bytes;
  }

  /** Throws CorruptData. */
  async inspectRamdisk(bytes: Uint8Array): Promise<Ramdisk> {
    const { ok: _, ...ramdisk } = await this.#run({ job: 'ramdisk', bytes });
    return ramdisk;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #run(request: AsideRequest): Promise<Done> {
    if (this.#failure !== undefined) throw this.#failure;
    const waiting = Promise.withResolvers<AsideReply>();
    this.#waiting.push(waiting);
    const { buffer } = request.bytes;
    this.#worker.postMessage(request, buffer instanceof ArrayBuffer ? [buffer] : []);
    const reply = await waiting.promise;
    if (!reply.ok) throw new CorruptData(reply.reason);
    return reply;
  }

  #fail(reason: Error): void {
    this.#failure ??= reason;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}
