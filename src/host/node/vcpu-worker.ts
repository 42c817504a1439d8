/** The thread of one vCPU: the hypervisor's loop, and sleep when there is nothing to do. */
import { readlinkSync, writeFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { instructionSet, Processor } from '../../cpu/index.ts';
import { siblingsOf } from '../../hypervisor/code-coherence.ts';
import { createVcpuLoop } from '../../hypervisor/create-vcpu.ts';
import { computeLayout, cpuRegionAt } from '../../hypervisor/domain-memory.ts';
import { Domain, vcpuThread } from '../../hypervisor/domain.ts';
import type { Glue } from '../../hypervisor/host-services.ts';
import { HostState } from '../../hypervisor/host-state.ts';
import { RateLimit, isLogged } from '../../hypervisor/log-ring.ts';
import { RunQueueMemory } from '../../hypervisor/sched/run-queue-memory.ts';
import { RunQueue } from '../../hypervisor/sched/run-queue.ts';
import { VcpuSchedule } from '../../hypervisor/sched/vcpu-schedule.ts';
import { pvPlatform } from './pv-platform.ts';
import { VcpuState } from '../../hypervisor/state.ts';
import { explain } from './check-report.ts';
import { clockFrom } from './clock.ts';
import { hardwareRandom } from './hardware-random.ts';
import { PortCompiler } from './port-compiler.ts';
import { processorShape } from './processor-shape.ts';
import { layoutKey } from './vcpu-messages.ts';
import type { MemoryToCome, Rehearsal, VcpuMessage, VcpuStart } from './vcpu-messages.ts';

const NS_PER_MS = 1e6;
/** What SCHEDOP_yield gives to others. */
const YIELD_MS = 0.05;

const port = parentPort;
if (port === null) throw new Error('vcpu-worker: not a worker');
const post = (message: VcpuMessage): void => port.postMessage(message);

/** How the thread is called while it waits. */
const WAITING = 'vcpu';

let processor: Processor | undefined;
let memoryToCome: WebAssembly.Memory | undefined;
const nameOf = ({ domid, vcpu }: VcpuStart): string => `d${domid}v${vcpu}`;

// While there is nothing to run yet.
instructionSet();
port.on('message', function receive(message: VcpuStart | Rehearsal | MemoryToCome) {
  if (!('domid' in message)) {
    if ('memory' in message) memoryToCome = message.memory;
    else rehearse(message);
    return;
  }
  const start = message;
  try {
    takeName(nameOf(start));
    tellNumber();
    run(start);
    processor = memoryToCome = undefined;
    start.compiler?.port.close();
    takeName(WAITING);
    post({ kind: 'ended' });
  } catch (error) {
    // The thread has to last until the report is written.
    void explain(error, processor, start.logs, nameOf(start))
      .catch((failed: unknown) => `${String(error)}; no report: ${String(failed)}`)
      .then((text) => {
        post({ kind: 'died', error: text });
        port.off('message', receive);
      });
  }
});

/** For who looks at the process from outside (Linux: Documentation/filesystems/proc.rst, "/proc/<pid>/task/<tid>/comm"). */
function takeName(name: string): void {
  try {
    writeFileSync('/proc/thread-self/comm', name);
  } catch {
    // Other systems have none.
  }
}

function tellNumber(): void {
  try {
    post({ kind: 'thread', tid: Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0]) });
  } catch {
    // Nor this.
  }
}

/**
 * Puts a vCPU of no domain together, with nothing to run: what is compiled and generated for the first one in a thread is there when the real one comes, whose domain
 * waits for it.
 */
function rehearse({ module, hiddenFeatures }: Rehearsal): void {
  const shape = { maxPages: 1, maxVcpus: 1, maxEvtchnPort: 1, maxGrantFrames: 1, processor: processorShape };
  const layout = computeLayout(shape);
  if (layout === undefined) throw new Error('vcpu-worker: no layout for a rehearsal');
  // V8 looks for garbage when a memory begins with its size.
  const memory = new WebAssembly.Memory({ initial: 0, maximum: layout.wasmPages, shared: true });
  memory.grow(layout.wasmPages);
  const domain = new Domain(1, memory, layout, vcpuThread(0));
  domain.initialise();
  // Node loads what tells the time when it is first asked for.
  const clock = clockFrom({ at: process.hrtime.bigint(), unixMs: 0 });
  const compiler = { submit: () => undefined, take: () => [] };
  const engine = 'translator';
  const processor = new Processor({
    ...placeOf(domain, 0),
    memory,
    module,
    engine,
    compiler,
    now: clock.now,
    random: clock.now,
  });
  createVcpuLoop({ domain, vcpu: 0, processor, clock, glue: silentGlue, kind: pvPlatform(hiddenFeatures) }).turn();
}

