/**
 * The hypervisor on the main thread: the list of domains, host-wide accounting, the log, and what sysctl answers. How
 * vCPUs get to run is the host's affair (VcpuRunner): threads in src/host, steps in testing/steppable-host.ts.
 */
import type { FeatureName } from '../abi/arch-x86/cpufeatureset.ts';
import { Errno } from '../abi/errno.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import { DOMID_FIRST_RESERVED } from '../abi/xen.ts';
import type {
  CreateDomain,
  DomainControl,
  DomainScheduling,
  HypervisorControl,
  LocalPort,
  LogLevel,
  PhysInfo,
  XenVersion,
} from './control.ts';
import { HypercallError } from './control.ts';
import type { CrashDump } from './crash-dump.ts';
import { formatCrash } from './crash-dump.ts';
import { Dom0Control } from './dom0-control.ts';
import { Dom0Ports } from './dom0-ports.ts';
import { DomainControlOf } from './domain-control.ts';
import type { DomainShape } from './domain-memory.ts';
import type { DomainTemplateOf } from './domain-template.ts';
import { MAX_EVTCHN_PORT, MAX_GRANT_FRAMES, MAX_VCPUS, computeLayout } from './domain-memory.ts';
import { Domain, MAIN_THREAD, vcpuThread } from './domain.ts';
import { grow } from './grant-table/table.ts';
import {
  conringBytes,
  consoleDevices,
  dom0Memory,
  dom0Vcpus,
  parseBootOptions,
  setRuntimeParameters,
  thresholdsOf,
  type BootOptions,
} from './command-line/boot-options.ts';
import type { Clock, DomainMemories } from './host-services.ts';
import type { HostState } from './host-state.ts';
import { LogRing, isLogged, prefixed } from './log-ring.ts';
import type { PlatformKind } from './platform.ts';
import type { ProcessorShape } from './processor.ts';
import { Runstate, initialiseRunstates, setRunstate } from './runstate.ts';
import { initialiseSharedInfo } from './shared-info.ts';
import { TSC_KHZ } from './time.ts';
import { xenVersion } from './xen-version.ts';

/** What libxl gives a domain that asks for nothing else. */
const DEFAULT_EVTCHN_PORT = 1023;
const DEFAULT_GRANT_FRAMES = 64;
const DEFAULT_DOM0_BYTES = 512 * 2 ** 20;
/** Beyond this the layout is not even computed. */
const MAX_PAGES = 2 ** 30;

/** Runs vCPUs. `start` is called again and again for a vCPU that runs already. */
export interface VcpuRunner {
  /** The vCPU will be started soon, while the main thread is still busy with the domain: what takes time can begin. */
  prepare?(domain: Domain, vcpu: number): void;
  start(domain: Domain, vcpu: number): void;
  /** So many vCPUs may be started soon, of domains that begin in a template. */
  expect?(vcpus: number): void;
  /** Resolves when no thread touches the domain's memory any more. */
  stop(domain: Domain): Promise<void>;
  schedule?(domain: Domain, scheduling: DomainScheduling): void;
  /** Time that a vCPU has run, and where it did last, if that is known better here than by its runstates. */
  ranNs?(domain: Domain, vcpu: number): number | undefined;
  cpuOf?(domain: Domain, vcpu: number): number | undefined;
}

export interface HypervisorOptions {
  readonly clock: Clock;
  readonly kind: PlatformKind;
  readonly processor: ProcessorShape;
  readonly state: HostState;
  readonly runner: VcpuRunner;
  readonly memories: DomainMemories;
  readonly totalPages: number;
  readonly nrCpus: number;
  /** Xen's own command line; which of its options count: command-line/boot-options.ts. */
  readonly commandLine: string;
  /** The eight words of CPUID features that `xl info` shows. */
  readonly hwCap?: readonly number[];
  /** Adds what the host knows of how the hypervisor was made. */
  readonly withBuild?: (version: XenVersion) => XenVersion;
}

