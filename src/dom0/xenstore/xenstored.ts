/** The xenstore daemon: one store, and the ways to reach it. */
import { microtasks, type Scheduler, type Clock } from '../scheduler.ts';
import { XenstoreClient, XenstoreError, type Xenstore } from './client.ts';
import { control, type Usage } from './control.ts';
import { Domains, type DomainsControl } from './domains.ts';
import type { Reply } from './messages.ts';
import { dom0, type Caller } from './permissions.ts';
import type { Quotas } from './quota.ts';
import { Session, type SessionHost } from './session.ts';
import { Store } from './store.ts';
import { StreamConnection, type StreamGlue } from './stream-connection.ts';
import { WriteRate } from './write-rate.ts';

export interface XenstoredOptions {
  readonly scheduler?: Scheduler;
  /** Without it, events wait for ever for who does not read, and guests may write as fast as they can. */
  readonly clock?: Clock;
  readonly quotas?: Partial<Quotas>;
  /** A callback of a client's watch threw, or the store itself. Default: the error is thrown again on its own. */
  readonly onError?: (error: unknown) => void;
  /** Where the daemon says what it has to say. */
  readonly log?: (line: string) => void;
  /** Sees the requests of all connections (not those of in-process clients). */
  readonly trace?: (connection: string, request: string, detail: string) => void;
}

export class Xenstored implements SessionHost {
  readonly store: Store;
  readonly domains: Domains;
  readonly clock: Clock | undefined;
  readonly writeRate: WriteRate;
  readonly #options: XenstoredOptions;
  readonly #scheduler: Scheduler;
  readonly #onError: (error: unknown) => void;
  #connections = 0;
  trace: ((connection: string, request: string, detail: string) => void) | undefined;

  constructor(hypervisor: DomainsControl, options: XenstoredOptions = {}) {
    this.#options = options;
    this.trace = options.trace;
    this.#scheduler = options.scheduler ?? microtasks;
    this.#onError = options.onError ?? rethrow;
    this.clock = options.clock;
    this.writeRate = new WriteRate(options.clock);
    this.store = new Store({
      ...(options.quotas ? { quotas: options.quotas } : {}),
      domainExists: (domid) => domid === 0 || hypervisor.domain(domid) !== undefined,
    });
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

  control(command: string, args: readonly string[]): Reply {
    return control(
      {
        store: this.store,
        usage: (domid) => this.#usage(domid),
        domains: () => [0, ...this.domains.introduced()],
        log: (line) => this.log(line),
        logRequests: (on) => this.#logRequests(on),
      },
      command,
      args,
    );
  }

  bug(error: unknown): void {
    this.#onError(error);
  }

  /** Clients write what they want; a line of the log stays one. */
  log(line: string): void {
    this.#options.log?.(`xenstored: ${line.replace(/[^ -~]/g, '?')}`);
  }

  close(): void {
    this.domains.close();
  }

  #logRequests(on: boolean): void {
    const { trace } = this.#options;
    this.trace = on
      ? (connection, request, detail) => {
          trace?.(connection, request, detail);
          this.log(`${connection} ${request} ${detail.replaceAll('\0', ' ')}`);
        }
      : trace;
  }

  #usage(domid: number): Usage | undefined {
    if (domid !== 0 && !this.domains.isIntroduced(domid)) return undefined;
    const session = this.domains.session(domid);
    return {
      nodes: this.store.tree.owned(domid),
      watches: session?.watches ?? 0,
      transactions: session?.transactions ?? 0,
      outstanding: session?.outstanding.count ?? 0,
      memory: session?.memory ?? 0,
    };
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
