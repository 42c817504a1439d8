/** A worker that is a guest's event code: it consumes, masks and unmasks while the main thread sends. */
import { parentPort, workerData } from 'node:worker_threads';
import { computeLayout } from '../../../hypervisor/domain-memory.ts';
import { Domain, vcpuThread } from '../../../hypervisor/domain.ts';
import { unmaskPort } from '../../../hypervisor/event-channel/raise.ts';
import { fifoSide, twoLevelSide } from '../../../hypervisor/testing/event-guest.ts';
import { scriptShape } from '../../../hypervisor/testing/script-processor.ts';
import { VcpuState } from '../../../hypervisor/state.ts';

export interface ConsumerStart {
  readonly memory: WebAssembly.Memory;
  readonly shape: { maxPages: number; maxVcpus: number; maxEvtchnPort: number; maxGrantFrames: number };
  readonly abi: 'fifo' | 'two-level';
  readonly controlFrame: number;
  readonly arrayFrame: number;
  /** By port: how often it was sent to, and the last number seen when its event was handled. Word 0: 1 asks for the end; how many were handled. */
  readonly sent: SharedArrayBuffer;
  readonly seen: SharedArrayBuffer;
}

const start = workerData as ConsumerStart;
const layout = computeLayout({ ...start.shape, processor: scriptShape });
if (layout === undefined) throw new Error('event-consumer: no layout');
const domain = new Domain(1, start.memory, layout, vcpuThread(0));
const sent = new Int32Array(start.sent);
const seen = new Int32Array(start.seen);
const side = start.abi === 'fifo' ? fifoSide(domain, start.controlFrame, [start.arrayFrame]) : twoLevelSide(domain);
const wake = (domain.vcpuAt(0) + VcpuState.at.wake) >>> 2;
const WAIT_MS = 20;

parentPort?.postMessage('ready');

let handled = 0;
const handle = (port: number): void => {
  seen[port] = Atomics.load(sent, port);
  handled++;
  Atomics.store(seen, 0, handled);
  // Now and then a handler masks its port for a while, as a threaded one does.
  if (handled % 7 !== 0) return;
  side.mask(port);
  if (side.unmask(port) !== true) domain.locked(() => unmaskPort(domain, port));
};

for (;;) {
  const before = Atomics.load(domain.i32, wake);
  const ending = Atomics.load(sent, 0) === 1;
  side.consume(handle);
  if (ending) break;
  Atomics.wait(domain.i32, wake, before, WAIT_MS);
}
