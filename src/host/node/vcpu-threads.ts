/** A worker for each vCPU, one after the other. One that throws or dies ends its domain and nothing else. */
import { Worker } from 'node:worker_threads';
import type { DomainScheduling } from '../../hypervisor/control.ts';
import type { Domain } from '../../hypervisor/domain.ts';
import type { HostState } from '../../hypervisor/host-state.ts';
import type { Hypervisor, VcpuRunner } from '../../hypervisor/hypervisor.ts';
import type { CheckOptions, Engine } from '../../cpu/index.ts';
import { runDirectory } from '../../toolstack/daemon/run-directory.ts';
import { startFile } from '../../toolstack/start-files.ts';
import type { ClockStart } from './clock.ts';
import { SpareWorkers } from './spare-workers.ts';
import { CompilerThread } from './compiler-thread.ts';
import { layoutKey } from './vcpu-messages.ts';
import { VcpuPlacement } from './vcpu-placement.ts';
import type { MemoryToCome, Rehearsal, VcpuMessage, VcpuStart } from './vcpu-messages.ts';

/** A vCPU leaves the guest within a millisecond when its domain dies; a thread that does not is ended from outside. */
const END_MS = 2000;
const STACK_MIB = 8;
/** Of each thread's heap: what a vCPU makes is short-lived. V8's own measure lets 12 MB more stay in use, and is no faster. */
const YOUNG_MIB = 6;

interface Thread {
  readonly worker: Worker;
  /** With the vCPU it may be over with the worker, too. */
  readonly ended: Promise<'waits' | 'exited'>;
}

/** `XENOLITH_CPU`: what executes hot guest code. */
function engineOf({ XENOLITH_CPU: name = 'translator' }: NodeJS.ProcessEnv): Engine {
  if (name === 'translator' || name === 'interpreter' || name === 'check') return name;
  throw new Error(`XENOLITH_CPU is "${name}"; it can be translator, interpreter or check`);
}

/** `XENOLITH_CHECK_EVERY`: of the runs of each region, how many there are for one that is checked. */
function checkOf({ XENOLITH_CHECK_EVERY: every }: NodeJS.ProcessEnv): CheckOptions {
  if (every === undefined || every === '') return {};
  if (/^[1-9]\d{0,8}$/.test(every)) return { every: Number(every) };
  throw new Error(`XENOLITH_CHECK_EVERY is "${every}"; it can be a number from 1 on`);
}

