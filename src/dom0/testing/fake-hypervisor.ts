/** Stands in for the hypervisor in tests of dom0's services: domains of a few frames, event channels, exceptions at will. */
import { Errno } from '../../abi/errno.ts';
import { GNTST } from '../../abi/grant-table.ts';
import {
  HypercallError,
  type DomainInfo,
  type DomainScheduling,
  type GrantBatch,
  type GrantCopy,
  type GrantMapping,
  type GuestFrames,
  type LocalPort,
} from '../../hypervisor/control.ts';

interface Channel {
  remote: (() => void) | undefined;
  /** Of the guest's next events: those that do not wake domain 0. */
  ignored: number;
  /** Notifications from dom0 that the guest has not looked at. */
  raised: number;
}

interface Grant {
  readonly mfn: number;
  readonly readonly: boolean;
  /** How often domain 0 has it mapped. */
  mapped: number;
}

export class FakeDomain {
  readonly domid: number;
  readonly frames: GuestFrames;
  state: 'running' | 'shutdown' | 'dying' = 'running';
  shutdownReason = 0;
  readonly #channels = new Map<number, Channel>();
  readonly #grants = new Map<number, Grant>();
  #nextRef = 8;
  scheduling: DomainScheduling | undefined;

  constructor(domid: number, nrFrames = 4) {
    this.domid = domid;
    this.frames = fakeFrames(nrFrames);
  }

  setScheduling(scheduling: DomainScheduling): void {
    this.scheduling = scheduling;
  }

  allocUnbound(): number {
    const port = this.#channels.size + 1;
    this.#channels.set(port, { remote: undefined, ignored: 0, raised: 0 });
    return port;
  }

  bind(port: number, onEvent: () => void): LocalPort {
    const channel = this.#channels.get(port);
    if (!channel || channel.remote) throw new HypercallError(Errno.EINVAL, 'bind_interdomain');
    channel.remote = onEvent;
    return {
      port: 100 + port,
      notify: () => void channel.raised++,
      ignore: (events) => void (channel.ignored = events),
      close: () => {
        channel.remote = undefined;
        channel.ignored = 0;
      },
    };
  }

  /** The guest lets domain 0 have a frame; the reference. */
  grant(mfn: number, readonly = false): number {
    this.#grants.set(this.#nextRef, { mfn, readonly, mapped: 0 });
    return this.#nextRef++;
  }

