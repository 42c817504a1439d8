import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Op } from '../state-layout.ts';
import type { RegionJob } from './job.ts';
import { packJob, unpackJob } from './packed-job.ts';

it('a job is the same after it was packed', () => {
  const job: RegionJob = {
    name: '400000',
    mode: 0,
    original: 77,
    ops: Uint8Array.from({ length: 3 * Op.size }, (_, i) => i),
    addresses: [0x1000, 0x1020, 0x1040],
    handlers: [5, 6, 70000],
    instructions: [
      { at: 12, first: 0, count: 1 },
      { at: 15, first: 1, count: 2 },
    ],
    pages: [{ offset: -4096, host: 0xf000_0000 }],
    nodes: [
      { at: 12, end: 20, taken: 0, next: 1, returns: undefined, instructions: [0, 1] },
      { at: 20, end: 20, taken: undefined, next: undefined, returns: 0, instructions: [] },
    ],
  };
  const back = unpackJob(structuredClone(packJob(job)));
  assert.deepEqual({ ...back, ops: [...back.ops] }, { ...job, ops: [...job.ops] });
});
