/**
 * Reads a tap device on a thread of its own: Node can wait for sockets and pipes, not for a character device. Each frame goes to the main thread as a message; while
 * that is behind, frames wait in the device's queue and are dropped there when it is full.
 */
import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { waitReadable } from './libc.ts';
import { STOP, WAITING, type TapWorkerData } from './tap.ts';

const { fd, shared, most } = workerData as TapWorkerData;
const words = new Int32Array(shared);
/** How long the end of the device can go unnoticed. */
const LOOK_MS = 500;
/** A frame of 64 KB and its header. */
const buffer = new Uint8Array(66 * 1024);

while (Atomics.load(words, STOP) === 0) {
  if (!waitReadable(fd, LOOK_MS)) continue;
  let length: number;
  try {
    length = readSync(fd, buffer);
  } catch {
    // The device is gone.
    break;
  }
  const bytes = buffer.slice(0, length);
  parentPort?.postMessage(bytes, [bytes.buffer]);
  const behind = Atomics.add(words, WAITING, 1) + 1;
  if (behind >= most) Atomics.wait(words, WAITING, behind, LOOK_MS);
}
