/** The interpreter's module: from the file that was made ahead, or made in a thread of its own. */
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { startFile } from '../../toolstack/start-files.ts';

export async function generateModule(): Promise<WebAssembly.Module> {
  const file = startFile(new URL('./module-worker.ts', import.meta.url));
  const ahead = file.pathname.endsWith('.ts') ? undefined : await readAhead(file);
  return ahead === undefined ? generate(file) : WebAssembly.compile(ahead);
}

/** It lies beside the worker's bundle (scripts/bundle.ts), as it is of the same sources. */
async function readAhead(worker: URL): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return await readFile(new URL('interpreter.wasm', worker));
  } catch {
    return undefined;
  }
}

function generate(file: URL): Promise<WebAssembly.Module> {
  const { promise, resolve, reject } = Promise.withResolvers<WebAssembly.Module>();
  const worker = new Worker(file, { name: 'generate', stdin: false });
  // A process that has nothing else to do may end before.
  worker.unref();
  worker.once('message', resolve);
  worker.once('error', reject);
  worker.once('exit', (code) => reject(new Error(`the thread that makes the interpreter ended with code ${code}`)));
  return promise;
}
