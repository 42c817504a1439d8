/** Starts the compiler's thread when the first vCPU wants it, and connects vCPUs to it. */
import { MessageChannel, Worker } from 'node:worker_threads';
import { startFile } from '../../toolstack/start-files.ts';
import type { CompilerLink } from './compiler-messages.ts';

/** Regions' code makes short-lived objects only. */
const YOUNG_MIB = 16;

export class CompilerThread {
  readonly #died: (error: string) => void;
  #worker: Worker | undefined;

  /** @param died the thread ended by itself: hot code is interpreted from then on */
  constructor(died: (error: string) => void) {
    this.#died = died;
  }

  /** A new vCPU's end of a link; to be posted to its thread with the port in the transfer list. */
  connect(): CompilerLink {
    const worker = (this.#worker ??= this.#start());
    const { port1, port2 } = new MessageChannel();
    const sent = new SharedArrayBuffer(4);
    worker.postMessage({ port: port1, sent } satisfies CompilerLink, [port1]);
    return { port: port2, sent };
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(startFile(new URL('./compiler-worker.ts', import.meta.url)), {
      name: 'compiler',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    worker.unref();
    worker.on('error', (error: unknown) => {
      this.#worker = undefined;
      this.#died(error instanceof Error ? (error.stack ?? error.message) : String(error));
    });
    return worker;
  }
}
