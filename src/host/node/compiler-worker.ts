/** The thread that compiles hot regions for all vCPUs of the host, so that guests run on meanwhile. It sees code only, no domain's memory. */
import { parentPort, type MessagePort } from 'node:worker_threads';
import { setFlagsFromString } from 'node:v8';
import { instructionSet, RegionGenerator, type RegionJob, unpackJob } from '../../cpu/index.ts';
import type { CompileAnswer, CompileRequest, CompilerLink } from './compiler-messages.ts';

/** Regions that go into one module: each module costs some memory and time of its own. */
const BATCH = 16;

interface Waiting {
  readonly id: number;
  readonly job: RegionJob;
}

if (parentPort === null) throw new Error('compiler-worker: not a worker');

const generator = new RegionGenerator(instructionSet());
// Functions are compiled here and not by the vCPU's thread when it first calls them.
setFlagsFromString('--no-wasm-lazy-compilation');

parentPort.on('message', ({ port, sent }: CompilerLink) => serve(port, new Int32Array(sent)));

function serve(port: MessagePort, sent: Int32Array): void {
  const waiting: Waiting[] = [];
  let busy = false;
  const work = (): void => {
    const batch = waiting.splice(0, BATCH);
    busy = batch.length > 0;
    if (!busy) return;
    const module = new WebAssembly.Module(generator.generate(batch.map(({ job }) => job)));
    port.postMessage({ ids: batch.map(({ id }) => id), module } satisfies CompileAnswer);
    Atomics.add(sent, 0, 1);
    // What has come meanwhile is taken in first, so that batches fill up.
    setImmediate(work);
  };
  port.on('message', ({ id, job }: CompileRequest) => {
    waiting.push({ id, job: unpackJob(job) });
    if (!busy) {
      busy = true;
      setImmediate(work);
    }
  });
}
