/** Event channels between real threads: no event that was sent is left unhandled, in either ABI. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { EVTCHN_FIFO_MASKED } from '../../abi/event-channel.ts';
import { computeLayout, createMemory } from '../../hypervisor/domain-memory.ts';
import { Domain, MAIN_THREAD } from '../../hypervisor/domain.ts';
import { allocUnbound, bindFromDom0, expandArray, switchToFifo } from '../../hypervisor/event-channel/lifecycle.ts';
import { raiseFromDom0 } from '../../hypervisor/event-channel/raise.ts';
import { initialiseSharedInfo } from '../../hypervisor/shared-info.ts';
import { VcpuState } from '../../hypervisor/state.ts';
import { ManualClock } from '../../hypervisor/testing/steppable-host.ts';
import { scriptShape } from '../../hypervisor/testing/script-processor.ts';
import type { ConsumerStart } from './testing/event-consumer.ts';

const CONTROL_FRAME = 20;
const ARRAY_FRAME = 21;
const PORTS = 30;
/** Long enough for both threads to get in each other's way, however they are scheduled. */
const HANDLED = 10_000;
const MOST_EVENTS = 10_000_000;
const shape = { maxPages: 64, maxVcpus: 1, maxEvtchnPort: 1023, maxGrantFrames: 1 };

describe('events from one thread to another', () => {
  for (const abi of ['fifo', 'two-level'] as const) {
    it(`are all handled (${abi})`, async () => {
      const layout = computeLayout({ ...shape, processor: scriptShape });
      assert.ok(layout);
      const memory = createMemory(layout.wasmPages);
      const domain = new Domain(1, memory, layout, MAIN_THREAD);
      domain.initialise();
      initialiseSharedInfo(domain, new ManualClock());
      if (abi === 'fifo') {
        domain.u32.fill(
          EVTCHN_FIFO_MASKED,
          domain.frameAt(ARRAY_FRAME) >>> 2,
          (domain.frameAt(ARRAY_FRAME) >>> 2) + 1024,
        );
        domain.u32[(domain.vcpuAt(0) + VcpuState.at.fifoControlAt) >>> 2] = domain.frameAt(CONTROL_FRAME);
        switchToFifo(domain);
        expandArray(domain, ARRAY_FRAME);
      }
      for (let port = 1; port <= PORTS; port++) {
        assert.equal(allocUnbound(domain, 0), port);
        assert.equal(bindFromDom0(domain, port, 100 + port), 0);
        if (abi === 'fifo') domain.u32[(domain.frameAt(ARRAY_FRAME) >>> 2) + port] = 0;
      }
      const sent = new Int32Array(new SharedArrayBuffer(4 * 64));
      const seen = new Int32Array(new SharedArrayBuffer(4 * 64));
      const workerData: ConsumerStart = {
        memory,
        shape,
        abi,
        controlFrame: CONTROL_FRAME,
        arrayFrame: ARRAY_FRAME,
        sent: sent.buffer,
        seen: seen.buffer,
      };
      const worker = new Worker(new URL('./testing/event-consumer.ts', import.meta.url), { workerData });
      const failed = once(worker, 'error').then(([error]) => Promise.reject(error as Error));
      const ended = once(worker, 'exit');
      failed.catch(() => undefined);
      await Promise.race([once(worker, 'message'), failed]);
      for (let i = 0, random = 1; i < MOST_EVENTS && Atomics.load(seen, 0) < HANDLED; i++) {
        random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
        const port = ((random >>> 16) % PORTS) + 1;
        Atomics.add(sent, port, 1);
        assert.ok(raiseFromDom0(domain, port, 100 + port));
      }
      Atomics.store(sent, 0, 1);
      domain.kick(0);
      await Promise.race([ended, failed]);
      assert.deepEqual([...seen.subarray(1, PORTS + 1)], [...sent.subarray(1, PORTS + 1)]);
    });
  }
});
