/** Consoles beside the first: the test plays the guest's driver, which finds its channels in xenstore and grants a ring for each. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { XenbusState } from '../../abi/io/xenbus.ts';
import { ConsoleFrontend } from '../../dom0/testing/console-frontend.ts';
import { channelName } from '../agent/protocol.ts';
import { systemClock } from '../assembly/system-clock.ts';
import { TestHost } from '../testing/test-host.ts';
import type { Guest } from './guest.ts';

const SHUTDOWN = { poweroff: 0, reboot: 1 } as const;
const RING = 3;
const channels = [{ name: 'org.example.log' }] as const;

/** The guest's driver connects to its channel of this number. */
function connect(test: TestHost, guest: Guest, num = 1): ConsoleFrontend {
  const domain = test.inside(guest);
  const xs = test.host.receiver().parts.xenstored.client({ domid: domain.domid, privileged: false });
  const port = domain.allocUnbound();
  const front = `device/console/${num}`;
  // Of a boot before, or of a connection before.
  domain.frames.view(RING).fill(0);
  xs.write(`${front}/ring-ref`, domain.grant(RING));
  xs.write(`${front}/port`, port);
  xs.write(`${front}/state`, XenbusState.Initialised);
  return new ConsoleFrontend(domain, RING, port);
}

describe('a channel of a guest', () => {
  it('is read and typed at by its name or number, once the guest has connected to it', async () => {
    await using test = await TestHost.open();
    const guest = await test.create({ channels, agent: true });
    const channel = guest.channel('org.example.log');
    assert.equal(channel, guest.channel(1));
    assert.equal(channel.history, '');
    const lines = channel.lines({ from: 'now' });
    const first = lines.next();
    const typed = channel.write('question\n');
    const front = connect(test, guest);
    front.print('hello\n');
    assert.equal((await first).value, 'hello');
    await typed;
    assert.equal(front.take(), 'question\n');
    front.print('one more\n');
    await channel.waitFor('one more');
    assert.equal(channel.history, 'hello\none more\n');
    assert.equal(guest.console.history, '');
  });

  it('goes on over reboots until the guest has ended, and can be read afterwards', async () => {
    // No boot is over too soon.
    let time = 1_700_000_000_000;
    await using test = await TestHost.open({ clock: { ...systemClock, now: () => (time += 10_000) } });
    const guest = await test.create({ channels });
    const channel = guest.channel('org.example.log');
    const lines = channel.lines();
    const ask = lines.next();
    connect(test, guest).print('first boot\n');
    assert.equal((await ask).value, 'first boot');
    const rebooted = guest.reboot();
    test.inside(guest).shutDown(SHUTDOWN.reboot);
    await rebooted;
    assert.equal(channel.history, '');
    connect(test, guest).print('second boot\n');
    assert.equal((await lines.next()).value, 'second boot');
    test.inside(guest).shutDown(SHUTDOWN.poweroff);
    assert.equal((await lines.next()).done, true);
    assert.equal(channel.history, 'second boot\n');
    await assert.rejects(channel.write('too late'), { code: 'GONE' });
    await assert.rejects(channel.waitFor('never'), {
      code: 'GONE',
      message: `${guest.name} has ended, and its channel org.example.log did not show never`,
    });
  });

  it('of a guest that never connects to it keeps nobody waiting when the guest has ended', async () => {
    await using test = await TestHost.open();
    const guest = await test.create({ channels });
    const channel = guest.channel(1);
    const typed = channel.write('nobody takes it');
    const read = channel.bytes().next();
    await setImmediate();
    await guest.destroy();
    await assert.rejects(typed, { code: 'GONE' });
    assert.deepEqual(await read, { done: true, value: undefined });
    assert.equal(channel.history, '');
  });

  it('gives up waiting by a signal', async () => {
    await using test = await TestHost.open();
    const guest = await test.create({ channels });
    const signal = AbortSignal.timeout(1);
    await assert.rejects(guest.channel(1).waitFor('never', { signal }), { name: 'TimeoutError' });
    await assert.rejects(guest.channel(1).write('never', { signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
  });

  it('that there is not, and the agent’s, is refused', async () => {
    await using test = await TestHost.open();
    const guest = await test.create({ channels, agent: true });
    assert.throws(() => guest.channel('nosuch'), {
      code: 'INVALID',
      message: `${guest.name} has no channel called "nosuch"`,
    });
    assert.throws(() => guest.channel(channelName), { code: 'INVALID' });
    for (const num of [0, 2, 3]) assert.throws(() => guest.channel(num), { code: 'INVALID' });
    await assert.rejects(test.create({ channels: [{ name: 'a,b' }] }), { code: 'CONFIG' });
  });
});
