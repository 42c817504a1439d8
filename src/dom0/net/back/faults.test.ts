/**
 * A netback with a bug, at every call that it makes in the whole life of a device: it loses its own device for a moment and nothing else. The frontend is
 * served again without noticing, every request is answered once, nothing stays mapped, and a neighbour on the same bridge never loses a frame.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import type { BackendDriver, BackendInstance, FrontendLink } from '../../backend/index.ts';
import { BackendHost, type FakeDevice } from '../../testing/backend-host.ts';
import { ManualTimers } from '../../testing/manual-timers.ts';
import { LinkEnd, type Frame } from '../link.ts';
import { LearningSwitch } from '../switch/learning-switch.ts';
import { Faults } from '../../testing/faults.ts';
import { macOne, macTwo, tcpFrame, udpFrame } from '../testing/frames.ts';
import { NetFrontend } from '../testing/net-frontend.ts';
import { netback, type NetServices, type VifConnection } from './index.ts';

/** One place in so many is tried; all of them by `npm run fuzz`. */
const STRIDE = fuzz(1).numRuns > 1 ? 1 : 15;
const macThree = '00:16:3e:00:00:03';

type Instance = BackendInstance<VifConnection>;

/** Two drivers in one: the device of domain 1 gets services that may fail, the others get sound ones. */
function driverWith(services: NetServices, faults: Faults): BackendDriver<VifConnection> {
  const sound = netback(services);
  const faulty = netback({
    ...services,
    xs: faults.within(services.xs),
    scheduler: faults.within(services.scheduler),
    timers: faults.within(services.timers),
  });
  return {
    type: 'vif',
    create(device): Instance {
      if (device.domid !== 1) return sound.create(device);
      const instance = faulty.create(faults.within(device, ['guard', 'failed', 'read']));
      const { connect } = instance;
      instance.connect = (link: FrontendLink) =>
        connect.call(instance, faults.within(link, ['read', 'number', 'flag']));
      return instance;
    },
  };
}

class World {
  readonly faults: Faults;
  readonly host: BackendHost<VifConnection>;
  readonly timers = new ManualTimers();
  readonly bridge = new LearningSwitch(this.timers);
  readonly victim: FakeDevice;
  readonly neighbour: FakeDevice;
  /** What a third station on the bridge has received, by the sender's address. */
  readonly heard = { one: 0, two: 0 };
  readonly station: LinkEnd;
  front: NetFrontend;
  readonly other: NetFrontend;
  sent = 0;
  answered = 0;

  constructor(at: number) {
    this.faults = new Faults(at);
    const self: { host?: BackendHost<VifConnection> } = {};
    const host = (): BackendHost<VifConnection> => self.host ?? assert.fail();
    const services: NetServices = {
      xs: { watch: (path, callback) => host().xs.watch(path, callback) },
      scheduler: { defer: (task) => host().scheduler.defer(task) },
      timers: this.timers,
      findBridge: () => this.bridge,
      maxQueues: 1,
    };
    this.host = self.host = new BackendHost(driverWith(services, this.faults));
    const [end, other] = LinkEnd.pair();
    this.bridge.plug(other, { name: 'station' });
    end.attach({
      receive: ({ head }) => {
        // What is for others comes by as long as the bridge does not know where they are.
        if (head[5] === 3) this.heard[head[11] === 1 ? 'one' : 'two']++;
        return true;
      },
    });
    this.station = end;
    this.host.addDomain(1, 4000);
    this.host.addDomain(2, 4000);
    this.victim = this.host.addDevice(1, 0, { mac: macOne, bridge: 'xenbr0' });
    this.neighbour = this.host.addDevice(2, 0, { mac: macTwo, bridge: 'xenbr0' });
    this.front = new NetFrontend(this.host.hypervisor.domain(1) ?? assert.fail());
    this.other = new NetFrontend(this.host.hypervisor.domain(2) ?? assert.fail());
  }

  async connect(device: FakeDevice, front: NetFrontend): Promise<void> {
    await this.host.settle();
    device.write({ ...NetFrontend.features, ...front.keys() });
    device.setState('Connected');
    await this.host.settle();
  }

