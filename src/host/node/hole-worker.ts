/** Punches holes into images on a thread of its own: a large one can take a filesystem seconds. */
import { parentPort } from 'node:worker_threads';
import type { HoleAnswer, HoleRequest } from './hole-thread.ts';
import { punchHole } from './holes.ts';

parentPort?.on('message', ({ id, fd, offset, length }: HoleRequest) => {
  parentPort?.postMessage({ id, done: punchHole(fd, offset, length) } satisfies HoleAnswer);
});
