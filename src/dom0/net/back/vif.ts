/**
 * The network backend: one instance for each vif, between a frontend's rings and a port of a bridge. Names, keys and order are those of
 * Linux' netback (drivers/net/xen-netback/xenbus.c, interface.c).
 */
import { GNTST } from '../../../abi/grant-table.ts';
import { XenbusState } from '../../../abi/io/xenbus.ts';
import type { BackendDriver, BackendInstance, DeviceGlue, FrontendLink, Keys } from '../../backend/index.ts';
import type { Scheduler } from '../../scheduler.ts';
import type { Xenstore } from '../../xenstore/index.ts';
import { Egress } from '../egress/egress.ts';
import { EgressError, parseEgress } from '../egress/egress-rules.ts';
import { LinkEnd, type Bridge, type Frame } from '../link.ts';
import type { Timers } from '../timers.ts';
import { Credit, parseRate } from './credit.ts';
import { serveControl } from './control-ring.ts';
import { HashSettings } from './hash.ts';
import { MulticastFilter } from './multicast.ts';
import { abandonTaken, type QueueState } from './queue-state.ts';
import { RxQueue } from './rx-queue.ts';
import { SourceGuard } from './source-guard.ts';
import { TxQueue } from './tx-queue.ts';
import { connectVif, readFeatures, type VifConnection } from './vif-connection.ts';

export interface NetServices {
  readonly xs: Pick<Xenstore, 'watch'>;
  readonly scheduler: Scheduler;
  readonly timers: Timers;
  /** What a vif is connected to. Throws, or rejects with, an Error whose message a person can act on. */
  readonly findBridge: (vif: VifAddress) => Bridge | Promise<Bridge>;
  /** Pairs of rings that a frontend may use; Linux' netback: as many as domain 0 has processors. */
  readonly maxQueues: number;
}

/** What a hotplug script knows of a vif. */
export interface VifAddress {
  readonly domid: number;
  readonly devid: number;
  /** `vif3.0`, or what `vifname=` says. */
  readonly name: string;
  /** A key of the backend's directory: `bridge`, `script`, `mac`, … */
  read(key: string): string | undefined;
}

/** How often a frontend that tells of nothing is looked after, while frames wait: Linux' drain timeout for such ones. */
const POLL_MS = 30;

export function netback(services: NetServices): BackendDriver<VifConnection> {
  return { type: 'vif', create: (device) => new Vif(device, services) };
}

interface Queue {
  readonly tx: TxQueue;
  readonly rx: RxQueue;
}

class Vif implements BackendInstance<VifConnection> {
  readonly #device: DeviceGlue;
  readonly #services: NetServices;
  readonly #multicast = new MulticastFilter();
  #guard: SourceGuard | undefined;
  readonly #egress: Egress;
  #egressText = 'all';
  #keepsEgress = false;
  #stopEgress: (() => void) | undefined;
  #credit: Credit;
  #end: LinkEnd | undefined;
  #queues: readonly Queue[] = [];
  #hash = new HashSettings();
  #stops: (() => void)[] = [];

  constructor(device: DeviceGlue, services: NetServices) {
    this.#device = device;
    this.#services = services;
    this.#egress = new Egress(services.timers);
    this.#credit = new Credit(undefined, () => services.timers.now());
  }

  features(): Keys {
    return {
      'feature-sg': 1,
      'feature-gso-tcpv4': 1,
      'feature-gso-tcpv6': 1,
      'feature-ipv6-csum-offload': 1,
      'feature-rx-copy': 1,
      'feature-xdp-headroom': 1,
      'feature-rx-flip': 0,
      'feature-multicast-control': 1,
      'feature-dynamic-multicast-control': 1,
      'feature-split-event-channels': 1,
      'multi-queue-max-queues': this.#services.maxQueues,
      'feature-ctrl-ring': 1,
    };
  }

