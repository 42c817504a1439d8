import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BackendHost, type FakeDevice } from '../testing/backend-host.ts';
import { FrontRing } from '../testing/front-ring.ts';
import type { BackRing } from './back-ring.ts';
import type { Channel } from './channel.ts';
import { MAX_RESTARTS } from './device.ts';
import type { BackendDriver, BackendInstance, DeviceGlue, Keys } from './driver.ts';
import type { FrontendLink } from './frontend-link.ts';

const SLOT = 16;
type Hook = 'create' | 'features' | 'open' | 'connect' | 'serve' | 'event' | 'quiesce' | 'close';

/** A connection of the test's device: it answers each request with its first word plus 1, when `answers` is set. */
interface Echo {
  readonly ring: BackRing;
  readonly channel: Channel;
  /** Taken, and not answered. */
  readonly open: number[];
}

class EchoDriver implements BackendDriver<Echo> {
  readonly type = 'echo';
  readonly calls: string[] = [];
  /** Hooks that throw the next so many times. */
  readonly faults = new Map<Hook, number>();
  answers = true;
  openError: string | undefined;
  opened = 0;

  create(device: DeviceGlue): BackendInstance<Echo> {
    this.enter('create');
    return new EchoInstance(this, device);
  }

  enter(hook: Hook): void {
    this.calls.push(hook);
    const left = this.faults.get(hook) ?? 0;
    if (left === 0) return;
    this.faults.set(hook, left - 1);
    throw new Error(`fault in ${hook}`);
  }
}

class EchoInstance implements BackendInstance<Echo> {
  readonly #driver: EchoDriver;
  readonly #device: DeviceGlue;

  constructor(driver: EchoDriver, device: DeviceGlue) {
    this.#driver = driver;
    this.#device = device;
  }

  features(): Keys {
    this.#driver.enter('features');
    return { 'feature-echo': 1 };
  }

