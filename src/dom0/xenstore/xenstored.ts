/** The xenstore daemon: one store, and the ways to reach it. */
import { microtasks, type Scheduler } from '../scheduler.ts';
import { XenstoreClient, XenstoreError, type Xenstore } from './client.ts';
import { control } from './control.ts';
import { Domains, type DomainsControl } from './domains.ts';
import { dom0, type Caller } from './permissions.ts';
import type { Quotas } from './quota.ts';
import { Session, type SessionHost } from './session.ts';
import { Store } from './store.ts';
import { StreamConnection, type StreamGlue } from './stream-connection.ts';

export interface XenstoredOptions {
  readonly scheduler?: Scheduler;
  readonly quotas?: Partial<Quotas>;
  /** A callback of a client's watch threw. Default: the error is thrown again on its own. */
  readonly onError?: (error: unknown) => void;
  /** Sees the requests of all connections (not those of in-process clients). */
  readonly trace?: (connection: string, request: string, detail: string) => void;
}

export class Xenstored implements SessionHost {
  readonly store: Store;
  readonly domains: Domains;
  readonly trace?: (connection: string, request: string, detail: string) => void;
  readonly #scheduler: Scheduler;
  readonly #onError: (error: unknown) => void;
  #connections = 0;

  constructor(hypervisor: DomainsControl, options: XenstoredOptions = {}) {
    this.#scheduler = options.scheduler ?? microtasks;
    this.#onError = options.onError ?? rethrow;
    if (options.trace) this.trace = options.trace;
    this.store = new Store(options.quotas);
    this.domains = new Domains(hypervisor, this.#scheduler, this);
    this.client().write('/tool/xenstored', 'xenolith');
  }

  /** For programs in this process: as domain 0, or as another domain's (its rights, its relative paths). */
  client(caller: Caller = dom0): Xenstore {
    const { store } = this;
    return new XenstoreClient({ store, scheduler: this.#scheduler, caller, onError: this.#onError });
  }

  /** A client on a byte stream, with domain 0's rights: the host's unix socket. */
  connect(glue: Omit<StreamGlue, 'newSession'>): StreamConnection {
    const name = `A${++this.#connections}`;
    return new StreamConnection({
      newSession: (onSettle) => new Session(this, name, dom0, onSettle),
      send: (bytes) => glue.send(bytes),
      close: () => glue.close(),
      resume: () => glue.resume(),
    });
  }

  /** XS_INTRODUCE by the toolstack: serves the domain's ring at `mfn` over the event channel `port` of that domain. */
  introduceDomain(domid: number, mfn: number, port: number): void {
    this.#check(this.domains.introduce(domid, mfn, port), `introduce domain ${domid}`);
  }

  /** XS_RELEASE. A domain that is not introduced, for instance because it is gone already, needs none. */
  releaseDomain(domid: number): void {
    if (this.domains.isIntroduced(domid)) this.#check(this.domains.release(domid), `release domain ${domid}`);
  }

  control(command: string, args: readonly string[]): string | undefined {
    return control(this.store, command, args);
  }

  close(): void {
    this.domains.close();
  }

  #check(error: ReturnType<Domains['introduce']>, what: string): void {
    this.store.settle();
    if (error) throw new XenstoreError(error, what);
  }
}

function rethrow(error: unknown): void {
  microtasks.defer(() => {
    throw error;
  });
}
