import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { TestHost } from '../testing/test-host.ts';
import { XenolithError, type ErrorCode } from './errors.ts';
import type { HostEvent } from './host-event.ts';

const code = (wanted: ErrorCode) => (error: unknown) => error instanceof XenolithError && error.code === wanted;

/** Time passes at once. */
const hastyClock = { now: () => 1_700_000_000_000, sleep: () => Promise.resolve() };

const SHUTDOWN = { poweroff: 0, reboot: 1, crash: 3, watchdog: 4 } as const;

describe('a host in the process', () => {
  it('makes guests that run, and is asked for them', async () => {
    await using test = await TestHost.open();
    const { host } = test;
    const guest = await test.create({ name: 'web', memory: 64, maxMemory: 128, vcpus: 1 });
    const { name, state, memory, maxMemory, vcpus } = guest.info();
    assert.deepEqual(
      { name, state, memory, maxMemory, vcpus },
      { name: 'web', state: 'running', memory: 128, maxMemory: 128, vcpus: 1 },
    );
    assert.deepEqual(host.guests, [guest]);
    assert.equal(host.guest('web'), guest);
    assert.equal(host.guest('other'), undefined);
    assert.equal(host.info().xenVersion, '4.17.7');
    assert.equal(host.info().guests, 1);
    assert.equal((await test.create()).name, 'guest-1');
  });

  it('says in the words of xl why it cannot, with a code', async () => {
    await using test = await TestHost.open();
    await test.create({ name: 'web' });
    await assert.rejects(test.create({ name: 'web' }), code('NAME_IN_USE'));
    await assert.rejects(test.create({ kernel: '/nosuch' }), (error) => {
      assert.ok(code('BUILD')(error) && error instanceof XenolithError);
      assert.match(error.message, /failed to open file '\/nosuch': No such file or directory/);
      assert.match(error.lines.join('\n'), /libxl: error: .*cannot \(re-\)build domain: -3/);
      return true;
    });
    await assert.rejects(test.create({ vcpus: 9 }), code('FAILED'));
    await assert.rejects(test.host.create({ file: '/nosuch.cfg' }), code('CONFIG'));
    assert.equal(test.host.guests.length, 1);
  });

  it('tells what happens to guests', async () => {
    await using test = await TestHost.open({ clock: hastyClock });
    const events = test.host.events();
    const guest = await test.host.create({ name: 'web', kernel: '/k' }, { paused: true });
    await guest.start();
    await guest.pause();
    await guest.unpause();
    const rebooted = guest.reboot();
    test.inside(guest).shutDown(SHUTDOWN.reboot);
    await rebooted;
    test.inside(guest).shutDown(SHUTDOWN.crash);
    assert.deepEqual(await guest.exited, { reason: 'crash' });
    await test.host.close();
    const seen: string[] = [];
    for await (const event of events) seen.push(told(event));
    assert.deepEqual(seen, [
      'created',
      'running',
      'paused',
      'running',
      'shutdown reboot',
      'running',
      'crashed',
      'destroyed crash',
    ]);
  });

  it('ends the reading of events by a signal, or when the loop is left', async () => {
    await using test = await TestHost.open();
    const over = new AbortController();
    const waiting = test.host.events({ signal: over.signal }).next();
    over.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    const events = test.host.events();
    await test.create();
    for await (const { type } of events) if (type === 'running') break;
    assert.deepEqual(await events.next(), { done: true, value: undefined });
  });

  it('leaves nothing of a guest whose creation was given up', async () => {
    const built = Promise.withResolvers<never>();
    await using test = await TestHost.open({ build: () => built.promise });
    const over = new AbortController();
    const creating = test.host.create({ name: 'web', kernel: '/k' }, { signal: over.signal });
    over.abort(new Error('enough'));
    await assert.rejects(creating, /enough/);
    assert.equal(test.fake.domain(1), undefined);
    built.reject(new Error('the builder is late'));
    await assert.rejects(
      test.host.create({ kernel: '/k' }, { signal: AbortSignal.abort(new Error('before')) }),
      /before/,
    );
  });

  it('is closed with all of its guests and its folder', async () => {
    const folders = (): string[] =>
      readdirSync(tmpdir()).filter((name) => name.startsWith(`xenolith-host-${process.pid}-`));
    const before = folders();
    const test = await TestHost.open();
    const [folder = ''] = folders().filter((name) => !before.includes(name));
    assert.notEqual(folder, '');
    const guest = await test.create();
    const { console } = guest;
    test.print(guest, 'hello\r\n');
    await test.host.close();
    assert.deepEqual(guest.exit, { reason: 'destroyed' });
    assert.equal(console.history, 'hello\r\n');
    assert.ok(test.fake.closed);
    assert.ok(!existsSync(`${tmpdir()}/${folder}`));
    await assert.rejects(test.create(), code('CLOSED'));
    assert.deepEqual(await test.host.events().next(), { done: true, value: undefined });
  });
});

