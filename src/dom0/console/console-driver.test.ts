import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BackendHost, type FakeDevice } from '../testing/backend-host.ts';
import { textOf } from '../testing/console-host.ts';
import { ConsoleFrontend } from '../testing/console-frontend.ts';
import { ManualTimers } from '../testing/manual-timers.ts';
import { ConsoleDriver, type DomainConsole, type Listener, type Pty } from './index.ts';

const RING = 3;

class World {
  readonly consoles = new Map<string, DomainConsole>();
  readonly screens: string[] = [];
  readonly listening = new Map<string, () => DomainConsole | undefined>();
  readonly timers = new ManualTimers();
  readonly host: BackendHost<unknown>;

  constructor() {
    const host: BackendHost<unknown> = new BackendHost(
      new ConsoleDriver({
        xs: { write: (path, value) => host.xs.write(path, value), exists: (path) => host.xs.exists(path) },
        scheduler: { defer: (task) => host.scheduler.defer(task) },
        timers: this.timers,
        consoles: {
          add: (domid, num, console) => {
            this.consoles.set(`${domid}/${num}`, console);
            return () => void this.consoles.delete(`${domid}/${num}`);
          },
        },
        openPty: () => this.#pty(),
        listen: (path, console) => this.#listen(path, console),
      }) as never,
    );
    this.host = host;
  }

  /** A guest whose driver has found the device and offers a ring. */
  async connected(
    back: Readonly<Record<string, string>> = {},
  ): Promise<{ device: FakeDevice; front: ConsoleFrontend }> {
    const domain = this.host.addDomain();
    const device = this.host.addDevice(1, 1, back);
    device.write({ tty: '' });
    await this.host.settle();
    assert.equal(device.backState, 'InitWait');
    const port = domain.allocUnbound();
    device.write({ 'ring-ref': domain.grant(RING), port });
    device.setState('Initialised');
    await this.host.settle();
    return { device, front: new ConsoleFrontend(domain, RING, port) };
  }

  #pty(): Pty {
    const at = this.screens.push('') - 1;
    return {
      path: `/dev/pts/${at}`,
      onInput: undefined,
      onRoom: undefined,
      write: (bytes) => {
        this.screens[at] += Buffer.from(bytes).toString('latin1');
        return bytes.length;
      },
      takeInput: () => undefined,
      close: () => void (this.screens[at] += '[closed]'),
    };
  }

  #listen(path: string, console: () => DomainConsole | undefined): Promise<Listener> {
    if (path.startsWith('/nosuch')) return Promise.reject(new Error(`no such directory: ${path}`));
    this.listening.set(path, console);
    return Promise.resolve({ close: () => void this.listening.delete(path) });
  }
}

describe('a console beside the first', () => {
  it('connects as a split device, and is a terminal that the frontend’s directory names', async () => {
    const world = new World();
    const { device, front } = await world.connected();
    assert.equal(device.backState, 'Connected');
    assert.equal(world.host.xs.read(`${device.front}/tty`), '/dev/pts/0');
    front.print('hello');
    const console = world.consoles.get('1/1');
    assert.ok(console);
    assert.equal(textOf(console.attach()), 'hello');
    assert.deepEqual(world.screens, ['hello']);
    void console.attach().write(Buffer.from('answer'));
    assert.equal(front.take(), 'answer');
  });

  it('does not hear of each piece that the guest takes', async () => {
    const world = new World();
    const { front } = await world.connected();
    const console = world.consoles.get('1/1');
    assert.ok(console);
    const text = Array.from({ length: 2000 }, (_, n) => String(n)).join(' ');
    void console.attach().write(Buffer.from(text));
    let taken = '';
    for (let n = 0; n < 600; n++) taken += front.take(16);
    assert.equal(taken, text);
    // For each ring of 64 pieces the events of 16.
    assert.ok(front.heard < 600 / 4 + 16, `${front.heard} times`);
    void console.attach().write(Buffer.from('a question of 38 bytes for the guest…'));
    front.heard = 0;
    for (let n = 0; n < 3; n++) front.take(16);
    assert.equal(front.heard, 0);
    front.print('answer');
    assert.deepEqual([front.heard, textOf(console.attach())], [1, 'answer']);
    assert.equal(world.timers.pending, 0);
  });

  it('hears a guest that takes more at once after a while, and from then on', async () => {
    const world = new World();
    const { front } = await world.connected();
    const console = world.consoles.get('1/1');
    assert.ok(console);
    void console.attach().write(Buffer.alloc(1000, 120));
    front.take();
    front.print('enough');
    assert.equal(textOf(console.attach()), '');
    world.timers.pass(10);
    assert.equal(textOf(console.attach()), 'enough');
    front.print(', thanks');
    assert.equal(textOf(console.attach()), 'enough, thanks');
    assert.equal(world.timers.pending, 0);
  });

  it('takes the last words when its driver closes, and comes back with it', async () => {
    const world = new World();
    const { device, front } = await world.connected();
    front.put('bye');
    device.setState('Closing');
    await world.host.settle();
    device.setState('Closed');
    await world.host.settle();
    assert.deepEqual(world.screens, ['bye[closed]']);
    assert.deepEqual([world.consoles.size, world.host.hypervisor.domain(1)['mappings']], [0, 0]);
    device.setState('Initialising');
    await world.host.settle();
    assert.equal(device.backState, 'InitWait');
  });

  it('may be a socket instead of a terminal', async () => {
    const world = new World();
    const { device, front } = await world.connected({ connection: 'socket', path: '/run/agent' });
    const console = world.listening.get('/run/agent')?.();
    assert.ok(console);
    front.print('hello');
    assert.equal(textOf(console.attach()), 'hello');
    assert.deepEqual([world.screens, world.host.xs.read(`${device.front}/tty`)], [[], '']);
    device.remove();
    await world.host.settle();
    assert.deepEqual([world.listening.size, world.consoles.size], [0, 0]);
  });

  it('says why its socket cannot be had', async () => {
    const world = new World();
    world.host.addDomain();
    const device = world.host.addDevice(1, 1, { connection: 'socket', path: '/nosuch/agent' });
    await world.host.settle();
    assert.deepEqual(
      [device.read('hotplug-status'), device.read('hotplug-error')],
      ['error', 'no such directory: /nosuch/agent'],
    );
  });

  it('leaves the first console to who serves that', async () => {
    const world = new World();
    world.host.addDomain();
    const device = world.host.addDevice(1, 0);
    await world.host.settle();
    assert.deepEqual([device.backState, device.read('hotplug-status')], ['Initialising', undefined]);
  });

  it('closes with an error node when the ring is none', async () => {
    const world = new World();
    const domain = world.host.addDomain();
    const device = world.host.addDevice(1, 1);
    await world.host.settle();
    device.write({ 'ring-ref': 99, port: domain.allocUnbound() });
    device.setState('Initialised');
    await world.host.settle();
    assert.equal(device.backState, 'Closing');
    assert.match(device.error ?? '', /mapping grant 99/);
    assert.deepEqual(world.host.errors, []);
  });
});
