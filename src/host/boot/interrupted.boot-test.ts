/** Ctrl-C for xl, and peers that say nothing, while a guest is saved, moved or cloned: the guest goes on, and nothing else is left. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DaemonClient } from '../../toolstack/daemon/client.ts';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { messages } from '../../toolstack/xl/migration-handshake.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { eventually, Machine, until } from '../testing/machine.ts';

const xl = join(fileURLToPath(new URL('../../..', import.meta.url)), 'bin/xl');
/** Seconds: more than it takes to start a program on a busy machine. */
const shortPatience = 4;
/** Says that it is there, and takes nothing. */
const deaf = `printf '${messages.banner.replace('\n', '\\n')}'; exec sleep 300`;

describe('what is interrupted', () => {
  const machine = new Machine({ XENOLITH_MIGRATE_PATIENCE: `${shortPatience}` });
  let guest: GuestTerminal;
  let filesBefore: readonly string[];

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    guest = await machine.boot({ name: 'web', kernel, ramdisk, memory: 128, cmdline: `console=hvc0 ${PLAIN_CONSOLE}` });
    await guest.ready();
    await guest.run('dd if=/dev/urandom of=/tmp/noise bs=1M count=4 2>/dev/null; sha256sum /tmp/noise > /tmp/sum');
    filesBefore = files();
  });
  after(() => machine.close());

  const files = (): readonly string[] => readdirSync(machine.folder).filter((name) => name !== 'run');

  /** Runs xl, and presses Ctrl-C, which goes to all that it has started, when it has said that, or made a clone. What it said; undefined when it was done before. */
  async function pressed(when: RegExp | 'soon', args: readonly string[]): Promise<string | undefined> {
    const child = spawn(xl, args, { env: machine.env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const press = (): void => void process.kill(-(child.pid ?? assert.fail()), 'SIGINT');
    let said = '';
    let isPressed = false;
    const look = (text: string): void => {
      said += text;
      if (isPressed || when === 'soon' || !when.test(said)) return;
      isPressed = true;
      press();
    };
    child.stdout.setEncoding('utf8').on('data', look);
    child.stderr.setEncoding('utf8').on('data', look);
    if (when === 'soon') {
      await firstClone();
      press();
    }
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    if (code === 0) return undefined;
    assert.ok(signal === 'SIGINT' || code === 130 || code === 1, `${code} ${signal}: ${said}`);
    return said;
  }

  /** On a busy machine xl may be done before the key arrives: it is undone, and tried again. */
  async function interrupted(when: RegExp | 'soon', undo: () => Promise<void>, ...args: string[]): Promise<string> {
    for (let tries = 0; tries < 20; tries++) {
      const said = await pressed(when, args);
      if (said !== undefined) return said;
      await undo();
    }
    throw new Error(`xl ${args.join(' ')} is never interrupted`);
  }

  /** Asked for without xl, which takes longer to start than many clones take to be made. */
  async function firstClone(): Promise<void> {
    const client = (await DaemonClient.connect(join(machine.run, 'xenolithd.sock'))) ?? assert.fail('no daemon');
    while ((await client.call('domid', { name: 'web-1' })).domid === null) await sleep(5);
    client.close();
  }

  async function goesOn(): Promise<void> {
    await until('the guest alone', async () => {
      const names = (await machine.list()).map(({ name }) => name);
      return names.join() === 'Domain-0,web';
    });
    assert.match(await guest.run('sha256sum -c /tmp/sum'), /OK/);
    await eventually(() => assert.deepEqual(files(), filesBefore));
  }

  it('is a save', async () => {
    const file = machine.path('web.save');
    const restore = async (): Promise<void> => {
      await machine.ok('restore', file);
      rmSync(file);
      guest = machine.console('web');
    };
    for (const when of [/Saving domain/, /Frames: /]) {
      const said = await interrupted(when, restore, 'save', 'web', file);
      assert.doesNotMatch(said, /saved successfully/);
      await goesOn();
    }
  });

  it('is a migration', async () => {
    await interrupted(/Saving domain/, () => assert.fail('it has moved'), 'migrate', '-s', '', 'web', deaf);
    await goesOn();
  });

  it('is the making of clones: those that there are go again', async () => {
    const bury = async (): Promise<void> => {
      for (const { name } of await machine.list()) if (name.startsWith('web-')) await machine.ok('destroy', name);
    };
    await interrupted('soon', bury, 'fork', '-n', '30', 'web');
    await goesOn();
  });

  it('is not waited for when it takes nothing, or says nothing', async () => {
    const sender = await machine.xl('migrate', '-s', '', 'web', deaf);
    assert.equal(sender.code, 1);
    assert.match(sender.err, /migration sender: the receiver has closed the migration stream/);
    await goesOn();
    const receiver = spawn(xl, ['migrate-receive'], { env: machine.env, stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
    receiver.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const [code] = (await once(receiver, 'close')) as [number];
    assert.equal(code, 1);
    assert.match(said, new RegExp(`migration target: the sender has said nothing for ${shortPatience} s`));
    await goesOn();
  });
});