export class VcpuThreads implements VcpuRunner {
  readonly #state: HostState;
  readonly #engine = engineOf(process.env);
  readonly #check = checkOf(process.env);
  readonly #clock: ClockStart;
  readonly #module: Promise<WebAssembly.Module>;
  readonly #keepsProcess: boolean;
  #made: WebAssembly.Module | undefined;
  readonly #compiler = new CompilerThread((error) =>
    this.#hypervisor?.log('error', `the compiler of hot code ended, code is interpreted from now on: ${error}`),
  );
  readonly #spare: SpareWorkers<Worker>;
  /** By the worker that waits and has it, since before it grew. */
  readonly #memories = new WeakMap<Worker, WebAssembly.Memory>();
  readonly #threads = new Map<number, Map<number, Thread>>();
  #hypervisor: Hypervisor | undefined;
  #placement: VcpuPlacement | undefined;

  /** @param keepsProcess whether the threads keep the process alive */
  constructor(state: HostState, clock: ClockStart, module: Promise<WebAssembly.Module>, keepsProcess: boolean) {
    this.#keepsProcess = keepsProcess;
    this.#state = state;
    this.#clock = clock;
    this.#module = module;
    this.#spare = new SpareWorkers(() => this.#createWorker());
    module.then(
      (made) => (this.#made = made),
      // Whoever starts a vCPU is told what is wrong with it.
      () => undefined,
    );
  }

  attach(hypervisor: Hypervisor): void {
    this.#hypervisor = hypervisor;
    this.#placement = new VcpuPlacement(hypervisor.nrCpus, (line) => hypervisor.log('warning', line));
  }

  schedule({ domid }: Domain, scheduling: DomainScheduling): void {
    this.#placement?.set(domid, scheduling);
  }

  ranNs({ domid }: Domain, vcpu: number): number | undefined {
    return this.#placement?.ranNs(domid, vcpu);
  }

  cpuOf({ domid }: Domain, vcpu: number): number | undefined {
    return this.#placement?.cpuOf(domid, vcpu);
  }

  expect(vcpus: number): void {
    this.#spare.expect(vcpus);
  }

  prepare(domain: Domain, vcpu: number): void {
    this.start(domain, vcpu);
  }

  start(domain: Domain, vcpu: number): void {
    const threads = this.#threads.get(domain.domid) ?? new Map<number, Thread>();
    this.#threads.set(domain.domid, threads);
    if (!threads.has(vcpu)) threads.set(vcpu, this.#create(domain, vcpu));
  }

  async stop(domain: Domain): Promise<void> {
    const threads = [...(this.#threads.get(domain.domid)?.values() ?? [])];
    this.#threads.delete(domain.domid);
    this.#placement?.rouse(domain.domid);
    const ends = await Promise.all(threads.map(endOf));
    this.#placement?.forget(domain.domid);
    // What they have compiled of the hypervisor is there for the next vCPU.
    for (const [n, { worker }] of threads.entries()) {
      if (ends[n] !== 'waits') continue;
      this.#equip(worker);
      this.#spare.giveBack(worker);
    }
  }

  /**
   * For a new domain, of one that a waiting worker has where there is such: V8 takes the size of a memory that a thread gets for garbage to come, and looks for some at once, but
   * not what the memory grows by.
   */
  createMemory(wasmPages: number): WebAssembly.Memory {
    const workers = this.#spare.waiting();
    const isEmpty = (memory: WebAssembly.Memory | undefined): boolean => memory?.buffer.byteLength === 0;
    const known = workers.map((worker) => this.#memories.get(worker)).find(isEmpty);
    // Those of domains that do not run, or run elsewhere.
    if (known === undefined) for (const worker of workers) this.#equip(worker);
    const memory = known ?? emptyMemory();
    memory.grow(wasmPages);
    return memory;
  }

  #equip(worker: Worker): void {
    try {
      const memory = emptyMemory();
      worker.postMessage({ memory } satisfies MemoryToCome);
      this.#memories.set(worker, memory);
    } catch {
      // No address space is left. Who makes a domain is told.
      this.#memories.delete(worker);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#spare.close(), this.#compiler.close()]);
  }

  /** It runs what it is posted, a VcpuStart. */
  #createWorker(): Worker {
    const worker = new Worker(startFile(new URL('./vcpu-worker.ts', import.meta.url)), {
      name: 'vcpu',
      resourceLimits: { stackSizeMb: STACK_MIB, maxYoungGenerationSizeMb: YOUNG_MIB },
      stdin: false,
    });
    this.#module.then(
      (module) => {
        const hiddenFeatures = this.#hypervisor?.hiddenFeatures ?? [];
        worker.postMessage({ module, hiddenFeatures } satisfies Rehearsal);
      },
      () => undefined,
    );
    this.#equip(worker);
    return worker;
  }

  #create(domain: Domain, vcpu: number): Thread {
    const { domid } = domain;
    const [hypervisor, placement] = [this.#hypervisor, this.#placement];
    if (hypervisor === undefined || placement === undefined) throw new Error('vcpu threads: no hypervisor attached');
    const { maxPages, maxVcpus, maxEvtchnPort, maxGrantFrames } = domain.layout;
    const compiler = this.#engine !== 'interpreter' ? this.#compiler.connect() : undefined;
    const worker = this.#spare.take((waiting) => this.#memories.get(waiting) === domain.memory);
    const start: Omit<VcpuStart, 'module'> = {
      domid,
      vcpu,
      memory: this.#memories.get(worker) === domain.memory ? undefined : domain.memory,
      engine: this.#engine,
      check: this.#check,
      logs: runDirectory().logs,
      compiler,
      maxPages,
      maxVcpus,
      maxEvtchnPort,
      maxGrantFrames,
      layout: layoutKey(domain.layout),
      hostState: this.#state.buffer,
      clock: this.#clock,
      hiddenFeatures: hypervisor.hiddenFeatures,
      schedule: placement.add(domid, vcpu),
    };
    let dead = false;
    const died = (error: string): void => {
      if (!dead) hypervisor.threadDied(domid, vcpu, error);
      dead = true;
    };
    const ended = new Promise<'waits' | 'exited'>((resolve) => {
      const onMessage = (message: VcpuMessage): void => {
        switch (message.kind) {
          case 'died':
            return died(message.error);
          case 'thread':
            return placement.named(domid, vcpu, message.tid);
          case 'ended':
            return end('waits');
          default:
            return report(hypervisor, domid, message);
        }
      };
      const onError = (error: unknown): void =>
        died(error instanceof Error ? (error.stack ?? error.message) : String(error));
      const onExit = (code: number): void => {
        // A thread ends by itself when its domain dies, and not before.
        if (!domain.dying) died(`exit code ${code}`);
        end('exited');
      };
      const end = (how: 'waits' | 'exited'): void => {
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        placement.ended(domid, vcpu);
        resolve(how);
      };
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    });
    // After its listeners, each of which would undo it.
    if (!this.#keepsProcess) worker.unref();
    const post = (module: WebAssembly.Module): void =>
      worker.postMessage({ ...start, module } satisfies VcpuStart, compiler ? [compiler.port] : []);
    // At once where that is possible: who called has more to do before promises get their turn.
    if (this.#made !== undefined) post(this.#made);
    else this.#module.then(post, (error: unknown) => died(String(error)));
    return { worker, ended };
  }
}

/** As large as a domain can be. */
const MOST_PAGES = 65536;

const emptyMemory = (): WebAssembly.Memory => new WebAssembly.Memory({ initial: 0, maximum: MOST_PAGES, shared: true });

function report(
  hypervisor: Hypervisor,
  domid: number,
  message: Exclude<VcpuMessage, { kind: 'died' | 'thread' | 'ended' }>,
): void {
  switch (message.kind) {
    case 'log':
      return hypervisor.log(message.level, message.line);
    case 'exception':
      return hypervisor.domainException(domid);
    case 'crashed':
      return hypervisor.domainCrashed(message.dump);
    case 'up':
      return hypervisor.vcpuUp(domid, message.vcpu);
  }
}

async function endOf(thread: Thread): Promise<'waits' | 'exited'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), END_MS);
  });
  const first = await Promise.race([thread.ended, late]);
  clearTimeout(timer);
  if (first !== 'late') return first;
  await thread.worker.terminate();
  return 'exited';
}
