/** A guest: one domain after the other when it reboots, one object for whoever uses it. */
import { shutdownReasons, type ShutdownReason } from '../../hypervisor/control.ts';
import { isEnd, type DomainEvent, type ManagedDomain } from '../domain/managed-domain.ts';
import { setMaxMemory, setMemoryTarget } from '../domain/memory-target.ts';
import { monitor } from '../domain/monitor.ts';
import { setVcpusOnline } from '../domain/vcpu-online.ts';
import type { HostParts } from '../assembly/assemble-host.ts';
import { abortable } from './abortable.ts';
import { withApiErrors, XenolithError } from './errors.ts';
import { GuestChannels } from './guest-channels.ts';
import { GuestConsole } from './guest-console.ts';
import { GuestDisks } from './guest-disks.ts';
import { GuestNics } from './guest-nics.ts';
import { GuestAgent } from './guest-agent.ts';
import { GuestFiles } from './guest-files.ts';
import { guestInfo, type GuestInfo } from './guest-info.ts';
import { agentOptions, GuestProgram, type ExecOptions, type ExecResult, type SpawnOptions } from './guest-program.ts';
import { GuestSnapshot, type ForkOptions, type SnapshotGlue } from './guest-snapshot.ts';
import type { ExitReason, GuestExit, HostEvent } from './host-event.ts';
import type { InProcessHost } from './in-process-host.ts';
import type { KeepAlive } from './keep-alive.ts';
import { migrateByCommand, migrateWithin, type MigrateOptions, type MigrationReport } from './migrate-guest.ts';
import { saveGuest, type SaveOptions } from './save-guest.ts';
import type { WaitOptions } from './wait-options.ts';

/** What a guest needs of its host. */
export interface GuestGlue {
  readonly parts: HostParts;
  readonly keepAlive: KeepAlive;
  readonly tell: (event: HostEvent) => void;
  readonly log: (line: string) => void;
  readonly adopt: SnapshotGlue['adopt'];
  readonly discard: SnapshotGlue['discard'];
  readonly snapshots: SnapshotGlue['snapshots'];
  /** Nothing is left of the guest. */
  readonly forget: (guest: Guest) => void;
}

export interface GuestOptions {
  /** Milliseconds. */
  readonly timeLimit: number | undefined;
}

const KIB = 1024;
/** What a timer of Node takes; it fires at once for more. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * A guest of a host. `await using guest = await host.create(…)` destroys it at the end of the block. A guest does not keep the process alive: what a program
 * waits for, such as `exited`, a command in the guest or its console, does.
 */
export class Guest implements AsyncDisposable {
  /** Its first console. */
  readonly console: GuestConsole;
  /** Its disks, which come and go while it runs. */
  readonly disks: GuestDisks;
  /** Its network interfaces, which come and go while it runs, and ports of the host that lead to it. */
  readonly nics: GuestNics;
  /** Its files, if it has an agent. */
  readonly files: GuestFiles;
  readonly #agent: GuestAgent;
  readonly #channels: GuestChannels;
  readonly #glue: GuestGlue;
  readonly #exited = Promise.withResolvers<GuestExit>();
  readonly #unsubscribe: () => void;
  readonly #limit: NodeJS.Timeout | undefined;
  #domain: ManagedDomain;
  #exit: GuestExit | undefined;
  /** Why its kernel has stopped last. */
  #stopped: ShutdownReason | undefined;
  /** Who ended it, when it did not end by itself. */
  #cause: ExitReason | undefined;
  /** The name that it had here, while its domain is one that has left. */
  #movedAs: string | undefined;
  #gone = false;
  #ofBoot: ReturnType<HostParts['console']>;
  #nextBoot = Promise.withResolvers<void>();