  /** Frames of all kinds both ways, with pages that come late; the neighbour's among them. */
  async traffic(): Promise<void> {
    const { front, other, station } = this;
    for (const frame of kinds(macOne, macThree)) {
      front.send(frame);
      this.sent += Math.ceil(frame.length / 4096) + (frame.segmentation ? 1 : 0);
      other.send(udpFrame({ source: macTwo, destination: macThree, payload: 100 }));
      other.send(udpFrame({ source: macTwo, destination: macOne, payload: 100 }));
      await this.host.settle();
    }
    for (const frame of kinds(macThree, macOne)) station.send(frame);
    front.post(10);
    front.post(60);
    await this.host.settle();
    this.timers.pass(20);
    await this.host.settle();
    front.received();
    this.answered += front.txAnswers().length;
  }

  /** A frame each way; the first may be the one that the failure costs. */
  async works(): Promise<void> {
    const where = `after ${this.faults.hit ?? 'nothing'}`;
    if (await this.#exchange()) return;
    assert.ok(await this.#exchange(), where);
  }

  async #exchange(): Promise<boolean> {
    const { front, station } = this;
    front.post(10);
    await this.host.settle();
    front.received();
    const before = this.heard.one;
    front.send(udpFrame({ source: macOne, destination: macThree, payload: 10 }));
    this.sent += 1;
    station.send(udpFrame({ source: macThree, destination: macOne, payload: 11 }));
    await this.host.settle();
    this.answered += front.txAnswers().length;
    return this.heard.one === before + 1 && front.received().length === 1;
  }
}

function kinds(source: string, destination: string): readonly Frame[] {
  return [
    udpFrame({ source, destination, payload: 10 }),
    tcpFrame({ source, destination, payload: 5000 }),
    { ...tcpFrame({ source, destination, payload: 30_000 }), segmentation: { type: 'tcpv4', size: 1400 } },
  ];
}

/** The calls that were made. */
async function life(at: number): Promise<number> {
  const world = new World(at);
  const { host, victim, neighbour, faults, timers } = world;
  await world.connect(neighbour, world.other);
  await world.connect(victim, world.front);
  assert.equal(victim.backState, 'Connected', `call ${at}, ${faults.hit ?? ''}`);
  await world.traffic();
  host.xs.write(`${victim.back}/rate`, '200000,50000');
  victim.write({ 'request-multicast-control': 1 });
  victim.setState('Reconfiguring');
  await host.settle();
  await world.traffic();
  for (let i = 0; i < 5; i++) {
    timers.pass(100);
    await host.settle();
  }
  await world.works();
  assert.equal(world.answered, world.sent, `every request is answered once, call ${at}, ${faults.hit ?? ''}`);

  victim.setState('Closing');
  await host.settle();
  victim.setState('Closed');
  await host.settle();
  assert.equal(victim.backState, 'Closed');
  assert.equal(world.front.domain.mappings, 0, `call ${at}, ${faults.hit ?? ''}`);
  victim.setState('Initialising');
  world.front = new NetFrontend(world.front.domain, 3500);
  world.sent = world.answered = 0;
  await world.connect(victim, world.front);
  await world.works();

  victim.takeOffline();
  victim.setState('Closed');
  await host.settle();
  assert.deepEqual([victim.backState, world.front.domain.mappings], ['Closed', 0], `call ${at}, ${faults.hit ?? ''}`);
  assert.equal(neighbour.backState, 'Connected');
  assert.equal(world.heard.two, 6, 'the neighbour lost nothing');
  assert.ok(host.errors.length <= 1 && victim.error === undefined);
  assert.ok(host.errors.every((error) => (error as Error).name === 'Fault'));
  return faults.calls;
}

it('a netback that fails at any call loses its own device only, and that for a moment', async () => {
  const calls = await life(0);
  assert.ok(calls > 100, `${calls} calls`);
  for (let at = 1; at <= calls; at += STRIDE) await life(at);
});
