/** Brings mapped pages of a saved domain into memory of their own, on a thread of its own: its disk may be slow. */
import { workerData } from 'node:worker_threads';
import type { Populating } from './map-image.ts';
import { memoryMap } from './memory-map.ts';

/** At a time: page faults of the guest wait for no more than this. */
const CHUNK = 256 * 1024;

const { memory, ranges } = workerData as Populating;
const map = memoryMap();
for (const { at, length } of ranges)
  for (let done = 0; done < length; done += CHUNK) map?.populate(memory, at + done, Math.min(CHUNK, length - done));
