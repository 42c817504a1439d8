/** The backend of consoles beside the first, with a bug at every call that it makes in the life of a device: another one goes on in its place. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { BackendDriver, FrontendLink } from '../backend/index.ts';
import { BackendHost, type FakeDevice } from '../testing/backend-host.ts';
import { ConsoleFrontend } from '../testing/console-frontend.ts';
import { ManualTimers } from '../testing/manual-timers.ts';
import type { FakeDomain } from '../testing/fake-hypervisor.ts';
import { Faults } from '../testing/faults.ts';
import { ConsoleDriver, type ConsoleDriverServices, type DomainConsole, type Pty } from './index.ts';

/** Frames of the rings. */
const [RING, LATER] = [3, 4];

class World {
  readonly faults: Faults;
  readonly timers = new ManualTimers();
  readonly host: BackendHost<never>;
  readonly consoles = new Map<string, DomainConsole>();
  screen = '';

  constructor(at: number) {
    this.faults = new Faults(at);
    const host: BackendHost<never> = new BackendHost(this.#driver(() => host));
    this.host = host;
  }

  #driver(host: () => BackendHost<never>): BackendDriver<never> {
    const { faults } = this;
    const services: ConsoleDriverServices = {
      xs: { write: (path, value) => host().xs.write(path, value), exists: (path) => host().xs.exists(path) },
      scheduler: { defer: (task) => host().scheduler.defer(task) },
      timers: this.timers,
      consoles: {
        add: (domid, num, console) => {
          this.consoles.set(`${domid}/${num}`, console);
          return () => void this.consoles.delete(`${domid}/${num}`);
        },
      },
      openPty: () => this.#pty(),
      listen: () => Promise.reject(new Error('nobody asks for a socket')),
    };
    const sound = new ConsoleDriver(services);
    const faulty = new ConsoleDriver({
      ...services,
      xs: faults.within(services.xs),
      scheduler: faults.within(services.scheduler),
      consoles: faults.within(services.consoles),
      openPty: () => faults.within(this.#pty()),
    });
    return {
      type: 'console',
      serves: (devid: number) => sound.serves(devid),
      create: (device) => {
        if (device.domid !== 1) return sound.create(device);
        const instance = faulty.create(faults.within(device, ['guard', 'failed', 'read']));
        const { connect } = instance;
        instance.connect = (link: FrontendLink) =>
          connect.call(instance, faults.within(link, ['read', 'number', 'flag']));
        return instance;
      },
    } as BackendDriver<never>;
  }

  #pty(): Pty {
    return {
      path: '/dev/pts/7',
      onInput: undefined,
      onRoom: undefined,
      write: (bytes) => {
        this.screen += Buffer.from(bytes).toString('latin1');
        return bytes.length;
      },
      takeInput: () => undefined,
      close: () => undefined,
    };
  }

  async connect(device: FakeDevice, domain: FakeDomain, mfn: number): Promise<void> {
    device.write({ tty: '' });
    await this.host.settle();
    const port = domain.allocUnbound();
    device.write({ 'ring-ref': domain.grant(mfn), port });
    device.setState('Initialised');
    await this.host.settle();
    assert.equal(device.backState, 'Connected', `call of ${this.faults.hit ?? 'nothing'}`);
    const front = new ConsoleFrontend(domain, mfn, port);
    await this.#talk(domain.domid, front);
    assert.equal(device.backState, 'Connected');
  }

  /** Words each way. What the failure costs is said again. */
  async #talk(domid: number, front: ConsoleFrontend): Promise<void> {
    const said = (await this.#say(domid, front)) || (await this.#say(domid, front));
    assert.ok(said, `call of ${this.faults.hit ?? 'nothing'}`);
  }

  async #say(domid: number, front: ConsoleFrontend): Promise<boolean> {
    this.screen = '';
    front.put('printed');
    front.signal();
    this.timers.pass(100);
    await this.host.settle();
    // Who types hears of it when the guest cannot be told.
    const typing = this.consoles.get(`${domid}/1`)?.attach().write(Buffer.from('typed'));
    typing?.catch((error: unknown) => assert.equal((error as Error).name, 'Fault'));
    await this.host.settle();
    // What was typed before a failure may come with it.
    return front.take().endsWith('typed') && this.screen.endsWith('printed');
  }
}

/** The calls that were made. */
async function life(at: number): Promise<number> {
  const world = new World(at);
  const { host, faults } = world;
  const [one, two] = [host.addDomain(1), host.addDomain(2)];
  const [device, neighbour] = [host.addDevice(1, 1), host.addDevice(2, 1)];
  await world.connect(neighbour, two, RING);
  await world.connect(device, one, RING);
  device.setState('Closing');
  await host.settle();
  device.setState('Closed');
  await host.settle();
  assert.equal(one.mappings, 0, `call of ${faults.hit ?? 'nothing'}`);
  device.setState('Initialising');
  await world.connect(device, one, LATER);
  assert.equal(neighbour.backState, 'Connected');
  assert.ok(host.errors.length <= 1 && host.errors.every((error) => (error as Error).name === 'Fault'));
  assert.equal(device.error, undefined);
  return faults.calls;
}

it('a console’s backend that fails at any call is replaced, and only that one', async () => {
  const calls = await life(0);
  assert.ok(calls >= 15, `${calls} calls`);
  for (let at = 1; at <= calls; at++) await life(at);
});
