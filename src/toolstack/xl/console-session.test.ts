import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import type { JsonObject } from '../config/json.ts';
import { parseConfig } from '../config/parse-config.ts';
import type { DaemonClient } from '../daemon/client.ts';
import type { Clock } from '../domain/services.ts';
import type { GuestDomain } from '../testing/fake-host.ts';
import { TestDaemon } from '../testing/test-daemon.ts';
import { parseEscape, runConsole, type ConsoleEnd } from './console-session.ts';

const test = new TestDaemon();
const { host } = test;
const connect = test.client.bind(test);

/** Who waits for a console, and what ends the wait. */
const sleeping: { readonly milliseconds: number; wake(): void }[] = [];
const clock: Clock = {
  now: () => Date.now(),
  sleep: (milliseconds, signal) =>
    new Promise((wake, reject) => {
      sleeping.push({ milliseconds, wake });
      signal?.addEventListener('abort', () => reject(new Error('over')));
    }),
};

before(() => test.start({ clock }));
after(() => test.close());

async function create(name: string): Promise<GuestDomain> {
  const { config } = parseConfig(`name="${name}"\nkernel="k"\nmemory=64\n`, 't.cfg', { cpus: 1 }, () => undefined);
  const client = await connect();
  const params = {
    config: config as unknown as JsonObject,
    paused: false,
    monitor: true,
    foreground: false,
    verbose: false,
  };
  await client.call('create', params);
  client.close();
  const guest = host.guests.at(-1);
  assert(guest?.console);
  return guest;
}

/** Somebody at the console, by pipes. */
class User {
  readonly input: PassThrough;
  readonly output = new PassThrough();
  seen = '';
  readonly left: Promise<ConsoleEnd>;

  constructor(client: DaemonClient, domid: number, escape?: number, input = new PassThrough()) {
    this.input = input;
    this.output.on('data', (bytes: Buffer) => (this.seen += bytes.toString('latin1')));
    const streams = { input: this.input, output: this.output, escape } as unknown as Parameters<typeof runConsole>[2];
    const attach = async (): Promise<void> => void (await client.call('attachConsole', { domid }));
    this.left = runConsole(client, attach, streams).finally(() => client.close());
  }

  async sees(text: string): Promise<void> {
    await until(
      () => this.seen.includes(text),
      () => `${JSON.stringify(this.seen)} has no ${JSON.stringify(text)}`,
    );
  }
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
  for (let i = 0; i < 12_000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  assert(condition(), what());
}

describe('a console', () => {
  it('shows what was printed before anybody looked, and what is printed now', async () => {
    const guest = await create('early');
    guest.console?.print('booting\r\n');
    const user = new User(await connect(), guest.domid);
    await user.sees('booting\r\n');
    guest.console?.print('login: ');
    await user.sees('booting\r\nlogin: ');
    user.input.write('\x1d');
    await user.left;
  });

  it('passes on what is typed, and leaves with Ctrl-]', async () => {
    const guest = await create('typing');
    const user = new User(await connect(), guest.domid);
    user.input.write('root\r');
    let taken = '';
    await until(
      () => (taken += guest.console?.take() ?? '').includes('root\r'),
      () => taken,
    );
    user.input.write('x\x1dnot this');
    await user.left;
    await until(
      () => (taken += guest.console?.take() ?? '').includes('x'),
      () => taken,
    );
    assert(!taken.includes('not'));
  });

  it('is left by another character when one was given', async () => {
    const guest = await create('escape');
    const user = new User(await connect(), guest.domid, parseEscape('^a'));
    user.input.write('\x1d');
    let taken = '';
    await until(
      () => (taken += guest.console?.take() ?? '') === '\x1d',
      () => JSON.stringify(taken),
    );
    user.input.write('\x01');
    assert.equal(await user.left, 'left');
  });

  it('has only the consoles that the domain has', async () => {
    const { domid } = await create('single');
    const asked = [1, -1, 77].map(async (num) => {
      const client = await connect();
      await assert.rejects(client.call('attachConsole', { domid, num }), /Could not read tty from store/);
      client.close();
    });
    // It is waited for as long as xenconsole does.
    await until(
      () => sleeping.length === 3,
      () => `${sleeping.length} wait`,
    );
    for (const { milliseconds, wake } of sleeping.splice(0)) {
      assert.equal(milliseconds, 5000);
      wake();
    }
    await Promise.all(asked);
  });

  it('is waited for while its domain is being made', async () => {
    const before = await create('before it');
    const early = new User(await connect(), before.domid + 1);
    await until(
      () => sleeping.length === 1,
      () => 'nobody waits',
    );
    const guest = await create('late');
    assert.equal(guest.domid, before.domid + 1);
    guest.console?.print('here');
    await early.sees('here');
    early.input.write('\x1d');
    assert.equal(await early.left, 'left');
  });

  it('takes what is typed at the same terminal when an earlier console has ended', async () => {
    const [first, second] = [await create('before'), await create('after')];
    const user = new User(await connect(), first.domid);
    first.console?.print('bye');
    await user.sees('bye');
    first.shutDown(0);
    assert.equal(await user.left, 'ended');
    const again = new User(await connect(), second.domid, undefined, user.input);
    user.input.write('hello\r');
    let taken = '';
    await until(
      () => (taken += second.console?.take() ?? '').includes('hello\r'),
      () => taken,
    );
    user.input.write('\x1d');
    await again.left;
  });

  it('may have several people at it', async () => {
    const guest = await create('shared');
    const users = [new User(await connect(), guest.domid), new User(await connect(), guest.domid)];
    guest.console?.print('hello');
    for (const user of users) await user.sees('hello');
    for (const user of users) user.input.write('\x1d');
    await Promise.all(users.map((user) => user.left));
  });

  it('ends with its domain, after the last words', async () => {
    const guest = await create('dying');
    const user = new User(await connect(), guest.domid);
    guest.console?.print('going down\r\n');
    await user.sees('going down');
    guest.console?.print('reboot: Power down\r\n');
    guest.shutDown(0);
    assert.equal(await user.left, 'ended');
    assert.match(user.seen, /Power down\r\n$/);
  });

  it('carries more than the socket holds, in order', async () => {
    const guest = await create('chatty');
    const user = new User(await connect(), guest.domid);
    const text = Array.from({ length: 40_000 }, (_, i) => `line ${i}\n`).join('');
    for (let at = 0; at < text.length; at += 1000) {
      guest.console?.print(text.slice(at, at + 1000));
      if (at % 50_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await user.sees('line 39999\n');
    assert.equal(user.seen, text);
    user.input.write('\x1d');
    await user.left;
  });
});

describe('the character that leaves a console', () => {
  for (const [text, byte] of [
    ['^]', 0x1d],
    ['^a', 1],
    ['^A', 1],
    ['~', 0x7e],
    ['^', 0x5e],
    ['', undefined],
    ['ab', undefined],
    ['^ab', undefined],
    ['é', undefined],
  ] as const)
    it(`${JSON.stringify(text)} is ${byte ?? 'none'}`, () => assert.equal(parseEscape(text), byte));
});
