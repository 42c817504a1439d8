import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { TestHost } from '../testing/test-host.ts';
import { XenolithError } from './errors.ts';

const SHUTDOWN = { poweroff: 0, reboot: 1 } as const;
const hastyClock = { now: () => 1_700_000_000_000, sleep: () => Promise.resolve() };

describe('the console of a guest', () => {
  it('is read line by line, through reboots, until the guest has ended', async () => {
    await using test = await TestHost.open({ clock: hastyClock });
    const guest = await test.create();
    test.print(guest, 'first\r\nsec');
    const lines = guest.console.lines();
    assert.equal((await lines.next()).value, 'first');
    test.print(guest, 'ond\n');
    assert.equal((await lines.next()).value, 'second');
    const rebooted = guest.reboot();
    test.inside(guest).shutDown(SHUTDOWN.reboot);
    await rebooted;
    test.print(guest, 'third\nlast without an end');
    assert.equal((await lines.next()).value, 'third');
    test.inside(guest).shutDown(SHUTDOWN.poweroff);
    assert.equal((await lines.next()).value, 'last without an end');
    assert.equal((await lines.next()).done, true);
    assert.equal(guest.console.history, 'third\nlast without an end');
  });

  it('waits for what is printed', async () => {
    await using test = await TestHost.open();
    const guest = await test.create();
    const found = guest.console.waitFor(/release (?<release>\S+)\n/);
    test.print(guest, 'Linux rele');
    test.print(guest, 'ase 6.1.0\n');
    assert.equal((await found).groups?.['release'], '6.1.0');
    await guest.console.waitFor('6.1.');
    const never = guest.console.waitFor('login:');
    await guest.destroy();
    await assert.rejects(
      never,
      (error) => error instanceof XenolithError && error.code === 'GONE' && /login:/.test(error.message),
    );
  });

  it('gives up reading and waiting by a signal', async () => {
    await using test = await TestHost.open();
    const guest = await test.create();
    await assert.rejects(guest.console.waitFor('never', { signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
  });

  it('begins at what comes next when it is asked to', async () => {
    await using test = await TestHost.open();
    const guest = await test.create();
    test.print(guest, 'before ');
    const reading = guest.console.bytes({ from: 'now' }).next();
    test.print(guest, 'after');
    assert.equal(Buffer.from((await reading).value ?? []).toString(), 'after');
  });

  it('ends when its guest is preserved', async () => {
    await using test = await TestHost.open();
    const guest = await test.create({ onPoweroff: 'preserve' });
    test.print(guest, 'bye\n');
    test.inside(guest).shutDown(SHUTDOWN.poweroff);
    const lines: string[] = [];
    for await (const line of guest.console.lines()) lines.push(line);
    assert.deepEqual(lines, ['bye']);
  });

  it('cuts a line that never ends', async () => {
    await using test = await TestHost.open();
    const guest = await test.create();
    for (let i = 0; i < 70; i++) test.print(guest, 'x'.repeat(1024));
    const { value } = await guest.console.lines().next();
    assert.equal(value?.length, 64 * 1024);
  });

  it('types in turn, as the guest takes it, until it is told not to or the guest ends', async () => {
    await using test = await TestHost.open();
    const guest = await test.create();
    const frontend = test.inside(guest).console;
    await Promise.all([guest.console.write('one\n'), guest.console.write('two\n')]);
    assert.equal(frontend?.take(), 'one\ntwo\n');
    const over = new AbortController();
    const much = guest.console.write(new Uint8Array(64 * 1024), { signal: over.signal });
    const behind = guest.console.write('never typed');
    await setImmediate();
    over.abort(new Error('enough'));
    await assert.rejects(much, /enough/);
    await guest.destroy();
    await assert.rejects(behind, (error) => error instanceof XenolithError && error.code === 'GONE');
  });
});
