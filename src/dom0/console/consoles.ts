/**
 * The console daemon: finds the domains' PV consoles through xenstore, as xenconsoled does, and serves them.
 *
 * A domain is noticed by @introduceDomain; its console is there when the toolstack has written `console/ring-ref` and `console/port`.
 * It ends when the hypervisor says that the domain is gone. The log of a guest goes on with the next domain of the same name.
 */
import { HypercallError, type HypervisorControl } from '../../hypervisor/control.ts';
import { microtasks, type Scheduler } from '../scheduler.ts';
import type { Cancellation, Xenstore } from '../xenstore/index.ts';
import { ConsoleRing } from './console-ring.ts';
import { ConsoleTerminal, type Pty } from './console-terminal.ts';
import { DomainConsole } from './domain-console.ts';
import { GuestLog, type LogSink } from './guest-log.ts';
import type { ScrollBack } from './scroll-back.ts';

export interface ConsolesOptions {
  readonly scheduler?: Scheduler;
  /** Guests that are gone whose scroll-back is kept. Default 16. */
  readonly keepEnded?: number;
  /** Opens a guest's log for appending. */
  readonly openLog?: (name: string) => LogSink | undefined;
  /** A pseudo-terminal for a console; undefined where there are none. */
  readonly openPty?: () => Pty | undefined;
  /** What to write to `console/tty` for a console without one: how else it can be reached. */
  readonly tty?: (console: DomainConsole) => string | undefined;
}

/** Of `console/limit`, which says how much output is kept for those who did not read it yet; libxl writes the first of these. */
const usualLimit = 1024 * 1024;
const limits = { least: 4096, most: 16 * 1024 * 1024 } as const;

type Control = Pick<HypervisorControl, 'domain' | 'domains' | 'bindInterdomain' | 'onDomainException'>;

interface Serving {
  readonly console: DomainConsole;
  readonly ringRef: number;
  readonly remotePort: number;
}

