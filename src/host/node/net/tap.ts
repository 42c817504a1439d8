/** Linux tap devices: a link whose other end is a network interface of the host. To make one takes CAP_NET_ADMIN. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { LinkEnd } from '../../../dom0/net/link.ts';
import { bytesOf, frameOf } from '../../../dom0/net/tap/virtio-net-header.ts';
import { startFile } from '../../../toolstack/start-files.ts';
import { becomeTap } from './libc.ts';

/** Words that both threads see: frames that were sent to the main thread and not taken by it; not zero when the reader is to end. */
export const WAITING = 0;
export const STOP = 1;

export interface TapWorkerData {
  readonly fd: number;
  readonly shared: SharedArrayBuffer;
  /** So many frames may wait. */
  readonly most: number;
}

const device = '/dev/net/tun';
const MOST_WAITING = 64;

/** Makes an interface of this name, which is gone when it is closed. Throws an Error that says why not. */
export function makeTap(name: string): number {
  if (process.platform !== 'linux') throw new Error('only Linux has tap devices');
  let fd: number;
  try {
    fd = openSync(device, 'r+');
  } catch (error) {
    throw new Error(`cannot open ${device} (${(error as NodeJS.ErrnoException).code ?? String(error)})`, {
      cause: error,
    });
  }
  try {
    becomeTap(fd, name);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** What comes out of the tap goes into the link, and back, until the link is closed. */
export function connectTap(fd: number, end: LinkEnd, onError: (error: Error) => void): void {
  const shared = new SharedArrayBuffer(8);
  const words = new Int32Array(shared);
  const workerData: TapWorkerData = { fd, shared, most: MOST_WAITING };
  const worker = new Worker(startFile(new URL('./tap-worker.ts', import.meta.url)), { workerData, name: 'tap' });
  worker.unref();
  worker.on('message', (bytes: Uint8Array) => {
    Atomics.sub(words, WAITING, 1);
    Atomics.notify(words, WAITING);
    const frame = frameOf(bytes);
    // What there is no room for is dropped, as by a full network card.
    if (frame && end.open) end.send(frame);
  });
  worker.on('error', onError);
  // The descriptor may not be closed, and its number used for something else, while the thread reads from it.
  worker.on('exit', () => closeSync(fd));
  end.attach({
    receive: (frame) => {
      try {
        writeSync(fd, bytesOf(frame));
      } catch {
        // An interface that is down takes nothing, and a frame that it does not like is lost.
      }
      return true;
    },
    closed: () => {
      Atomics.store(words, STOP, 1);
      Atomics.notify(words, WAITING);
    },
  });
}