describe('a guest', () => {
  it('is one object over its reboots', async () => {
    await using test = await TestHost.open({ clock: hastyClock });
    const guest = await test.create();
    const { domid, uuid } = guest;
    const rebooted = guest.reboot();
    test.fake.guests.at(-1)?.shutDown(SHUTDOWN.reboot);
    await rebooted;
    assert.notEqual(guest.domid, domid);
    assert.equal(guest.uuid, uuid);
    assert.equal(guest.info().state, 'running');
    assert.deepEqual(test.host.guests, [guest]);
  });

  it('ends by itself or by a hand, and says how', async () => {
    await using test = await TestHost.open();
    const off = await test.create();
    const shuttingDown = off.shutdown();
    test.inside(off).shutDown(SHUTDOWN.poweroff);
    assert.deepEqual(await shuttingDown, { reason: 'poweroff' });
    assert.deepEqual(await off.shutdown(), { reason: 'poweroff' });

    const destroyed = await test.create();
    await destroyed.destroy();
    await destroyed.destroy();
    assert.deepEqual(await destroyed.exited, { reason: 'destroyed' });

    const late = await test.create({ timeLimit: 1 });
    assert.deepEqual(await late.exited, { reason: 'time limit' });
    await assert.rejects(late.pause(), code('GONE'));
    assert.throws(() => late.info(), code('GONE'));
    assert.deepEqual(test.host.guests, []);
  });

  it('is still there when it is preserved', async () => {
    await using test = await TestHost.open();
    const guest = await test.create({ onCrash: 'preserve' });
    const events = test.host.events();
    test.inside(guest).shutDown(SHUTDOWN.crash);
    assert.deepEqual(await guest.exited, { reason: 'crash' });
    assert.equal(guest.info().state, 'shutdown');
    assert.deepEqual(test.host.guests, [guest]);
    await guest.destroy();
    assert.deepEqual(test.host.guests, []);
    await test.host.close();
    const seen: string[] = [];
    for await (const event of events) seen.push(told(event));
    assert.deepEqual(seen, ['crashed', 'destroyed crash']);
  });

  it('can be ended between two boots', async () => {
    const sleeping = Promise.withResolvers<void>();
    const asleep = Promise.withResolvers<void>();
    const sleep = (): Promise<void> => {
      asleep.resolve();
      return sleeping.promise;
    };
    await using test = await TestHost.open({ clock: { now: () => 0, sleep } });
    const guest = await test.create();
    test.inside(guest).shutDown(SHUTDOWN.reboot);
    await asleep.promise;
    const destroyed = guest.destroy();
    sleeping.resolve();
    await destroyed;
    assert.deepEqual(guest.exit, { reason: 'destroyed' });
    assert.deepEqual(test.host.guests, []);
    assert.equal(test.fake.domain(2), undefined);
  });

  it('has memory, processors and a name that can be changed', async () => {
    await using test = await TestHost.open();
    const guest = await test.create({ maxMemory: 128, vcpus: 1, maxVcpus: 2 });
    await guest.setMemory(96);
    await guest.setVcpus(2);
    await guest.rename('other');
    assert.equal(guest.name, 'other');
    await assert.rejects(guest.setMemory(256), code('INVALID'));
    await assert.rejects(guest.setMemory(0.5), code('INVALID'));
    await assert.rejects(guest.setVcpus(3), /maxcpus is 2/);
  });
});

function told(event: HostEvent): string {
  if (event.type === 'shutdown') return `shutdown ${event.reason}`;
  return event.type === 'destroyed' ? `destroyed ${event.exit.reason}` : event.type;
}