  /** The guest ends a grant; false while it is mapped. */
  endGrant(ref: number): boolean {
    return (this.#grants.get(ref)?.mapped ?? 0) === 0 && this.#grants.delete(ref);
  }

  grantMap(ref: number, options: { readonly readonly: boolean }): GrantMapping | number {
    const grant = this.#grants.get(ref);
    if (grant === undefined) return GNTST.bad_gntref;
    if (grant.readonly && !options.readonly) return GNTST.general_error;
    let mapped = true;
    grant.mapped++;
    return {
      mfn: grant.mfn,
      unmap: () => {
        if (mapped) grant.mapped--;
        mapped = false;
      },
    };
  }

  grantMapBatch(refs: readonly number[], options: { readonly readonly: boolean }): GrantBatch {
    const mappings = refs.map((ref) => this.grantMap(ref, options));
    return {
      frames: Int32Array.from(mappings, (mapping) => (typeof mapping === 'number' ? mapping : mapping.mfn)),
      status: mappings.find((mapping) => typeof mapping === 'number') ?? GNTST.okay,
      unmap: () => {
        for (const mapping of mappings) if (typeof mapping !== 'number') mapping.unmap();
      },
    };
  }

  grantCopy(copies: readonly GrantCopy[]): Int32Array {
    return Int32Array.from(copies, ({ ref, offset, bytes, direction }) => {
      if (offset < 0 || offset + bytes.length > 4096) return GNTST.bad_copy_arg;
      const mapping = this.grantMap(ref, { readonly: direction === 'from grant' });
      if (typeof mapping === 'number') return mapping;
      const page = this.frames.bytes(mapping.mfn * 4096 + offset, bytes.length);
      if (direction === 'from grant') bytes.set(page);
      else page.set(bytes);
      mapping.unmap();
      return GNTST.okay;
    });
  }

  /** Mappings that domain 0 holds. */
  get mappings(): number {
    return [...this.#grants.values()].reduce((sum, { mapped }) => sum + mapped, 0);
  }

  /** EVTCHNOP_send by the guest; whether it wakes domain 0. */
  send(port: number): boolean {
    const channel = this.#channels.get(port);
    if (channel?.remote === undefined || channel.ignored-- > 0) return false;
    channel.remote();
    return true;
  }

  /** How often dom0 has notified the port since the last call. */
  raised(port: number): number {
    const channel = this.#channels.get(port);
    const raised = channel?.raised ?? 0;
    if (channel) channel.raised = 0;
    return raised;
  }

  isBound(port: number): boolean {
    return this.#channels.get(port)?.remote !== undefined;
  }

  info(): DomainInfo {
    return {
      domid: this.domid,
      handle: new Uint8Array(16),
      dying: this.state === 'dying',
      shutdown: this.state === 'shutdown',
      paused: false,
      blocked: false,
      running: this.state === 'running',
      ...(this.state === 'shutdown' ? { shutdownReason: this.shutdownReason } : {}),
      totPages: this.frames.count,
      maxPages: this.frames.count,
      sharedInfoMfn: 0,
      cpuTimeNs: 0,
      nrOnlineVcpus: 1,
      maxVcpuId: 0,
    };
  }
}

export class FakeHypervisor {
  readonly #domains = new Map<number, FakeDomain>();
  readonly #listeners = new Set<(domid: number) => void>();

  add(domid: number, nrFrames?: number): FakeDomain {
    const domain = new FakeDomain(domid, nrFrames);
    this.#domains.set(domid, domain);
    return domain;
  }

  adopt(domain: FakeDomain): void {
    this.#domains.set(domain.domid, domain);
  }

  /** The domain shuts down, dies or vanishes, and dom0 hears of it. */
  end(domid: number, how: 'shutdown' | 'dying' | 'gone'): void {
    const domain = this.#domains.get(domid);
    if (how === 'gone') this.#domains.delete(domid);
    else if (domain) domain.state = how;
    for (const listener of this.#listeners) listener(domid);
  }

  // The casts below hide that a fake domain lacks most of DomainControl; dom0's services use what is there.
  domain(domid: number): never {
    return this.#domains.get(domid) as never;
  }

  domains(): never {
    return [...this.#domains.values()] as never;
  }

  bindInterdomain(domid: number, port: number, onEvent: () => void): LocalPort {
    const domain = this.#domains.get(domid);
    if (!domain) throw new HypercallError(Errno.ESRCH, 'bind_interdomain');
    return domain.bind(port, onEvent);
  }

  onDomainException(callback: (domid: number) => void): () => void {
    this.#listeners.add(callback);
    return () => void this.#listeners.delete(callback);
  }
}

function fakeFrames(count: number): GuestFrames {
  const memory = new SharedArrayBuffer(count * 4096);
  const bytes = (address: number, length: number): Uint8Array => new Uint8Array(memory, address, length);
  return {
    view: (mfn) => bytes(mfn * 4096, 4096),
    has: (mfn) => Number.isInteger(mfn) && mfn >= 0 && mfn < count,
    bytes,
    dataView: new DataView(memory),
    base: 0,
    count,
    wrote: () => undefined,
  };
}

/** Runs deferred work when the test says so. */
export class ManualScheduler {
  #tasks: (() => void)[] = [];

  defer(task: () => void): void {
    this.#tasks.push(task);
  }

  /** Until nothing is left. */
  run(): void {
    for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) task();
  }
}