  async open(): Promise<Keys> {
    const { domid, devid } = this.#device;
    const read = (key: string): string | undefined => this.#device.read(key);
    const ip = read('ip');
    if (ip !== undefined && ip !== '') this.#guard = SourceGuard.from(read('mac') ?? '', ip);
    const chosen = read('vifname');
    const name = chosen ?? `vif${domid}.${devid}`;
    const bridge = await this.#services.findBridge({ domid, devid, name, read });
    this.#keepsEgress = bridge.keepsEgress ?? false;
    this.#setEgress(read('egress'));
    const [end, other] = LinkEnd.pair();
    end.attach({
      receive: (frame) => this.#receive(frame),
      room: () => this.#device.guard(() => this.#queues.forEach(({ tx }) => tx.room())),
    });
    this.#end = end;
    const mayBeRenamed = chosen === undefined;
    const renamed = bridge.plug(other, { name, mayBeRenamed, mac: read('mac'), egress: this.#egress });
    // Also while no frontend is connected.
    const renew = (): void => this.#device.guard(() => this.#renewEgress());
    this.#stopEgress = this.#services.xs.watch(`${this.#device.path}/egress`, renew);
    return renamed === undefined ? {} : { vifname: renamed };
  }

  connect(link: FrontendLink): VifConnection {
    return connectVif(link, this.#services.maxQueues);
  }

  serve(connection: VifConnection): Keys {
    const { queues, link } = connection;
    queues.forEach(abandonTaken);
    this.#queues = queues.map((state) => this.#queue(state, connection));
    this.#control(connection);
    this.#watch(`${this.#device.path}/rate`, () => {
      this.#credit = new Credit(parseRate(this.#device.read('rate')), () => this.#services.timers.now());
    });
    this.#watch(`${link.path}/request-multicast-control`, () => {
      this.#multicast.on = link.read('request-multicast-control') === '1';
    });
    this.#watch(`${link.path}/state`, () => this.#reconfigure(link));
    return {};
  }

  quiesce(): Promise<void> {
    this.#stop();
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#stopEgress?.();
    this.#stopEgress = undefined;
    this.#end?.close();
    this.#end = undefined;
    return Promise.resolve();
  }

  #queue(state: QueueState, { link, features, rxNotify }: VifConnection): Queue {
    const { scheduler, timers } = this.#services;
    const device = this.#device;
    const after = (milliseconds: number, task: () => void): (() => void) =>
      timers.after(milliseconds, () => device.guard(task));
    const warn = (line: string): void => device.warn(line);
    const fatal = (message: string): void => this.#disable(message);
    const { net } = device.statistics;
    const tx = new TxQueue(state, {
      statistics: net.fromGuest,
      map: (refs) => link.tryMapBatch(refs, true),
      send: (frame) => this.#end?.send(frame) ?? true,
      allows: (head) => this.#guard?.allows(head) ?? true,
      credit: (size) => this.#credit.take(size),
      joinGroup: (address) => this.#multicast.add(address),
      leaveGroup: (address) => this.#multicast.remove(address),
      warn,
      fatal,
      after,
      now: () => timers.now(),
      defer: (task) => scheduler.defer(() => device.guard(task)),
    });
    const rx = new RxQueue(state, features, {
      statistics: net.toGuest,
      map: (refs) => link.tryMapBatch(refs, false),
      ready: () => this.#end?.ready(),
      warn,
      fatal,
      after,
      pollMs: rxNotify ? undefined : POLL_MS,
    });
    const { txChannel, rxChannel } = state;
    const run = { tx: () => device.guard(() => tx.run()), rx: () => device.guard(() => rx.run()) };
    if (txChannel === rxChannel) {
      txChannel.listen(() => {
        run.tx();
        run.rx();
      });
    } else {
      txChannel.listen(run.tx);
      rxChannel.listen(run.rx);
    }
    // What the frontend has put in before it was connected.
    scheduler.defer(run.tx);
    return { tx, rx };
  }

  #control({ control, link, queues }: VifConnection): void {
    this.#hash = control?.hash ?? new HashSettings();
    if (control === undefined) return;
    const stop = serveControl(control, {
      queues: queues.length,
      copy: (ref, bytes) => link.copy([{ ref, offset: 0, bytes, direction: 'from grant' }])[0] === GNTST.okay,
      defer: (task) => this.#services.scheduler.defer(() => this.#device.guard(task)),
      fatal: (message) => this.#disable(message),
      guard: (task) => this.#device.guard(task),
    });
    this.#stops.push(stop);
  }

  /** From the bridge, in the middle of somebody else's work: what goes wrong here is this vif's alone. */
  #receive(frame: Frame): boolean {
    let taken = true;
    this.#device.guard(() => (taken = this.#deliver(frame)));
    return taken;
  }

  #deliver(frame: Frame): boolean {
    const queues = this.#queues;
    if (queues.length === 0 || !this.#multicast.passes(frame.head)) {
      this.#device.statistics.net.toGuest.dropped++; // xenvif_start_xmit
      return true;
    }
    const hash = this.#hash.of(frame.head);
    const queue = queues[this.#hash.queueFor(frame.head, hash, queues.length)];
    return queue?.rx.receive(frame, hash) ?? true;
  }

  /** Throws EgressError. */
  #setEgress(text = 'all'): void {
    if (text === this.#egressText) return;
    this.#egressText = text;
    this.#egress.rules = parseEgress(text);
    if (this.#egress.restricts && !this.#keepsEgress)
      throw new EgressError("a bridge of the host's own keeps no egress rules");
  }

  /** Who has rules that cannot be kept reaches nothing. */
  #renewEgress(): void {
    try {
      this.#setEgress(this.#device.read('egress'));
    } catch (error) {
      if (!(error instanceof EgressError)) throw error;
      this.#device.warn(`${error.message}; the interface is unplugged`);
      this.#end?.close();
    }
  }

  /** A frontend that runs an XDP program wants room before the data from now on (feature-xdp-headroom). */
  #reconfigure(link: FrontendLink): void {
    if (link.read('state') !== String(XenbusState.Reconfiguring)) return;
    const features = readFeatures(link);
    for (const { rx } of this.#queues) rx.features = features;
    this.#device.write({ state: XenbusState.Reconfigured });
  }

  /** xenvif_fatal_tx_err: the guest has only harmed itself. Its rings are not touched again until it disconnects. */
  #disable(message: string): void {
    this.#device.warn(`${message}; fatal error; disabling device`);
    this.#stop();
  }

  #watch(path: string, look: () => void): void {
    this.#stops.push(this.#services.xs.watch(path, () => this.#device.guard(look)));
  }

  #stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
    const queues = this.#queues;
    this.#queues = [];
    for (const { tx, rx } of queues) {
      tx.stop();
      rx.stop();
    }
    // Whoever was refused need not wait any longer: what comes now is lost.
    this.#end?.ready();
  }
}
