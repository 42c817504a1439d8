/** Domains of a host without processors, by the manager itself: the test plays their kernels, and time. */
import assert from 'node:assert/strict';
import { Consoles } from '../../dom0/console/index.ts';
import { DiskImages } from '../../dom0/disk/index.ts';
import { microtasks } from '../../dom0/scheduler.ts';
import { MemoryDiskHost } from '../../dom0/testing/memory-disk-host.ts';
import { Xenstored, type Xenstore } from '../../dom0/xenstore/index.ts';
import type { BootloaderService } from '../bootloader/service.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import { parseConfig } from '../config/parse-config.ts';
import { startBackends } from '../daemon/backends.ts';
import { DomainManager } from '../domain/domain-manager.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { monitor, type CoreDumps } from '../domain/monitor.ts';
import type { Clock } from '../domain/services.ts';
import { initialise } from '../domain/xenstore-tree.ts';
import { FakeHost, type GuestDomain } from './fake-host.ts';

/** The domain's that `configOf` is of. */
export const uuid = '11111111-aaaa-bbbb-cccc-000000000001';
const text = `name="web"\nuuid="${uuid}"\nkernel="/boot/vmlinuz"\nramdisk="/boot/initrd"\nextra="quiet"\nmemory=64\nmaxvcpus=2\nvcpus=1`;

export function configOf(more = ''): DomainConfig {
  return parseConfig(`${text}\n${more}\n`, 'web.cfg', { cpus: 2 }, () => undefined).config;
}

/** Time passes only when somebody sleeps. */
export class ManualClock implements Clock {
  time = 1_700_000_000_000;
  readonly slept: number[] = [];
  /** Waits that are never over, as those for a guest that answers. */
  endless = false;
  #waiting: (() => void)[] = [];

  /** All those waits are over after all. */
  pass(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  get isAwaited(): boolean {
    return this.#waiting.length > 0;
  }

  now(): number {
    return this.time;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (this.endless)
      return new Promise((resolve, reject) => {
        this.#waiting.push(resolve);
        signal?.addEventListener('abort', () => reject(new Error('over')));
      });
    this.slept.push(milliseconds);
    this.time += milliseconds;
    return Promise.resolve();
  }
}

export class DomainWorld {
  readonly host = new FakeHost();
  readonly clock = new ManualClock();
  readonly xenstored = new Xenstored(this.host.asHost());
  readonly xs: Xenstore = this.xenstored.client();
  readonly lines: string[] = [];
  bootloader: BootloaderService = () => Promise.reject(new Error('no bootloader'));
  readonly diskHost = new MemoryDiskHost();
  readonly images = new DiskImages(this.diskHost, '/layers');
  readonly manager: DomainManager;

  constructor() {
    initialise(this.xs, 512 * 1024);
    startBackends({
      control: this.host.asHost(),
      xs: this.xenstored.client(),
      images: this.images,
      bridges: undefined,
      nrCpus: 1,
      scheduler: microtasks,
      onError: (error) => this.lines.push(String(error)),
      log: (line) => this.lines.push(line),
    });
    this.manager = new DomainManager({
      hypervisor: this.host.asHost(),
      store: this.xenstored,
      consoles: new Consoles(this.host.asHost(), this.xs),
      scheduling: { check: () => undefined, admit: () => undefined, forget: () => undefined },
      bootloader: (request) => this.bootloader(request),
      build: this.host.build,
      images: this.images,
      openLog: () => this.log,
      clock: this.clock,
    });
  }

  /** Where cores went. */
  readonly dumped: string[] = [];
  readonly dumps: CoreDumps = {
    path: (name) => `/dump/${name}`,
    dump: (control, path) => {
      this.dumped.push(`${control.domid} ${path}`);
      if (this.diskFull) return Promise.reject(new LibxlError('FAIL', ['no space']));
      return Promise.resolve();
    },
  };
  diskFull = false;

  readonly log = { line: (line: string): void => void this.lines.push(line), close: (): void => undefined };

  /** A domain that runs and is looked after; the promise is over when nobody does any more. */
  async start(config = configOf()): Promise<{ guest: GuestDomain; ended: Promise<void> }> {
    const domain = await this.manager.create(config);
    this.manager.unpause(domain.domid);
    const ended = monitor(domain, {
      manager: this.manager,
      clock: this.clock,
      log: this.log,
      pid: 7,
      dumps: this.dumps,
    });
    return { guest: this.guest(), ended };
  }

  guest(): GuestDomain {
    const guest = this.host.guests.at(-1);
    assert(guest);
    return guest;
  }

  /** The whole tree as `xenstore-ls -f -p` lists it, without what the clock says. */
  tree(root = '/'): string[] {
    const found: string[] = [];
    const walk = (path: string): void => {
      for (const name of this.xs.ls(path === '' ? '/' : path) ?? []) {
        const child = `${path}/${name}`;
        found.push(`${child} = "${this.xs.read(child) ?? ''}"   (${this.xs.getPerms(child) ?? ''})`);
        walk(child);
      }
    };
    walk(root === '/' ? '' : root);
    return found;
  }

  async settled(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 200 && !condition(); turn++) await new Promise((resolve) => setImmediate(resolve));
    assert(condition(), 'it did not come to that');
  }
}
