/**
 * The domains that the store serves, from introduction to death. After docs/misc/xenstore.txt, "Domain management".
 *
 * `@releaseDomain` fires when a domain shuts down (once, until RESUME), when it is released, and when it is gone. Only the latter two
 * end its connection, so a domain that has shut down can still be looked at and preserved.
 */
import type { XsError } from '../../abi/io/xs-wire.ts';
import { HypercallError, type HypervisorControl } from '../../hypervisor/control.ts';
import type { Scheduler } from '../scheduler.ts';
import { RingConnection } from './ring-connection.ts';
import { Session, type DomainRegistry, type SessionHost } from './session.ts';

export type DomainsControl = Pick<HypervisorControl, 'domain' | 'bindInterdomain' | 'onDomainException'>;

interface Introduced {
  readonly connection: RingConnection;
  /** Its shutdown has been announced. */
  shutdown: boolean;
}

export class Domains implements DomainRegistry {
  readonly #control: DomainsControl;
  readonly #scheduler: Scheduler;
  readonly #host: SessionHost;
  readonly #introduced = new Map<number, Introduced>();
  readonly #targets = new Map<number, number>();
  readonly #unsubscribe: () => void;

  constructor(control: DomainsControl, scheduler: Scheduler, host: SessionHost) {
    this.#control = control;
    this.#scheduler = scheduler;
    this.#host = host;
    this.#unsubscribe = control.onDomainException((domid) => this.#onException(domid));
  }

  /** A domain that is introduced again gets a new connection in place of the old one, and no event fires. */
  introduce(domid: number, mfn: number, port: number): XsError | undefined {
    const domain = domid === 0 ? undefined : this.#control.domain(domid);
    if (!domain?.frames.has(mfn)) return 'EINVAL';
    const known = this.#introduced.get(domid);
    known?.connection.close();
    this.#introduced.delete(domid);
    const target = this.#targets.get(domid);
    const connection = new RingConnection({
      page: domain.frames.view(mfn),
      scheduler: this.#scheduler,
      newSession: (onSettle) => new Session(this.#host, `D${domid}`, { domid, privileged: false, target }, onSettle),
    });
    try {
      connection.port = this.#control.bindInterdomain(domid, port, () => connection.pump());
    } catch (error) {
      if (!(error instanceof HypercallError)) throw error;
      connection.close();
      if (known) this.#gone(domid);
      return 'EINVAL';
    }
    this.#introduced.set(domid, { connection, shutdown: known?.shutdown ?? false });
    if (known) return undefined;
    this.#host.writeRate.add(domid);
    this.#host.store.fireSpecial('@introduceDomain', domid);
    return undefined;
  }

  release(domid: number): XsError | undefined {
    if (!this.#introduced.has(domid)) return domid === 0 ? 'EINVAL' : 'ENOENT';
    this.#drop(domid);
    return undefined;
  }

  isIntroduced(domid: number): boolean {
    return domid === 0 || this.#introduced.has(domid);
  }

  introduced(): readonly number[] {
    return [...this.#introduced.keys()];
  }

  session(domid: number): Session | undefined {
    return this.#introduced.get(domid)?.connection.session;
  }

  resume(domid: number): XsError | undefined {
    const known = this.#introduced.get(domid);
    if (!known) return 'ENOENT';
    known.shutdown = false;
    return undefined;
  }

  setTarget(domid: number, target: number): XsError | undefined {
    const known = this.#introduced.get(domid);
    // Domain 0 is introduced, but has nothing here that could be a target or have one.
    if (!known || !this.#introduced.has(target)) return 'ENOENT';
    this.#targets.set(domid, target);
    const { session } = known.connection;
    session.caller = { ...session.caller, target };
    return undefined;
  }

  close(): void {
    this.#unsubscribe();
    for (const { connection } of this.#introduced.values()) connection.close();
    this.#introduced.clear();
  }

  #onException(domid: number): void {
    const info = this.#control.domain(domid)?.info();
    const known = this.#introduced.get(domid);
    if (!info || info.dying) {
      if (known) this.#drop(domid);
      else this.#forget(domid);
    } else if (info.shutdown && known && !known.shutdown) {
      known.shutdown = true;
      this.#host.store.fireSpecial('@releaseDomain', domid);
    }
    this.#host.store.settle();
  }

  #drop(domid: number): void {
    this.#introduced.get(domid)?.connection.close();
    this.#introduced.delete(domid);
    this.#gone(domid);
  }

  #gone(domid: number): void {
    this.#host.writeRate.remove(domid);
    this.#forget(domid);
    this.#host.store.fireSpecial('@releaseDomain', domid);
  }

  /** Its nodes go, and whoever acted for it does so no more: its number may be another's one day. */
  #forget(domid: number): void {
    this.#targets.delete(domid);
    for (const [stub, target] of this.#targets) {
      if (target !== domid) continue;
      this.#targets.delete(stub);
      const session = this.session(stub);
      if (session) session.caller = { ...session.caller, target: undefined };
    }
    this.#host.store.forgetDomain(domid);
  }
}
