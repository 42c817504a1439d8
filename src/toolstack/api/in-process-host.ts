/** A host in the program's own process: guests, and what happens to them. */
import { assembleHost, type AssemblyOptions, type HostParts } from '../assembly/assemble-host.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import type { CreateOptions as DomainCreateOptions, ManagedDomain } from '../domain/managed-domain.ts';
import { snapshotSaved } from '../fork/saved-snapshot.ts';
import { restoreFrom } from '../migration/transfer.ts';
import { abortable } from './abortable.ts';
import { asXenolithError, withApiErrors, XenolithError } from './errors.ts';
import { EventStream } from './event-stream.ts';
import type { GuestSource } from './guest-config.ts';
import { GuestSnapshot } from './guest-snapshot.ts';
import { Guest, type GuestGlue } from './guest.ts';
import type { HostEvent } from './host-event.ts';
import { KeepAlive } from './keep-alive.ts';
import type { Receiver } from './migrate-guest.ts';
import { readGuestConfig } from './read-config.ts';
import { openSaved, readSavedConfig } from './saved-guest.ts';
import { temporaryFolder } from './temporary-folder.ts';
import type { WaitOptions } from './wait-options.ts';

/** What the place that this runs in hands in. */
export type HostPlatform = Pick<
  AssemblyOptions,
  'host' | 'network' | 'diskHost' | 'openPty' | 'clock' | 'build' | 'memory'
>;

/** How a guest is made. */
export interface CreateOptions {
  /** It does not run before `start`. Default false. */
  readonly paused?: boolean;
  /** Gives up: nothing is left of the guest. */
  readonly signal?: AbortSignal | undefined;
}

/** How a saved guest is brought back. */
export interface RestoreOptions extends CreateOptions {
  /** In place of the name it had. */
  readonly name?: string;
  /** Milliseconds after which it is destroyed, wherever it is, at most 24 days. Default, and `Infinity`: no limit. */
  readonly timeLimit?: number;
}

/** What a host has at one moment. */
export interface HostInfo {
  /** `4.17.7`: the Xen that guests see. */
  readonly xenVersion: string;
  /** Processors. */
  readonly cpus: number;
  /** MiB for all guests together. */
  readonly memory: number;
  /** MiB that are left. */
  readonly freeMemory: number;
  /** How many guests there are. */
  readonly guests: number;
}

const PAGES_PER_MIB = 256;

/** A host without a daemon, sockets or files of its own: it lives in this process, and its guests end with it. */
export class InProcessHost implements AsyncDisposable {
  readonly #parts: HostParts;
  readonly #glue: GuestGlue;
  readonly #removeFolder: () => void;
  readonly #guests = new Set<Guest>();
  readonly #streams = new Set<EventStream<HostEvent>>();
  readonly #keepAlive = new KeepAlive();
  #names = 0;
  #closing: Promise<void> | undefined;

