/** A host without processors: domains are made, built and destroyed, and the test plays what their kernels do. */
import { Errno } from '../../abi/errno.ts';
import { ConsoleFrontend } from '../../dom0/testing/console-frontend.ts';
import { FakeDomain, FakeHypervisor } from '../../dom0/testing/fake-hypervisor.ts';
import {
  HypercallError,
  type CreateDomain,
  type DomainInfo,
  type LogLevel,
  type PhysInfo,
  type ProfileSample,
  type Symbolizer,
  type VcpuInfo,
  type VcpuProfile,
  type XenVersion,
} from '../../hypervisor/control.ts';
import { BuildError } from '../builder/build-error.ts';
import type { BuildRequest, BuiltRings } from '../domain/services.ts';
import type { HypervisorHost } from '../assembly/assemble-host.ts';

const storeMfn = 1;
const consoleMfn = 2;
const sampleInterval = 50_000;

export class GuestDomain extends FakeDomain {
  readonly created: CreateDomain;
  readonly #hypervisor: FakeHost;
  pauses = 1;
  resumes = 0;
  busy = false;
  onlineVcpus = 1;
  handle: Uint8Array;
  console: ConsoleFrontend | undefined;
  /** What its vCPU does between any two looks at it. */
  work: readonly ProfileSample[] = [];
  symbolize: Symbolizer | undefined;
  #looks = 0;

  constructor(domid: number, created: CreateDomain, hypervisor: FakeHost) {
    super(domid);
    this.created = created;
    this.handle = created.handle;
    this.#hypervisor = hypervisor;
  }

  override info(): DomainInfo {
    const { handle, created } = this;
    const paused = this.pauses > 0;
    const { maxMemKiB, memmapLimitKiB = maxMemKiB, maxVcpus } = created;
    return {
      ...super.info(),
      handle,
      paused,
      running: this.busy,
      blocked: !paused && !this.busy,
      totPages: memmapLimitKiB / 4,
      maxPages: maxMemKiB / 4,
      cpuTimeNs: 1.25e9,
      nrOnlineVcpus: this.onlineVcpus,
      maxVcpuId: maxVcpus - 1,
    };
  }

  vcpuInfo(vcpu: number): VcpuInfo | undefined {
    if (vcpu >= this.created.maxVcpus) return undefined;
    const online = vcpu < this.onlineVcpus;
    return { vcpu, online, blocked: online, running: false, cpuTimeNs: 1.25e9, cpu: vcpu % 2, instructions: 0 };
  }

  setMaxMem(kib: number): void {
    if (kib > this.created.maxMemKiB) throw new HypercallError(Errno.EINVAL, 'max_mem');
  }

  profile(vcpu: number, since?: number): VcpuProfile | undefined {
    if (this.domid === 0) return undefined;
    const { work } = this;
    const looks = since === undefined ? this.#looks : ++this.#looks;
    return {
      instructions: looks * work.length * sampleInterval,
      runningNs: looks * 5e6,
      handlingNs: looks * 1e6,
      exits: { Syscall: looks * 10, Cpuid: 0 },
      regions: 7,
      waiting: 2,
      compiled: looks,
      dropped: 0,
      sampled: looks * work.length,
      sampleInterval,
      samples: since === undefined ? [] : work,
    };
  }

  pause(): void {
    this.pauses = 1;
  }

  unpause(): void {
    this.pauses = 0;
  }

  setHandle(handle: Uint8Array): void {
    this.handle = handle;
  }

  destroy(): Promise<void> {
    this.#hypervisor.end(this.domid, 'gone');
    return Promise.resolve();
  }

  /** After a suspend. */
  resume(): void {
    this.state = 'running';
    this.resumes += 1;
  }

  /** The guest's kernel calls SCHEDOP_shutdown. */
  shutDown(reason: number): void {
    this.shutdownReason = reason;
    this.#hypervisor.end(this.domid, 'shutdown');
  }
}

