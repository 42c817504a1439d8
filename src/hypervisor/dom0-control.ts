/** Domain 0 in the list of domains: the process itself. It has no vCPU, no frames and no grant table of the hypervisor's. */
import { Errno } from '../abi/errno.ts';
import type { DomainControl, DomainInfo, GrantBatch, GrantMapping, GuestFrames, VcpuInfo } from './control.ts';
import { HypercallError } from './control.ts';
import type { Clock } from './host-services.ts';

const noFrames: GuestFrames = {
  has: () => false,
  view: (mfn) => {
    throw new RangeError(`domain 0 has no frame ${mfn}`);
  },
  bytes: (address) => {
    throw new RangeError(`domain 0 has no memory at ${address}`);
  },
  dataView: new DataView(new ArrayBuffer(0)),
  base: 0,
  count: 0,
  wrote: () => undefined,
};

export class Dom0Control implements DomainControl {
  readonly domid = 0;
  readonly frames = noFrames;
  readonly sharedInfoMfn = 0;
  readonly symbolize = undefined;
  readonly #pages: number;
  readonly #vcpus: number;
  readonly #clock: Clock;

  constructor(pages: number, vcpus: number, clock: Clock) {
    this.#pages = pages;
    this.#vcpus = vcpus;
    this.#clock = clock;
  }

  info(): DomainInfo {
    return {
      domid: 0,
      handle: new Uint8Array(16),
      dying: false,
      shutdown: false,
      paused: false,
      blocked: false,
      running: true,
      totPages: this.#pages,
      maxPages: this.#pages,
      sharedInfoMfn: 0,
      cpuTimeNs: this.#clock.cpuTime?.() ?? 0,
      nrOnlineVcpus: this.#vcpus,
      maxVcpuId: this.#vcpus - 1,
    };
  }

  vcpuInfo(vcpu: number): VcpuInfo | undefined {
    if (vcpu < 0 || vcpu >= this.#vcpus) return undefined;
    const cpuTimeNs = vcpu === 0 ? this.info().cpuTimeNs : 0;
    return { vcpu, online: true, blocked: vcpu !== 0, running: vcpu === 0, cpuTimeNs, instructions: 0, cpu: vcpu };
  }

  populate(): void {
    refuse('populate');
  }

  setMaxMem(): void {
    refuse('max_mem');
  }

  setHandle(): void {
    refuse('setdomainhandle');
  }

  hypercallInit(): void {
    refuse('hypercall_init');
  }

  allocUnbound(): number {
    return refuse('alloc_unbound');
  }

  seedGrant(): void {
    refuse('grant');
  }

  grantMap(): GrantMapping | number {
    return refuse('map a grant');
  }

  grantMapBatch(): GrantBatch {
    return refuse('map grants');
  }

  grantCopy(): Int32Array {
    return refuse('copy from grants');
  }

  populatePhysmap(): void {
    refuse('populate');
  }

  pinTable(): void {
    refuse('pin');
  }

  frameType(): never {
    return refuse('getpageframeinfo');
  }

  vcpuExtended(): never {
    return refuse('get_ext_vcpucontext');
  }

  restoreVcpu(): void {
    refuse('setvcpucontext');
  }

  tscInfo(): never {
    return refuse('gettscinfo');
  }

  cpuid(): never {
    return refuse('get_cpu_policy');
  }

  resume(): void {
    refuse('resume');
  }

  prepareFreeze(): never {
    return refuse('freeze');
  }

  freeze(): never {
    return refuse('freeze');
  }

  setVcpuContext(): void {
    refuse('setvcpucontext');
  }

  setScheduling(): void {
    // Its threads are the host's.
  }

  getVcpuContext(): undefined {
    return undefined;
  }

  pfnOf(): undefined {
    return undefined;
  }

  sendNmi(): void {
    refuse('sendtrigger');
  }

  setSymbols(): void {
    refuse('symbols');
  }

  profile(): undefined {
    return undefined;
  }

  pause(): void {
    refuse('pause');
  }

  unpause(): void {
    refuse('unpause');
  }

  shutdown(): void {
    refuse('shutdown');
  }

  destroy(): Promise<void> {
    return refuse('destroy');
  }
}

/** A domain may not do these to itself (domctl.c: -EINVAL for the caller's own domain). */
function refuse(what: string): never {
  throw new HypercallError(Errno.EINVAL, `domain 0: ${what}`);
}
