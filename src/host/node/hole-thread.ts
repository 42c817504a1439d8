/** The thread that punches holes, started for the first one; all images share it. */
import { Worker } from 'node:worker_threads';
import { startFile } from '../../toolstack/start-files.ts';

export interface HoleRequest {
  readonly id: number;
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

export interface HoleAnswer {
  readonly id: number;
  /** False: the host refused. */
  readonly done: boolean;
}

const waiting = new Map<number, (done: boolean) => void>();
let worker: Worker | undefined;
let lastId = 0;

/** As `punchHole`, without blocking the caller. The file must stay open until the answer. */
export function punchHoleLater(fd: number, offset: number, length: number): Promise<boolean> {
  const thread = (worker ??= start());
  const id = ++lastId;
  return new Promise((resolve) => {
    waiting.set(id, resolve);
    // A process that has nothing else to do waits for it.
    thread.ref();
    thread.postMessage({ id, fd, offset, length } satisfies HoleRequest);
  });
}

function start(): Worker {
  const thread = new Worker(startFile(new URL('./hole-worker.ts', import.meta.url)), { name: 'holes' });
  const answer = (id: number, done: boolean): void => {
    waiting.get(id)?.(done);
    waiting.delete(id);
    if (waiting.size === 0) thread.unref();
  };
  thread.on('message', ({ id, done }: HoleAnswer) => answer(id, done));
  // Space that is not given back is no harm to anybody.
  thread.on('error', () => {
    worker = undefined;
    for (const id of [...waiting.keys()]) answer(id, false);
  });
  return thread;
}