/** What a domain's control asks of the hypervisor. */
export interface HypervisorHost {
  readonly clock: Clock;
  readonly kind: PlatformKind;
  readonly state: HostState;
  readonly nrCpus: number;
  readonly runner: VcpuRunner;
  readonly memories: DomainMemories;
  prepareVcpu(domain: Domain, vcpu: number): void;
  startVcpu(domain: Domain, vcpu: number): void;
  stopVcpus(domain: Domain): Promise<void>;
  domainException(domid: number): void;
  forget(domid: number): void;
}

export class Hypervisor implements HypervisorControl, HypervisorHost {
  readonly version: XenVersion;
  readonly clock: Clock;
  readonly kind: PlatformKind;
  readonly state: HostState;
  readonly nrCpus: number;
  readonly runner: VcpuRunner;
  readonly memories: DomainMemories;
  readonly totalPages: number;
  readonly #boot: BootOptions;
  readonly #options: HypervisorOptions;
  readonly #dom0: Dom0Control;
  readonly #domains = new Map<number, DomainControlOf>();
  readonly #ports: Dom0Ports;
  readonly #ring: LogRing;
  readonly #exceptionCallbacks = new Set<(domid: number) => void>();
  #lastDomid = 0;

  constructor(options: HypervisorOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.kind = options.kind;
    this.state = options.state;
    this.runner = options.runner;
    this.memories = options.memories;
    const boot = parseBootOptions(options.commandLine);
    this.#boot = boot;
    this.state.thresholds = thresholdsOf(boot);
    this.#ring = new LogRing(conringBytes(boot, boot.maxCpus || options.nrCpus));
    this.nrCpus = boot.maxCpus === 0 ? options.nrCpus : Math.min(boot.maxCpus, options.nrCpus);
    this.totalPages = boot.mem === 0 ? options.totalPages : Math.min(pagesIn(boot.mem), options.totalPages);
    const version = xenVersion(options.commandLine, boot.scheduler);
    this.version = options.withBuild?.(version) ?? version;
    const dom0Pages = pagesIn(dom0Memory(boot, this.totalPages * PAGE_SIZE, DEFAULT_DOM0_BYTES));
    this.state.releasePages(this.totalPages);
    if (!this.state.claimPages(dom0Pages)) throw new Error('hypervisor: memory of domain 0 exceeds the host');
    this.#dom0 = new Dom0Control(dom0Pages, dom0Vcpus(boot, this.nrCpus), options.clock);
    this.#ports = new Dom0Ports(options.state);
    this.#banner();
  }

  physInfo(): PhysInfo {
    const { totalPages, nrCpus } = this;
    const { hwCap } = this.#options;
    return {
      nrCpus,
      maxCpuId: nrCpus - 1,
      nrNodes: 1,
      coresPerSocket: nrCpus,
      threadsPerCore: 1,
      cpuKhz: TSC_KHZ,
      hwCap: hwCap ?? [0, 0, 0, 0, 0, 0, 0, 0],
      capabilities: { hvm: false, pv: true, directIo: false, hap: false, shadow: false, grantV1: true, grantV2: true },
      totalPages,
      freePages: this.state.freePages,
      scrubPages: 0,
      outstandingPages: 0,
      maxMfn: totalPages - 1,
    };
  }