  /** @internal */
  constructor(glue: GuestGlue, domain: ManagedDomain, { timeLimit }: GuestOptions) {
    this.#glue = glue;
    this.#domain = domain;
    this.#ofBoot = glue.parts.console(domain.domid, 0);
    const isOver = (): boolean => this.#exit !== undefined;
    this.console = new GuestConsole({
      name: domain.name,
      called: 'its console',
      keepAlive: glue.keepAlive,
      current: () => this.#consoleOfBoot(),
      next: async (after) => {
        while (this.#exit === undefined && this.#ofBoot === after) await this.#nextBoot.promise;
        return this.#ofBoot === after ? undefined : this.#ofBoot;
      },
      over: this.#exited.promise,
      isOver,
    });
    const live = (): number => this.#live().domid;
    this.disks = new GuestDisks(glue, live);
    this.nics = new GuestNics(glue, live);
    const { parts, keepAlive } = glue;
    const [name, over] = [(): string => this.name, this.#exited.promise];
    this.#agent = new GuestAgent({ parts, keepAlive, name, domid: live, over });
    this.files = new GuestFiles(this.#agent);
    this.#channels = new GuestChannels({ parts, keepAlive, over, isOver }, domain);
    this.#unsubscribe = glue.parts.manager.onEvent((event) => this.#onEvent(event));
    const outOfTime = (): void => void this.#destroy('time limit').catch(glue.parts.onError);
    if (timeLimit !== undefined && timeLimit !== Infinity)
      this.#limit = setTimeout(outOfTime, Math.min(timeLimit, LONGEST_MS)).unref();
    void this.#watch();
  }

  /** Its name, of its own in this host. It keeps it when it has moved to another. */
  get name(): string {
    return this.#movedAs ?? this.#domain.name;
  }

  /** It stays the same over reboots, saving and moving. */
  get uuid(): string {
    return this.#domain.uuid;
  }

  /** The number of its domain; another after each reboot. */
  get domid(): number {
    return this.#domain.domid;
  }

  /** How the guest has ended for good; undefined while it has not. */
  get exit(): GuestExit | undefined {
    return this.#exit;
  }

  /** Resolves when the guest has ended for good, and never rejects. Who asks for it keeps the process alive until then. */
  get exited(): Promise<GuestExit> {
    return this.#glue.keepAlive.during(this.#exited.promise);
  }

  /** What it has and does now. Throws XenolithError with code GONE when nothing is left of it. */
  info(): GuestInfo {
    return guestInfo(this.#live(), this.#glue.parts);
  }

  /**
   * One of its consoles beside the first, by the name that the configuration gives it or by its number, which begins at 1. The guest's own programs find it as
   * `/dev/hvc1` and so on. Throws XenolithError with code INVALID for one that it does not have; the agent's is not for others.
   */
  channel(which: string | number): GuestConsole {
    return this.#channels.get(which);
  }

  /** Lets a guest run that was created `paused`. */
  start(): Promise<void> {
    return this.unpause();
  }

  /** Stops its processors until `unpause`; its kernel does not notice. */
  pause(): Promise<void> {
    return this.#change(({ domid }) => this.#glue.parts.manager.pause(domid));
  }

  /** Lets it go on. Throws XenolithError with code GONE when it has ended. */
  unpause(): Promise<void> {
    return this.#change(({ domid }) => this.#glue.parts.manager.unpause(domid));
  }

  /** Asks its kernel to power off, and resolves when it has. Throws XenolithError with code TIMED_OUT when it takes no notice within a minute. */
  async shutdown({ signal }: WaitOptions = {}): Promise<GuestExit> {
    const { manager } = this.#glue.parts;
    return this.#wait(signal, async () => {
      if (this.#exit === undefined) await manager.request(this.#live().domid, 'poweroff');
      return this.#exited.promise;
    });
  }

  /** Asks its kernel to reboot, and resolves when it runs again. Throws as `shutdown`, and GONE when it ends instead. */
  async reboot({ signal }: WaitOptions = {}): Promise<void> {
    const { manager } = this.#glue.parts;
    await this.#wait(signal, async () => {
      const { domid } = this.#live();
      await manager.request(domid, 'reboot');
      while (this.#exit === undefined && this.#domain.domid === domid) await this.#nextBoot.promise;
      if (this.#domain.domid === domid) throw this.#ended();
    });
  }

  /**
   * Runs a program in the guest, without a shell, and waits for its end; first for the guest's agent, when the guest still boots. Throws XenolithError with
   * code EXEC when it cannot be started, and AGENT when the guest has no agent.
   */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const { maxBytes, signal, stdin } = options;
    // The text "pipe" is a text here: nobody could write to a pipe.
    const input = typeof stdin === 'string' ? new TextEncoder().encode(stdin) : stdin;
    return this.#agent.use(signal, async (client) => {
      const program = await client.exec(argv, agentOptions({ ...options, stdin: input }));
      const { stdout, stderr, status } = await program.output(maxBytes === undefined ? {} : { maxBytes });
      const decoder = new TextDecoder();
      return {
        stdout: decoder.decode(stdout),
        stderr: decoder.decode(stderr),
        exitCode: status.code,
        signal: status.signal,
      };
    });
  }

