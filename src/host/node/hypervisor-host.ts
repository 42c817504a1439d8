/** The hypervisor on Node: domain 0 on the main thread, a worker for each vCPU. */
import { availableParallelism, totalmem } from 'node:os';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { HypervisorControl } from '../../hypervisor/control.ts';
import { HostState } from '../../hypervisor/host-state.ts';
import { Hypervisor } from '../../hypervisor/hypervisor.ts';
import { hwCap, withBuild } from './build-info.ts';
import { parseBootOptions } from '../../hypervisor/command-line/boot-options.ts';
import { pvPlatform } from './pv-platform.ts';
import { clockFrom, startClock } from './clock.ts';
import { generateModule } from './generate-module.ts';
import { processorShape } from './processor-shape.ts';
import { VcpuThreads } from './vcpu-threads.ts';
import { domainMemories } from './memory-template.ts';

export interface HostOptions {
  /** Memory that domains may have together, domain 0 included; default: what the machine has. */
  readonly memoryMiB?: number;
  /** Xen's command line. */
  readonly commandLine?: string;
  /** The interpreter, when it is there already. */
  readonly module?: WebAssembly.Module;
  /** Whether vCPUs keep the process alive, as threads do. Default true. */
  readonly keepsProcess?: boolean;
}

export interface Host extends HypervisorControl {
  /** Where the boot line sends the hypervisor's lines: `com1`, `com2`, `vga`. */
  readonly consoleDevices: readonly string[];
  /** Destroys all domains and ends their threads. */
  close(): Promise<void>;
}

const DEFAULT_COMMAND_LINE = 'dom0_mem=512M loglvl=all guest_loglvl=info';
const MIB = 2 ** 20;

export function createHost(options: HostOptions = {}): Host {
  const start = startClock();
  const state = new HostState();
  const module = options.module === undefined ? generateModule() : Promise.resolve(options.module);
  const threads = new VcpuThreads(state, start, module, options.keepsProcess ?? true);
  const commandLine = options.commandLine ?? DEFAULT_COMMAND_LINE;
  const hypervisor = new NodeHypervisor(
    {
      clock: clockFrom(start),
      kind: pvPlatform([...parseBootOptions(commandLine).hiddenFeatures]),
      processor: processorShape,
      state,
      runner: threads,
      memories: domainMemories((wasmPages) => threads.createMemory(wasmPages)),
      totalPages: Math.floor(((options.memoryMiB ?? totalmem() / MIB) * MIB) / PAGE_SIZE),
      nrCpus: availableParallelism(),
      commandLine,
      hwCap: hwCap(),
      withBuild: (version) => withBuild(version, new Date()),
    },
    state,
    threads,
  );
  threads.attach(hypervisor);
  return hypervisor;
}

class NodeHypervisor extends Hypervisor implements Host {
  readonly #hostState: HostState;
  readonly #threads: VcpuThreads;
  #open = true;

  constructor(options: ConstructorParameters<typeof Hypervisor>[0], state: HostState, threads: VcpuThreads) {
    super(options);
    this.#hostState = state;
    this.#threads = threads;
    void this.#events();
  }

  async close(): Promise<void> {
    await Promise.all(this.domains().map((domain) => (domain.domid === 0 ? undefined : domain.destroy())));
    this.#open = false;
    const { words, wakeIndex } = this.#hostState;
    Atomics.add(words, wakeIndex, 1);
    Atomics.notify(words, wakeIndex);
    await this.#threads.close();
  }

  /** Domain 0's upcalls: waits for the wake word to change, then delivers. */
  async #events(): Promise<void> {
    const { words, wakeIndex } = this.#hostState;
    while (this.#open) {
      const seen = Atomics.load(words, wakeIndex);
      this.deliverEvents();
      const waiting = Atomics.waitAsync(words, wakeIndex, seen);
      if (waiting.async) await waiting.value;
      // Events without end must not keep timers and sockets of the main thread from their turn.
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