/** Where a vCPU's processor has its own part of the memory. */
function placeOf(domain: Domain, vcpu: number) {
  const { layout } = domain;
  return {
    regionAt: cpuRegionAt(layout, vcpu),
    framesAt: layout.framesAt,
    frameCount: layout.totalFrames,
    siblings: siblingsOf(domain, vcpu),
    // Each vCPU has one thread, which begins once.
    adopts: true,
  };
}

const silentGlue: Glue = {
  log: () => undefined,
  wants: () => false,
  notifyDom0: () => undefined,
  domainException: () => undefined,
  crashed: () => undefined,
  vcpuUp: () => undefined,
  claimPages: () => false,
  releasePages: () => undefined,
};

function run(start: VcpuStart): void {
  const { maxPages, maxVcpus, maxEvtchnPort, maxGrantFrames } = start;
  const layout = computeLayout({ maxPages, maxVcpus, maxEvtchnPort, maxGrantFrames, processor: processorShape });
  if (layout === undefined) throw new Error('vcpu-worker: the domain has no layout');
  // Sources that were updated under a running daemon.
  if (layoutKey(layout) !== start.layout)
    throw new Error('vcpu-worker: not the version of the main thread; restart it');
  const { memory = memoryToCome } = start;
  if (memory === undefined) throw new Error('vcpu-worker: no memory has come');
  const domain = new Domain(start.domid, memory, layout, vcpuThread(start.vcpu));
  const clock = clockFrom(start.clock);
  processor = new Processor({
    memory,
    module: start.module,
    engine: start.engine,
    check: start.check,
    ...(start.compiler ? { compiler: new PortCompiler(start.compiler) } : {}),
    ...placeOf(domain, start.vcpu),
    now: clock.now,
    random: hardwareRandom(),
  });
  const loop = createVcpuLoop({
    domain,
    vcpu: start.vcpu,
    processor,
    clock,
    glue: createGlue(start, clock.now),
    kind: pvPlatform(start.hiddenFeatures),
  });
  const { queue, nrCpus, unit } = start.schedule;
  const schedule =
    unit === undefined ? undefined : new VcpuSchedule(new RunQueue(new RunQueueMemory(nrCpus, queue)), unit, clock);
  const wake = (loop.vcpu.at + VcpuState.at.wake) >>> 2;
  for (;;) {
    const seen = Atomics.load(domain.i32, wake);
    const turn = loop.turn(schedule);
    if (turn === 'ran' || turn === 'yielded') schedule?.report(turn === 'yielded');
    switch (turn) {
      case 'ran':
        break;
      case 'yielded':
        // When there was somebody in the queue, its turn has come already.
        if (schedule?.runs !== false) Atomics.wait(domain.i32, wake, seen, YIELD_MS);
        break;
      case 'runnable':
        schedule?.wait();
        break;
      case 'blocked': {
        const wait = (loop.deadline - clock.now()) / NS_PER_MS;
        if (wait > 0) Atomics.wait(domain.i32, wake, seen, wait);
        break;
      }
      case 'paused':
      case 'down':
        Atomics.wait(domain.i32, wake, seen);
        break;
      case 'ended':
        if (domain.dying) {
          if (start.engine === 'check') {
            const line = `${nameOf(start)}: ${processor.checks} checks of translated code`;
            post({ kind: 'log', level: 'info', line });
          }
          return;
        }
        Atomics.wait(domain.i32, wake, seen);
        break;
      default:
        throw new Error(`vcpu-worker: turn ended with ${String(turn satisfies never)}`);
    }
  }
}

function createGlue(start: VcpuStart, now: () => number): Glue {
  const host = new HostState(start.hostState);
  const limit = new RateLimit();
  const wants = (level: Parameters<Glue['wants']>[0]): boolean => isLogged(host.thresholds, level);
  return {
    log(level, line) {
      if (!wants(level) || !limit.allow(now())) return;
      const lost = limit.takeSuppressed();
      if (lost > 0) post({ kind: 'log', level, line: `printk: ${lost} messages suppressed.` });
      post({ kind: 'log', level, line });
    },
    wants,
    notifyDom0: (dom0Port) => host.raise(dom0Port),
    domainException: () => post({ kind: 'exception' }),
    crashed: (dump) => post({ kind: 'crashed', dump }),
    vcpuUp: (vcpu) => post({ kind: 'up', vcpu }),
    claimPages: (count) => host.claimPages(count),
    releasePages: (count) => host.releasePages(count),
  };
}