  open(): Promise<Keys> {
    this.#driver.enter('open');
    if (this.#driver.openError !== undefined) return Promise.reject(new Error(this.#driver.openError));
    this.#driver.opened++;
    return Promise.resolve({ 'physical-device': '7:0' });
  }

  connect(link: FrontendLink): Echo {
    this.#driver.enter('connect');
    const ring = link.ring([link.number('ring-ref')], SLOT);
    return { ring, channel: link.bind(link.number('event-channel')), open: [] };
  }

  serve(echo: Echo): Keys {
    this.#driver.enter('serve');
    echo.channel.listen(() => this.#device.guard(() => this.#serve(echo)));
    this.#device.guard(() => this.#serve(echo));
    return { sectors: 8 };
  }

  #serve(echo: Echo): void {
    const words = new Int32Array(SLOT / 4);
    do while (echo.ring.take(words)) echo.open.push(words[0] ?? 0);
    while (echo.ring.finalCheck());
    if (echo.open.length > 0) this.#driver.enter('event');
    if (!this.#driver.answers) return;
    for (const value of echo.open.splice(0)) echo.ring.respond(Int32Array.of(value + 1));
    if (echo.ring.push()) echo.channel.notify();
  }

  quiesce(): Promise<void> {
    this.#driver.enter('quiesce');
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#driver.enter('close');
    if (this.#driver.opened > 0) this.#driver.opened--;
    return Promise.resolve();
  }
}

class Fixture {
  readonly driver = new EchoDriver();
  readonly host = new BackendHost(this.driver);
  readonly domain = this.host.addDomain();
  readonly ring = new FrontRing(this.domain, [3], SLOT);
  readonly port = this.domain.allocUnbound();
  readonly device: FakeDevice = this.host.addDevice(1, 51712);

  async connect(): Promise<void> {
    await this.host.settle();
    this.offer();
    await this.host.settle();
    this.device.setState('Connected');
    await this.host.settle();
  }

  offer(): void {
    const [ref = 0] = this.ring.refs;
    this.device.write({ 'ring-ref': ref, 'event-channel': this.port });
    this.device.setState('Initialised');
  }

  send(value: number): void {
    this.ring.put(new Uint8Array(Int32Array.of(value, 0, 0, 0).buffer));
    if (this.ring.push()) this.domain.send(this.port);
  }

  /** Answers that have come. */
  answers(): number[] {
    const answers: number[] = [];
    for (let r = this.ring.take(4); r; r = this.ring.take(4)) answers.push(new Int32Array(r.buffer)[0] ?? 0);
    return answers;
  }
}

describe('the life of a backend device', () => {
  it('goes through InitWait to Connected and serves', async () => {
    const f = new Fixture();
    await f.host.settle();
    assert.equal(f.device.backState, 'InitWait');
    assert.equal(f.device.read('feature-echo'), '1');
    assert.equal(f.device.read('hotplug-status'), 'connected');
    assert.equal(f.device.read('physical-device'), '7:0');
    f.offer();
    await f.host.settle();
    assert.equal(f.device.backState, 'Connected');
    assert.equal(f.device.read('sectors'), '8');
    f.send(41);
    assert.deepEqual(f.answers(), [42]);
    assert.equal(f.domain.raised(f.port), 1);
  });

  it('closes with the frontend and comes back with it, while it is online', async () => {
    const f = new Fixture();
    await f.connect();
    f.device.setState('Closing');
    await f.host.settle();
    assert.equal(f.device.backState, 'Closing');
    f.device.setState('Closed');
    await f.host.settle();
    assert.equal(f.device.backState, 'Closed');
    assert.equal(f.domain.mappings, 0);
    assert.equal(f.domain.isBound(f.port), false);
    assert.equal(f.driver.opened, 1);
    f.device.setState('Initialising');
    await f.host.settle();
    assert.equal(f.device.backState, 'InitWait');
    await f.connect();
    f.send(1);
    assert.deepEqual(f.answers(), [2]);
  });

  it('lets go of everything before it says Closed, when it is offline', async () => {
    const f = new Fixture();
    await f.connect();
    f.device.takeOffline();
    await f.host.settle();
    f.device.setState('Closing');
    f.device.setState('Closed');
    await f.host.settle();
    assert.equal(f.device.backState, 'Closed');
    assert.deepEqual([f.driver.opened, f.domain.mappings], [0, 0]);
    f.device.remove();
    await f.host.settle();
    assert.deepEqual(f.host.devices.devices(), []);
    assert.deepEqual(f.host.errors, []);
  });

  it('has its hotplug status for as long as something is open, whatever its state', async () => {
    const f = new Fixture();
    await f.connect();
    f.device.setState('Closing');
    f.device.setState('Closed');
    await f.host.settle();
    const look = () => [f.device.backState, f.device.read('hotplug-status'), f.driver.opened];
    assert.deepEqual(look(), ['Closed', 'connected', 1], 'a guest that reboots, before its domain ends');
    f.device.takeOffline();
    await f.host.settle();
    assert.deepEqual(look(), ['Closed', undefined, 0]);
  });

  it('ends when the frontend directory, its own or the domain is gone', async () => {
    for (const end of ['front', 'back', 'domain'] as const) {
      const f = new Fixture();
      await f.connect();
      if (end === 'front') f.host.xs.rm(f.device.front);
      else if (end === 'back') f.host.xs.rm(f.device.back);
      else f.host.hypervisor.end(1, 'gone');
      await f.host.settle();
      assert.deepEqual([f.driver.opened, f.domain.mappings, f.domain.isBound(f.port)], [0, 0, false], end);
      assert.equal(f.device.backState, end === 'back' ? 'Unknown' : 'Closed');
    }
  });

  it('is made again in the same place', async () => {
    const f = new Fixture();
    await f.connect();
    f.device.remove();
    f.host.addDevice(1, 51712);
    await f.connect();
    assert.equal(f.device.backState, 'Connected');
    assert.equal(f.driver.opened, 1);
    f.send(5);
    assert.deepEqual(f.answers(), [6]);
  });

  it('tells why what it stands for cannot be opened, and waits to be removed', async () => {
    const f = new Fixture();
    f.driver.openError = 'disk.img: no such file';
    await f.connect();
    assert.equal(f.device.backState, 'InitWait');
    assert.equal(f.device.read('hotplug-status'), 'error');
    assert.equal(f.device.read('hotplug-error'), 'disk.img: no such file');
    assert.deepEqual(f.host.lines, ['/local/domain/0/backend/echo/1/51712: disk.img: no such file']);
  });

  it('takes nonsense of a frontend as a fatal error of that device', async () => {
    const bad = [
      { 'ring-ref': 'x', 'event-channel': 1 },
      { 'ring-ref': -1, 'event-channel': 1 },
      { 'ring-ref': 4294967296, 'event-channel': 1 },
      { 'ring-ref': 99, 'event-channel': 1 },
      { 'ring-ref': 8, 'event-channel': 77 },
      { 'ring-ref': 8 },
      { 'event-channel': 1 },
    ];
    for (const keys of bad) {
      const f = new Fixture();
      await f.host.settle();
      f.device.write(keys);
      f.device.setState('Initialised');
      await f.host.settle();
      assert.equal(f.device.backState, 'Closing', JSON.stringify(keys));
      assert.match(f.device.error ?? '', /^-\d+ /);
      assert.equal(f.domain.mappings, 0);
      f.device.setState('Closed');
      await f.host.settle();
      f.device.setState('Initialising');
      await f.connect();
      assert.equal(f.device.backState, 'Connected');
    }
  });

  it('follows any order of states without an exception', async () => {
    const f = new Fixture();
    const [ref = 0] = f.ring.refs;
    f.device.write({ 'ring-ref': ref, 'event-channel': f.port });
    let random = 7;
    for (let i = 0; i < 300; i++) {
      random = (random * 1103515245 + 12345) & 0x7fffffff;
      f.device.write({ state: 1 + ((random >> 8) % 8) });
      if (i % 3 === 0) f.host.scheduler.run();
      if (i % 7 === 0) await f.host.settle();
    }
    assert.deepEqual(f.host.errors, []);
    f.device.setState('Closed');
    await f.host.settle();
    f.device.setState('Initialising');
    await f.connect();
    assert.equal(f.device.backState, 'Connected');
  });
});

describe('a backend that throws', () => {
  for (const hook of ['create', 'features', 'open', 'connect', 'serve', 'event', 'quiesce', 'close'] as const) {
    it(`in ${hook} loses no device and no request`, async () => {
      const f = new Fixture();
      f.driver.faults.set(hook, 1);
      f.host.addDomain(2);
      const other = f.host.addDevice(2, 1);
      await f.connect();
      if (hook === 'open') {
        // That is not a failure of the backend: somebody has to look at the disk.
        assert.equal(f.device.read('hotplug-status'), 'error');
        return;
      }
      f.send(1);
      f.send(2);
      await f.host.settle();
      assert.deepEqual(f.answers(), [2, 3]);
      if (hook === 'quiesce' || hook === 'close') {
        f.device.setState('Closed');
        await f.host.settle();
        assert.equal(f.device.backState, 'Closed');
        f.device.takeOffline();
      }
      await f.host.settle();
      assert.ok(f.host.errors.length <= 1);
      assert.equal(other.backState, 'InitWait');
      assert.equal(f.device.error, undefined);
    });
  }

  it('is replaced with what was open still open, and the frontend sees no other state than Connected', async () => {
    const f = new Fixture();
    await f.connect();
    f.driver.answers = false;
    f.send(10);
    f.send(11);
    const states: string[] = [];
    f.host.xs.watch(`${f.device.back}/state`, () => states.push(f.device.backState));
    await f.host.settle();
    f.driver.faults.set('event', 1);
    f.send(12);
    f.driver.answers = true;
    await f.host.settle();
    assert.deepEqual(f.answers(), [11, 12, 13]);
    assert.deepEqual(new Set(states), new Set(['Connected']));
    assert.equal(f.host.errors.length, 1);
    assert.equal(f.driver.opened, 1);
    f.send(1);
    assert.deepEqual(f.answers(), [2]);
  });

  it('again and again is given up, with an error node, and only that device', async () => {
    const f = new Fixture();
    f.host.addDomain(2);
    const other = f.host.addDevice(2, 1);
    await f.connect();
    f.driver.faults.set('event', 1000);
    f.send(1);
    await f.host.settle();
    assert.equal(f.host.errors.length, MAX_RESTARTS + 1);
    assert.equal(f.device.backState, 'Closing');
    assert.match(f.device.error ?? '', /^-5 the backend has failed 6 times: Error: fault in event/);
    f.device.setState('Closed');
    await f.host.settle();
    assert.deepEqual([f.device.backState, f.domain.mappings, f.driver.opened], ['Closed', 0, 1]); // `other` is open
    assert.equal(other.backState, 'InitWait');
  });

  it('now and then is not', async () => {
    const f = new Fixture();
    await f.connect();
    for (let i = 0; i < MAX_RESTARTS * 3; i++) {
      f.driver.faults.set('event', 1);
      f.send(i);
      await f.host.settle();
      assert.deepEqual(f.answers(), [i + 1]);
      f.host.tick();
    }
  });
});

describe('a device whose domain moves away', () => {
  it('has nothing open until the domain stays after all, and the frontend sees nothing of it', async () => {
    const f = new Fixture();
    await f.connect();
    f.driver.answers = false;
    f.send(1);
    await f.host.settle();
    const released = f.host.devices.release(1);
    await f.host.settle();
    await released;
    assert.equal(f.driver.opened, 0);
    assert.equal(f.device.backState, 'Connected');
    f.send(2);
    await f.host.settle();
    assert.deepEqual(f.answers(), []);
    f.driver.answers = true;
    const reclaimed = f.host.devices.reclaim(1);
    await f.host.settle();
    await reclaimed;
    assert.deepEqual(f.answers(), [2, 3]);
    assert.deepEqual([f.driver.opened, f.device.backState], [1, 'Connected']);
  });

  it('waits for what the other host has still open', async () => {
    const f = new Fixture();
    await f.connect();
    const released = f.host.devices.release(1);
    await f.host.settle();
    await released;
    f.driver.openError = 'in use';
    const reclaimed = f.host.devices.reclaim(1);
    await f.host.settle();
    f.host.tick();
    await f.host.settle();
    assert.deepEqual([f.driver.opened, f.device.backState], [0, 'Connected']);
    f.driver.openError = undefined;
    f.host.tick();
    await f.host.settle();
    await reclaimed;
    f.send(1);
    await f.host.settle();
    assert.deepEqual([f.driver.opened, f.device.backState, f.answers()], [1, 'Connected', [2]]);
  });

  it('keeps what it has open when it only rests', async () => {
    const f = new Fixture();
    await f.connect();
    f.driver.answers = false;
    f.send(1);
    await f.host.settle();
    const resting = f.host.devices.rest(1);
    await f.host.settle();
    await resting;
    f.send(2);
    await f.host.settle();
    assert.deepEqual([f.driver.opened, f.answers().length, f.device.backState], [1, 0, 'Connected']);
    f.driver.answers = true;
    const reclaimed = f.host.devices.reclaim(1);
    await f.host.settle();
    await reclaimed;
    assert.deepEqual([f.driver.opened, f.answers()], [1, [2, 3]]);
  });

  it('is closed at once when it goes offline meanwhile', async () => {
    const f = new Fixture();
    await f.connect();
    const released = f.host.devices.release(1);
    await f.host.settle();
    await released;
    f.host.xs.write(`${f.device.back}/online`, '0');
    await f.host.settle();
    assert.deepEqual([f.device.backState, f.domain.mappings], ['Closed', 0]);
  });

  it('can be removed meanwhile', async () => {
    const f = new Fixture();
    await f.connect();
    const released = f.host.devices.release(1);
    await f.host.settle();
    await released;
    f.host.xs.rm(f.device.back);
    await f.host.settle();
    assert.deepEqual([f.domain.mappings, f.driver.opened, f.host.errors.length], [0, 0, 0]);
    assert.equal(f.host.devices.devices().length, 0);
  });
});