  /** Starts a program in the guest, as `exec`, and resolves when it runs. */
  spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<GuestProgram> {
    return this.#agent.use(options.signal, async (client) => {
      return new GuestProgram(await client.exec(argv, agentOptions(options)), this.#glue.keepAlive);
    });
  }

  /**
   * The guest as it is at this moment, for clones to begin from; it goes on itself. Its kernel suspends for that, as for saving. A signal ends the waiting, and there is no
   * snapshot then.
   */
  snapshot({ signal }: WaitOptions = {}): Promise<GuestSnapshot> {
    const { parts } = this.#glue;
    return this.#wait(signal, async () => {
      const snapshot = await parts.manager.snapshot(this.#live().domid);
      if (signal?.aborted === true) await snapshot.close();
      signal?.throwIfAborted();
      return new GuestSnapshot(this.#glue, snapshot);
    });
  }

  /** A clone that goes on where the guest is now: `snapshot`, and one `fork` of that. */
  async fork(options: ForkOptions = {}): Promise<Guest> {
    await using snapshot = await this.snapshot(options);
    return await snapshot.fork(options);
  }

  /**
   * Writes it down, as `xl save`: into a file, or a stream that is closed then. It is destroyed afterwards unless `after` says otherwise; a guest that
   * cannot be saved, or whose saving is given up, goes on.
   */
  save(target: string | URL | WritableStream<Uint8Array>, options: SaveOptions = {}): Promise<void> {
    return this.#wait(undefined, async () => {
      options.signal?.throwIfAborted();
      await saveGuest(this.#glue, this.#live().domid, target, options);
      if (options.after === undefined || options.after === 'destroy') await this.#exited.promise;
    });
  }

  /**
   * Moves it to another host of this process while it runs, with all but a moment of its time: this object has then ended, by `migrated`, and the answer is the guest
   * there. What fails leaves it running here. Its disks have to be reachable from there by the same paths, which in one process they are.
   */
  migrate(to: InProcessHost, options?: MigrateOptions): Promise<MigrationReport & { readonly guest: Guest }>;
  /**
   * Moves it to what the command starts in a shell, `ssh HOST xl migrate-receive`: a daemon of this machine or another, or a real Xen host.
   */
  migrate(to: { readonly command: string }, options?: MigrateOptions): Promise<MigrationReport>;
  migrate(
    to: InProcessHost | { readonly command: string },
    options: MigrateOptions = {},
  ): Promise<MigrationReport & { readonly guest?: Guest }> {
    return this.#wait(undefined, async () => {
      options.signal?.throwIfAborted();
      const { name } = this;
      const leave = (): Promise<void> => {
        this.#movedAs = name;
        return this.#destroy('migrated');
      };
      const glue = { ...this.#glue, leave };
      const { domid } = this.#live();
      if ('command' in to) return migrateByCommand(glue, domid, to.command, options);
      return migrateWithin(glue, domid, to.receiver(), options);
    });
  }

  /** Ends it at once, as pulling the plug does. Does nothing when it has ended. */
  async destroy(): Promise<void> {
    await this.#glue.keepAlive.during(withApiErrors(() => this.#destroy('destroyed')));
  }

  /** As `destroy`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }

  /** Asks its balloon driver for so many MiB, at most `maxMemory`. */
  setMemory(mib: number): Promise<void> {
    const { xenstore } = this.#glue.parts;
    return this.#change((domain) => setMemoryTarget(xenstore, domain, whole('memory', mib) * KIB));
  }

  /** What it may have at most, in MiB: no more than `maxMemory` it was made with. */
  setMaxMemory(mib: number): Promise<void> {
    const { xenstore } = this.#glue.parts;
    return this.#change((domain) => setMaxMemory(xenstore, domain, whole('memory', mib) * KIB));
  }

  /** How many processors it should have, at most `maxVcpus`. Its kernel takes them online or offline. */
  setVcpus(count: number): Promise<void> {
    const { xenstore } = this.#glue.parts;
    return this.#change(({ domid, control }) =>
      setVcpusOnline(xenstore, domid, whole('vcpus', count), control.info().maxVcpuId + 1),
    );
  }

  /** Another name, which no other guest of the host has. */
  rename(name: string): Promise<void> {
    return this.#change(({ domid }) => this.#glue.parts.manager.rename(domid, name));
  }

  #change(act: (domain: ManagedDomain) => void): Promise<void> {
    return withApiErrors(() => act(this.#live()));
  }

  async #wait<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    return this.#glue.keepAlive.during(abortable(withApiErrors(work), signal));
  }

  #live(): ManagedDomain {
    const { manager } = this.#glue.parts;
    if (this.#gone || manager.domain(this.#domain.domid) !== this.#domain) throw this.#ended();
    return this.#domain;
  }

  #ended(): XenolithError {
    return new XenolithError('GONE', `${this.name} has ended`);
  }

  #consoleOfBoot(): NonNullable<ReturnType<HostParts['console']>> {
    this.#ofBoot ??= this.#glue.parts.console(this.#domain.domid, 0);
    if (this.#ofBoot === undefined) throw this.#ended();
    return this.#ofBoot;
  }

  async #destroy(cause: ExitReason): Promise<void> {
    const { manager } = this.#glue.parts;
    this.#cause ??= cause;
    if (manager.domain(this.#domain.domid) === this.#domain) await manager.destroy(this.#domain.domid);
    await this.#exited.promise;
  }

  /** Acts on its ends by `onPoweroff` and so on, until it has ended for good. */
  async #watch(): Promise<void> {
    const { manager, clock, dumps, onError } = this.#glue.parts;
    const log = { line: (text: string) => this.#glue.log(`${this.name}: ${text}`), close: () => undefined };
    const onRestart = (successor: ManagedDomain): void => this.#restarted(successor);
    await monitor(this.#domain, { manager, clock, dumps, log, pid: process.pid, onRestart }).catch(onError);
    clearTimeout(this.#limit);
    // Who is suspended and then taken away has been saved.
    const reason = this.#cause ?? (this.#stopped === 'suspend' ? 'saved' : this.#stopped) ?? 'destroyed';
    this.#exit = { reason };
    this.#exited.resolve(this.#exit);
    this.#nextBoot.resolve();
    if (manager.domain(this.#domain.domid) !== this.#domain) this.#over();
  }

  #restarted(successor: ManagedDomain): void {
    const { manager, onError } = this.#glue.parts;
    this.#domain = successor;
    this.#stopped = undefined;
    this.#ofBoot = this.#glue.parts.console(successor.domid, 0);
    this.#channels.follow(successor.domid);
    const { resolve } = this.#nextBoot;
    this.#nextBoot = Promise.withResolvers();
    resolve();
    // Somebody has ended it between two boots.
    if (this.#cause !== undefined) queueMicrotask(() => void manager.destroy(successor.domid).catch(onError));
  }

  #onEvent(event: DomainEvent): void {
    if (event.domid !== this.#domain.domid) return;
    const { tell, parts } = this.#glue;
    if (isEnd(event)) {
      if (event.kind === 'shutdown') this.#kernelStopped(event.reason);
      // With a reboot to come this is not the guest's end.
      else if (this.#exit !== undefined) this.#over();
      return;
    }
    if (event.kind === 'resumed') this.#stopped = undefined;
    const { paused } = parts.hypervisor.domain(event.domid)?.info() ?? { paused: true };
    tell({ type: paused ? 'paused' : 'running', guest: this });
  }

  #kernelStopped(number: number): void {
    const reason = reasonOf(number);
    this.#stopped = reason;
    this.#glue.tell(reason === 'crash' ? { type: 'crashed', guest: this } : { type: 'shutdown', guest: this, reason });
  }

  /** Nothing is left of it. */
  #over(): void {
    if (this.#gone || this.#exit === undefined) return;
    this.#gone = true;
    this.#unsubscribe();
    this.#glue.forget(this);
    this.#glue.tell({ type: 'destroyed', guest: this, exit: this.#exit });
  }
}

/** A number that only a guest knows the meaning of is taken for a crash, as Xen's toolstack destroys such a domain. */
function reasonOf(number: number): ShutdownReason {
  const names = Object.keys(shutdownReasons) as ShutdownReason[];
  return names.find((name) => shutdownReasons[name] === number) ?? 'crash';
}

function whole(what: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new XenolithError('INVALID', `${what} is a whole number, not ${value}`);
}
