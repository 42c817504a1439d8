/** The interpreter's module, made in a thread of its own. */
import { Worker } from 'node:worker_threads';

export function generateModule(): Promise<WebAssembly.Module> {
  const { promise, resolve, reject } = Promise.withResolvers<WebAssembly.Module>();
  const worker = new Worker(new URL('./module-worker.ts', import.meta.url), { name: 'generate', stdin: false });
  // A process that has nothing else to do may end before.
  worker.unref();
  worker.once('message', resolve);
  worker.once('error', reject);
  worker.once('exit', (code) => reject(new Error(`the thread that makes the interpreter ended with code ${code}`)));
  return promise;
}
