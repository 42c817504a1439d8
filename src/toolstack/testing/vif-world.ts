/** A store with network backends and one bridge, for tests of what the toolstack does with interfaces. */
import { netback } from '../../dom0/net/back/index.ts';
import type { Bridge } from '../../dom0/net/link.ts';
import { vifBridge } from '../../dom0/net/vif-bridge.ts';
import { BackendHost } from '../../dom0/testing/backend-host.ts';
import type { DeviceGlue } from '../devices/split-device.ts';

export const defaultBridge = 'xenbr0';

/** Notes who comes and goes. */
export class NotedBridge implements Bridge {
  readonly plugged: string[] = [];
  readonly unplugged: string[] = [];

  plug: Bridge['plug'] = (end, { name }) => {
    this.plugged.push(name);
    end.attach({ receive: () => true, closed: () => void this.unplugged.push(name) });
  };
}

export class VifWorld {
  readonly host: BackendHost<unknown>;
  readonly glue: DeviceGlue;
  readonly #bridge = new NotedBridge();

  constructor() {
    const bridges = { bridge: (name: string) => (name === defaultBridge ? this.#bridge : undefined) };
    this.host = new BackendHost(
      netback({
        xs: { watch: (path, callback) => this.host.xs.watch(path, callback) },
        scheduler: { defer: (task) => this.host.scheduler.defer(task) },
        timers: { now: () => 0, after: () => () => undefined },
        findBridge: (vif) => vifBridge(bridges, vif),
        maxQueues: 2,
      }) as never,
    );
    for (const domid of [1, 55]) this.host.addDomain(domid);
    const sleep = (): Promise<never> => new Promise(() => undefined);
    this.glue = { xs: this.host.xs, clock: { now: () => 0, sleep: (_, signal) => aborted(signal) ?? sleep() } };
  }

  get plugged(): readonly string[] {
    return this.#bridge.plugged;
  }

  get unplugged(): readonly string[] {
    return this.#bridge.unplugged;
  }

  /** Goes on until the task is over. */
  async over<T>(task: Promise<T>): Promise<T> {
    const end = { reached: false };
    const done = task.finally(() => (end.reached = true));
    done.catch(() => undefined);
    for (let i = 0; i < 20 && !end.reached; i++) await this.host.settle();
    return done;
  }

  tree(path: string): string[] {
    const { xs } = this.host;
    return (xs.ls(path) ?? []).flatMap((name) => {
      const at = `${path}/${name}`;
      const below = this.tree(at);
      return below.length > 0 ? below : [`${at} = "${xs.read(at) ?? ''}" (${xs.getPerms(at) ?? ''})`];
    });
  }
}

function aborted(signal: AbortSignal | undefined): Promise<never> | undefined {
  return signal && new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('over'))));
}