  /** @internal */
  protected constructor(parts: HostParts, log: (line: string) => void, removeFolder: () => void) {
    this.#parts = parts;
    this.#removeFolder = removeFolder;
    this.#glue = {
      parts,
      log,
      keepAlive: this.#keepAlive,
      tell: (event) => {
        for (const stream of [...this.#streams]) stream.push(event);
      },
      adopt: async (domid, timeLimit) => {
        const domain = parts.manager.domain(domid);
        if (domain === undefined) throw new XenolithError('GONE', `domain ${domid} was destroyed`);
        if (this.#closing !== undefined) await parts.manager.destroy(domid);
        this.#checkOpen();
        return this.#adopt(domain, timeLimit);
      },
      snapshots: new Set(),
      discard: async (domid) => {
        if (parts.manager.domain(domid) !== undefined) await parts.manager.destroy(domid);
      },
      forget: (guest) => this.#guests.delete(guest),
    };
  }

  /** @internal Of what a platform hands in. */
  static async on(platform: HostPlatform, log: (line: string) => void): Promise<InProcessHost> {
    const [parts, remove] = await assembleParts(platform, log);
    return new InProcessHost(parts, log, remove);
  }

  /** All that there are, in the order in which they were made. */
  get guests(): readonly Guest[] {
    return [...this.#guests];
  }

  /** The guest of this name. */
  guest(name: string): Guest | undefined {
    return this.guests.find((guest) => guest.name === name);
  }

  /** Makes a guest and lets it run. Throws XenolithError in xl's words. */
  async create(source: GuestSource, options: CreateOptions = {}): Promise<Guest> {
    options.signal?.throwIfAborted();
    this.#checkOpen();
    const config = readGuestConfig(source, { freeName: () => this.#freeName(), warn: this.#glue.log });
    return this.#make(config, {}, source.timeLimit, options);
  }

  /**
   * Brings back a guest that was saved here, by `xl save`, or on a real Xen host: from a file, or anything that gives its bytes piece by piece. It goes on where it was.
   * Throws XenolithError with code STREAM for what is no saved guest.
   */
  async restore(
    source: string | URL | AsyncIterable<Uint8Array>,
    { name, timeLimit, ...options }: RestoreOptions = {},
  ): Promise<Guest> {
    const { signal } = options;
    signal?.throwIfAborted();
    this.#checkOpen();
    return withApiErrors(async () => {
      await using saved = await openSaved(this.#parts, source);
      try {
        const config = await this.#keepAlive.during(abortable(readSavedConfig(saved.bytes), signal));
        if (name !== undefined) config.c_info.name = name;
        const restore = restoreFrom(saved.bytes, { line: this.#glue.log }, saved.complete);
        return await this.#make(config, { restore }, timeLimit, options);
      } catch (error) {
        saved.giveUp();
        throw error;
      }
    });
  }

  /**
   * A guest that was saved, as `restore` takes it, for clones to begin from: nothing of it runs itself, so it may still run under its own name. Its disks have to be what they were
   * when it was saved. Throws XenolithError.
   */
  async snapshot(
    source: string | URL | AsyncIterable<Uint8Array>,
    { signal }: WaitOptions = {},
  ): Promise<GuestSnapshot> {
    signal?.throwIfAborted();
    this.#checkOpen();
    const { manager } = this.#parts;
    const take = async (): Promise<GuestSnapshot> => {
      await using saved = await openSaved(this.#parts, source);
      try {
        const config = await readSavedConfig(saved.bytes);
        const restore = restoreFrom(saved.bytes, { line: this.#glue.log }, saved.complete);
        const snapshot = await snapshotSaved(manager, config, restore);
        if (signal?.aborted === true) await snapshot.close();
        signal?.throwIfAborted();
        return new GuestSnapshot(this.#glue, snapshot);
      } catch (error) {
        saved.giveUp();
        throw error;
      }
    };
    return this.#keepAlive.during(abortable(withApiErrors(take), signal));
  }

  /**
   * What happens to guests from now on, until the host is closed, the signal is aborted or the loop is left. Of a reader that falls behind by more than
   * 1024 events the oldest are dropped.
   */
  events({ signal }: WaitOptions = {}): AsyncIterableIterator<HostEvent, undefined> {
    const keepAlive = this.#keepAlive;
    const stream = new EventStream<HostEvent>({ keepAlive, signal, onEnd: () => this.#streams.delete(stream) });
    if (this.#closing === undefined) this.#streams.add(stream);
    else stream.end();
    return stream;
  }

  /** What it has at this moment. */
  info(): HostInfo {
    const { hypervisor } = this.#parts;
    const { nrCpus, totalPages, freePages } = hypervisor.physInfo();
    const { major, minor, extraVersion } = hypervisor.version;
    return {
      xenVersion: `${major}.${minor}${extraVersion}`,
      cpus: nrCpus,
      memory: Math.floor(totalPages / PAGES_PER_MIB),
      freeMemory: Math.floor(freePages / PAGES_PER_MIB),
      guests: this.#guests.size,
    };
  }

  /** The hypervisor's messages, crashes of guests among them: what `xl dmesg` shows, its last 16 KiB. */
  messages(): string {
    return this.#parts.hypervisor.readConsole();
  }

  /** Ends all guests, as pulling their plugs does, closes snapshots, and lets go of everything. */
  close(): Promise<void> {
    this.#closing ??= this.#keepAlive.during(withApiErrors(() => this.#close()));
    return this.#closing;
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all(this.guests.map((guest) => guest.destroy()));
    await Promise.all([...this.#glue.snapshots].map((snapshot) => snapshot.close()));
    await this.#parts.close();
    this.#removeFolder();
    for (const stream of [...this.#streams]) stream.end();
  }

  /** @internal What a guest that moves here needs. */
  receiver(): Receiver {
    this.#checkOpen();
    return { parts: this.#parts, adopt: (domid) => this.#glue.adopt(domid, undefined) };
  }

  async #make(
    config: DomainConfig,
    how: DomainCreateOptions,
    timeLimit: number | undefined,
    { paused = false, signal }: CreateOptions,
  ): Promise<Guest> {
    const { manager } = this.#parts;
    const abandon = (): void => {
      const domain = manager.domains().find((candidate) => candidate.config === config);
      if (domain !== undefined) void manager.destroy(domain.domid).catch(this.#parts.onError);
    };
    signal?.addEventListener('abort', abandon, { once: true });
    try {
      const domain = await this.#keepAlive.during(abortable(manager.create(config, how), signal));
      const guest = this.#adopt(domain, timeLimit);
      if (!paused) await guest.unpause();
      return guest;
    } catch (error) {
      signal?.throwIfAborted();
      throw asXenolithError(error);
    } finally {
      signal?.removeEventListener('abort', abandon);
    }
  }

  #adopt(domain: ManagedDomain, timeLimit: number | undefined): Guest {
    const guest = new Guest(this.#glue, domain, { timeLimit });
    this.#guests.add(guest);
    this.#glue.tell({ type: 'created', guest });
    return guest;
  }

  #freeName(): string {
    for (;;) {
      const name = `guest-${++this.#names}`;
      if (this.#parts.manager.domidOf(name) === undefined) return name;
    }
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new XenolithError('CLOSED', 'the host is closed');
  }
}

/** A host's parts, in a temporary folder, and what takes that away. */
export async function assembleParts(
  { host, ...platform }: HostPlatform,
  log: (line: string) => void,
): Promise<[parts: HostParts, removeFolder: () => void]> {
  const folder = temporaryFolder();
  try {
    const openLog = (name: string): { line: (text: string) => void; close: () => void } => ({
      line: (text) => log(`${name}: ${text}`),
      close: () => undefined,
    });
    return [await assembleHost({ ...platform, host, folders: folder, openLog, log }), () => folder.remove()];
  } catch (error) {
    folder.remove();
    await host.close();
    throw asXenolithError(error);
  }
}