  createDomain(config: CreateDomain): DomainControl {
    const shape = this.#shape(config);
    const template = config.template as DomainTemplateOf | undefined;
    const layout = template?.layout ?? computeLayout(shape);
    if (layout === undefined) throw new HypercallError(Errno.ENOMEM, `a domain of ${config.maxMemKiB} KiB`);
    const { domid = this.#freeDomid() } = config;
    if (domid <= 0 || domid >= DOMID_FIRST_RESERVED) throw new HypercallError(Errno.EINVAL, `domain ${domid}`);
    if (this.#domains.has(domid)) throw new HypercallError(Errno.EEXIST, `domain ${domid}`);
    let memory: WebAssembly.Memory;
    try {
      memory = template?.memory.create() ?? this.memories.create(layout.wasmPages);
    } catch {
      // The engine has no address space left for it, or the host no room.
      throw new HypercallError(Errno.ENOMEM, `memory for domain ${domid}`);
    }
    const domain = new Domain(domid, memory, layout, MAIN_THREAD);
    if (template === undefined) this.#initialise(domain, config);
    const control = new DomainControlOf(domain, this, config);
    if (config.domid === undefined) this.#lastDomid = domid;
    this.#domains.set(domid, control);
    if (template !== undefined) control.begin(template, config.runsSoon);
    return control;
  }

  #initialise(domain: Domain, { maxGrantVersion, memmapLimitKiB }: CreateDomain): void {
    domain.initialise();
    domain.set('maxGrantVersion', maxGrantVersion ?? 2);
    if (memmapLimitKiB !== undefined) {
      domain.set('mapPages', Math.min(Math.floor((memmapLimitKiB * 1024) / PAGE_SIZE), domain.layout.maxPages));
    }
    domain.locked(() => grow(domain, 1));
    initialiseSharedInfo(domain, this.clock);
    initialiseRunstates(domain, this.clock.now());
  }

  #shape(config: CreateDomain): DomainShape {
    const maxPages = Math.floor((config.maxMemKiB * 1024) / PAGE_SIZE);
    const maxEvtchnPort = config.maxEvtchnPort ?? DEFAULT_EVTCHN_PORT;
    const maxGrantFrames = config.maxGrantFrames ?? DEFAULT_GRANT_FRAMES;
    const within = (value: number, least: number, most: number): boolean =>
      Number.isInteger(value) && value >= least && value <= most;
    const valid =
      within(config.maxVcpus, 1, MAX_VCPUS) &&
      within(maxPages, 1, Number.MAX_SAFE_INTEGER) &&
      within(maxEvtchnPort, 1, MAX_EVTCHN_PORT) &&
      within(maxGrantFrames, 1, MAX_GRANT_FRAMES);
    if (!valid) throw new HypercallError(Errno.EINVAL, 'create a domain');
    if (maxPages > MAX_PAGES) throw new HypercallError(Errno.ENOMEM, `a domain of ${config.maxMemKiB} KiB`);
    return { maxPages, maxVcpus: config.maxVcpus, maxEvtchnPort, maxGrantFrames, processor: this.#options.processor };
  }

  domain(domid: number): DomainControl | undefined {
    return domid === 0 ? this.#dom0 : this.#domains.get(domid);
  }

  domains(): readonly DomainControl[] {
    return [this.#dom0, ...[...this.#domains.values()].sort((a, b) => a.domid - b.domid)];
  }

  bindInterdomain(remoteDomid: number, remotePort: number, onEvent: () => void): LocalPort {
    const control = this.#domains.get(remoteDomid);
    if (control === undefined) throw new HypercallError(Errno.ESRCH, `bind to a port of domain ${remoteDomid}`);
    return this.#ports.bind(control.domain, remotePort, onEvent);
  }

  /** Runs the handlers of domain 0's pending event channels. The host calls it when the state's wake word changes. */
  deliverEvents(): void {
    this.#ports.deliver((error) => this.log('error', `dom0: event handler failed: ${String(error)}`));
  }

  // --- log --------------------------------------------------------------------------------------------------------

  readConsole(options: { readonly clear?: boolean } = {}): string {
    const text = this.#ring.read();
    if (options.clear === true) this.#ring.clear();
    return text;
  }

  onConsoleLine(listener: (line: string) => void): () => void {
    return this.#ring.listen(listener);
  }

  get hiddenFeatures(): readonly FeatureName[] {
    return [...this.#boot.hiddenFeatures];
  }

  /** Where `console=` sends the log's lines: `com1`, `com2`, `vga`. */
  get consoleDevices(): readonly string[] {
    return consoleDevices(this.#boot);
  }

  setParameters(text: string): void {
    const result = setRuntimeParameters(this.#boot, text, (line) => this.log('warning', line));
    this.state.thresholds = thresholdsOf(this.#boot);
    if (result !== 0) throw new HypercallError(result as Errno, `set parameters ${text}`);
  }

  log(level: LogLevel, line: string): void {
    if (isLogged(this.state.thresholds, level)) this.#ring.append(prefixed(line));
  }

  #banner(): void {
    const { version, totalPages, nrCpus } = this;
    const { commandLine } = this.#options;
    const kib = (totalPages * PAGE_SIZE) / 1024;
    // Xen prints its first lines at XENLOG_ERR or unconditionally.
    for (const line of [
      `Xen version ${version.major}.${version.minor}${version.extraVersion} (${version.compileBy}@${version.compileDomain}) (${version.compiler}) debug=n`,
      `Command line: ${commandLine}`,
      ...this.#boot.messages,
      `System RAM: ${Math.floor(kib / 1024)}MB (${kib}kB)`,
      `Detected ${(TSC_KHZ / 1000).toFixed(3)} MHz processor.`,
      `Brought up ${nrCpus} CPUs`,
      `Using scheduler: ${version.scheduler} (${version.scheduler})`,
      `Dom0 has maximum ${this.#dom0.info().nrOnlineVcpus} VCPUs`,
    ]) {
      this.#ring.append(prefixed(line));
    }
  }

  // --- what the domains' threads report ---------------------------------------------------------------------------

  onDomainException(callback: (domid: number) => void): () => void {
    this.#exceptionCallbacks.add(callback);
    return () => this.#exceptionCallbacks.delete(callback);
  }

  domainException(domid: number): void {
    for (const callback of [...this.#exceptionCallbacks]) {
      // Not from within what caused it: the callback may destroy the domain.
      void Promise.resolve(domid)
        .then(callback)
        .catch((error: unknown) => this.log('error', `dom0: exception handler failed: ${String(error)}`));
    }
  }

  domainCrashed(dump: CrashDump): void {
    const { major, minor, extraVersion } = this.version;
    const lines = formatCrash(dump, `${major}.${minor}${extraVersion}`, this.#domains.get(dump.domid)?.symbolize);
    // Xen prints a crash whatever the guests' log level is.
    for (const line of lines) this.#ring.append(prefixed(line));
  }

  /** A vCPU's thread ended by a fault of ours: the domain is lost, the host is not. */
  threadDied(domid: number, vcpu: number, error: string): void {
    const control = this.#domains.get(domid);
    if (control === undefined) return;
    control.domain.threadEnded(vcpuThread(vcpu));
    setRunstate(control.domain, vcpu, Runstate.offline, this.clock.now());
    this.#ring.append(prefixed(`d${domid}v${vcpu}: vCPU thread ended: ${error}`));
    if (control.domain.crash()) this.domainException(domid);
  }

  prepareVcpu(domain: Domain, vcpu: number): void {
    this.runner.prepare?.(domain, vcpu);
  }

  startVcpu(domain: Domain, vcpu: number): void {
    this.runner.start(domain, vcpu);
  }

  vcpuUp(domid: number, vcpu: number): void {
    const control = this.#domains.get(domid);
    if (control !== undefined && !control.domain.dying) this.startVcpu(control.domain, vcpu);
  }

  stopVcpus(domain: Domain): Promise<void> {
    return this.runner.stop(domain);
  }

  forget(domid: number): void {
    this.#ports.closeAll(domid);
    this.#domains.delete(domid);
    this.domainException(domid);
  }

  /** The next number after the last one given, as Xen: numbers are not reused soon. */
  #freeDomid(): number {
    for (let i = 1; i < DOMID_FIRST_RESERVED; i++) {
      const domid = ((this.#lastDomid + i - 1) % (DOMID_FIRST_RESERVED - 1)) + 1;
      if (!this.#domains.has(domid)) return domid;
    }
    throw new HypercallError(Errno.ENOMEM, 'create a domain');
  }
}

function pagesIn(bytes: number): number {
  return Math.floor(bytes / PAGE_SIZE);
}