export class Consoles {
  readonly #control: Control;
  readonly #xs: Xenstore;
  readonly #options: ConsolesOptions;
  readonly #scheduler: Scheduler;
  readonly #serving = new Map<number, Serving>();
  /** Consoles beside the first of each domain, by `domid/num`. */
  readonly #more = new Map<string, DomainConsole>();
  readonly #watches = new Map<number, () => void>();
  /** In order of last use. */
  readonly #logs = new Map<string, GuestLog>();
  readonly #stop: (() => void)[];
  /** Who waits for a console, by `domid/num`. */
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(control: Control, xs: Xenstore, options: ConsolesOptions = {}) {
    this.#control = control;
    this.#xs = xs;
    this.#options = options;
    this.#scheduler = options.scheduler ?? microtasks;
    this.#stop = [
      xs.watch('@introduceDomain', () => this.#lookForDomains()),
      control.onDomainException((domid) => this.#onException(domid)),
    ];
  }

  /** A console of a domain, if there is one already: the first, or another that was added. */
  get(domid: number, num = 0): DomainConsole | undefined {
    return num === 0 ? this.#serving.get(domid)?.console : this.#more.get(keyOf(domid, num));
  }

  /** Another console of a domain, which somebody else serves. Returns what takes it away. */
  add(domid: number, num: number, console: DomainConsole): () => void {
    const key = keyOf(domid, num);
    this.#more.set(key, console);
    this.#tellWaiting(key);
    return () => {
      if (this.#more.get(key) === console) this.#more.delete(key);
    };
  }

  /** A console of a domain as soon as there is one; another than the one that is known, if one is. */
  async whenServed(
    domid: number,
    num = 0,
    { signal, known }: { readonly signal?: Cancellation; readonly known?: DomainConsole | undefined } = {},
  ): Promise<DomainConsole> {
    for (;;) {
      const console = this.get(domid, num);
      if (console !== undefined && console !== known) return console;
      if (signal?.aborted) throw signal.reason instanceof Error ? signal.reason : new Error('no console');
      await this.#change(keyOf(domid, num), signal);
    }
  }

  /** What is kept of a guest's output, by name, also when it is gone. */
  scrollBack(name: string): ScrollBack | undefined {
    return this.#logs.get(name)?.scrollBack;
  }

  /** Looks at what xenstore says about a domain's console now; otherwise this happens by itself, a little later. */
  serve(domid: number): DomainConsole | undefined {
    const domain = this.#control.domain(domid);
    const base = `/local/domain/${domid}`;
    const ringRef = Number(this.#xs.read(`${base}/console/ring-ref`) ?? NaN);
    const remotePort = Number(this.#xs.read(`${base}/console/port`) ?? NaN);
    const type = this.#xs.read(`${base}/console/type`) ?? 'xenconsoled';
    const known = this.#serving.get(domid);
    if (known?.ringRef === ringRef && known.remotePort === remotePort) return known.console;
    if (!domain?.frames.has(ringRef) || !Number.isInteger(remotePort) || type !== 'xenconsoled') return known?.console;
    known?.console.end();
    const log = this.#logOf(this.#xs.read(`${base}/name`) ?? `domain-${domid}`);
    log.scrollBack.capacity = limitOf(this.#xs.read(`${base}/console/limit`));
    const ring = new ConsoleRing(domain.frames.view(ringRef));
    const console = new DomainConsole(domid, ring, log, { scheduler: this.#scheduler });
    try {
      console.port = this.#control.bindInterdomain(domid, remotePort, () => console.pump());
    } catch (error) {
      if (!(error instanceof HypercallError)) throw error;
      console.end(); // what the page holds is taken nevertheless
      return undefined;
    }
    this.#serving.set(domid, { console, ringRef, remotePort });
    console.pump();
    const pty = this.#options.openPty?.();
    const tty = pty ? new ConsoleTerminal(console.attach('domain'), pty).path : this.#options.tty?.(console);
    if (tty !== undefined) this.#xs.write(`${base}/console/tty`, tty);
    this.#tellWaiting(keyOf(domid, 0));
    return console;
  }

  close(): void {
    for (const stop of this.#stop.splice(0)) stop();
    for (const stop of this.#watches.values()) stop();
    for (const { console } of this.#serving.values()) console.end();
    this.#watches.clear();
    this.#serving.clear();
  }

  /** Resolves when somebody serves a console there, or at the signal. */
  async #change(key: string, signal: Cancellation | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting.add(resolve));
    signal?.addEventListener('abort', resolve, { once: true });
    await promise;
    signal?.removeEventListener('abort', resolve);
    waiting.delete(resolve);
    if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
  }

  #tellWaiting(key: string): void {
    for (const resolve of this.#waiting.get(key) ?? []) resolve();
  }

  #lookForDomains(): void {
    for (const { domid } of this.#control.domains()) {
      if (domid === 0 || this.#watches.has(domid)) continue;
      this.#watches.set(
        domid,
        this.#xs.watch(`/local/domain/${domid}/console`, () => this.serve(domid)),
      );
      this.serve(domid);
    }
  }

  /** A domain may print its last words and be gone before a watch has fired; they are in its page, and are looked for here. */
  #onException(domid: number): void {
    const console = this.serve(domid);
    console?.pump();
    if (this.#control.domain(domid)) return; // shut down or dying: it may still be looked at, and may still print
    console?.end();
    this.#serving.delete(domid);
    this.#watches.get(domid)?.();
    this.#watches.delete(domid);
    this.#forgetOldLogs();
  }

  #logOf(name: string): GuestLog {
    const log = this.#logs.get(name) ?? new GuestLog(name, usualLimit, this.#options.openLog);
    this.#logs.delete(name);
    this.#logs.set(name, log);
    return log;
  }

  #forgetOldLogs(): void {
    const inUse = new Set([...this.#serving.values()].map(({ console }) => console.log));
    const ended = [...this.#logs.values()].filter((log) => !inUse.has(log));
    for (const log of ended.slice(0, Math.max(ended.length - (this.#options.keepEnded ?? 16), 0))) {
      this.#logs.delete(log.name);
    }
  }
}

function keyOf(domid: number, num: number): string {
  return `${domid}/${num}`;
}

/** 0 and nonsense are no limit to xenconsoled; here the host's memory has one. */
function limitOf(text: string | undefined): number {
  if (text === undefined) return usualLimit;
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? Math.min(Math.max(value, limits.least), limits.most) : limits.most;
}