export class FakeHost extends FakeHypervisor {
  readonly guests: GuestDomain[] = [];
  readonly version: XenVersion = {
    major: 4,
    minor: 17,
    extraVersion: '.7',
    compiler: 'cc',
    compileBy: 'somebody',
    compileDomain: 'example.org',
    compileDate: 'today',
    capabilities: 'xen-3.0-x86_64 ',
    changeset: '',
    commandLine: 'loglvl=all',
    buildId: '00',
    pageSize: 4096,
    virtStart: '0xffff800000000000',
    scheduler: 'credit2',
  };
  /** What `xl dmesg` shows. */
  console = '';
  readonly #consoleListeners = new Set<(line: string) => void>();
  #nextDomid = 1;
  closed = false;

  constructor(dom0MiB = 512) {
    super();
    const zero = new GuestDomain(0, { handle: new Uint8Array(16), maxVcpus: 2, maxMemKiB: dom0MiB * 1024 }, this);
    Object.assign(zero, { pauses: 0, busy: true, onlineVcpus: 2 });
    this.adopt(zero);
  }

  createDomain(created: CreateDomain): GuestDomain {
    if (created.maxVcpus > 8) throw new HypercallError(Errno.EINVAL, 'createdomain');
    const guest = new GuestDomain(this.#nextDomid++, created, this);
    this.guests.push(guest);
    this.adopt(guest);
    return guest;
  }

  physInfo(): PhysInfo {
    return {
      nrCpus: 2,
      maxCpuId: 1,
      nrNodes: 1,
      coresPerSocket: 2,
      threadsPerCore: 1,
      cpuKhz: 1_000_000,
      hwCap: [1, 2],
      capabilities: { hvm: false, pv: true, directIo: false, hap: false, shadow: false, grantV1: true, grantV2: true },
      totalPages: 1 << 20,
      freePages: 1 << 19,
      scrubPages: 0,
      outstandingPages: 0,
      maxMfn: 1 << 20,
    };
  }

  setParameters(text: string): void {
    if (!/^(?:guest_)?loglvl=/.test(text)) throw new HypercallError(Errno.ENOENT, 'set_parameter');
  }

  log(_level: LogLevel, line: string): void {
    this.console += `(XEN) ${line}\n`;
  }

  readConsole({ clear = false }: { readonly clear?: boolean } = {}): string {
    const text = this.console;
    if (clear) this.console = '';
    return text;
  }

  onConsoleLine(listener: (line: string) => void): () => void {
    this.#consoleListeners.add(listener);
    return () => void this.#consoleListeners.delete(listener);
  }

  /** The hypervisor says something. */
  say(line: string): void {
    this.console += `${line}\n`;
    for (const listener of this.#consoleListeners) listener(line);
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  /** As assemble-host.ts takes it; the fakes lack what only a running guest needs. */
  asHost(): HypervisorHost {
    return this as unknown as HypervisorHost;
  }

  /** Fills a domain without a kernel file; `/nosuch` in the kernel's path is a file that is missing. */
  readonly build = (domain: { readonly domid: number }, { kernel }: BuildRequest): Promise<BuiltRings> => {
    const guest = this.guests.find((candidate) => candidate.domid === domain.domid);
    if (guest === undefined) throw new Error('a domain of another host');
    if (kernel.includes('/nosuch')) {
      const errno = 'No such file or directory';
      const options = { call: 'kernelFile', code: 'internal', where: 'xg_dom_core.c:205', errno } as const;
      return Promise.reject(new BuildError(`failed to open file '${kernel}': ${errno}`, options));
    }
    const storePort = guest.allocUnbound();
    const consolePort = guest.allocUnbound();
    guest.console = new ConsoleFrontend(guest, consoleMfn, consolePort);
    return Promise.resolve({ storeMfn, storePort, consoleMfn, consolePort });
  };
}
