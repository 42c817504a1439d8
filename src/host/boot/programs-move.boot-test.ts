/** A real guest that a program writes down, brings back, and moves to another host of its process: its memory and its programs go along. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Guest } from '../../toolstack/api/guest.ts';
import { messages } from '../../toolstack/xl/migration-handshake.ts';
import { Host, images, sandbox } from '../node/xenolith.ts';

describe('a guest of a program', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-move-'));
  const file = join(folder, 'web.save');
  let host: Host;
  let guest: Guest;
  let count = 0;

  before(async () => {
    host = await Host.open();
    guest = await host.create({
      ...(await images.busybox()),
      ...sandbox,
      memory: 128,
      name: 'web',
      channels: [{ name: 'org.example.log' }],
    });
    const counting = 'n=0; while :; do n=$((n + 1)); echo $n > /tmp/.count; mv /tmp/.count /tmp/count; sleep 0.2; done';
    await guest.exec(['sh', '-c', `sh -c '${counting}' > /dev/null 2>&1 & echo $! > /tmp/pid`]);
    await guest.exec(['sh', '-c', 'dd if=/dev/urandom of=/tmp/noise bs=1M count=2; sha256sum /tmp/noise > /tmp/sum']);
  });
  after(async () => {
    await host.close();
    rmSync(folder, { recursive: true });
  });

  /** What it counts, which has never gone back. */
  async function goesOn(from: Guest): Promise<void> {
    const { stdout, stderr, exitCode } = await from.exec([
      'sh',
      '-c',
      `sha256sum -c /tmp/sum && kill -0 $(cat /tmp/pid) && until [ $(cat /tmp/count) -gt ${count} ]; do sleep 0.1; done`,
    ]);
    assert.equal(exitCode, 0, `${stdout}${stderr}`);
    const now = Number(await from.files.readText('/tmp/count'));
    assert.ok(now > count, `${now} after ${count}`);
    count = now;
    // Its channel goes along. What is typed waits until it is read: Linux takes nothing for a terminal that nobody has open.
    const channel = from.channel('org.example.log');
    await channel.write(`${count}\n`);
    await from.exec(['sh', '-c', 'read line < /dev/hvc1; echo "read $line" > /dev/hvc1']);
    await channel.waitFor(new RegExp(`read ${count}\\r?\\n`));
  }

  it('is saved and restored', async () => {
    await goesOn(guest);
    await guest.save(file);
    assert.deepEqual(guest.exit, { reason: 'saved' });
    assert.deepEqual(host.guests, []);
    const { uuid } = guest;
    guest = await host.restore(file);
    assert.deepEqual([guest.name, guest.uuid], ['web', uuid]);
    await goesOn(guest);
  });

  it('is saved as it goes on, and comes back under another name beside itself', async () => {
    await guest.save(file, { after: 'run' });
    await goesOn(guest);
    const later = count;
    count = 0;
    await using twin = await host.restore(file, { name: 'twin' });
    await goesOn(twin);
    count = later;
    await goesOn(guest);
  });

  it('is not cloned for one who has given up, and goes on', async () => {
    const enough = (): { readonly signal: AbortSignal; readonly giveUp: () => void } => {
      const over = new AbortController();
      return { signal: over.signal, giveUp: () => over.abort(new Error('enough')) };
    };
    const early = enough();
    const snapshotting = guest.snapshot({ signal: early.signal });
    early.giveUp();
    await assert.rejects(snapshotting, /enough/);
    await goesOn(guest);
    await using snapshot = await guest.snapshot({ signal: enough().signal });
    const late = enough();
    const forking = snapshot.fork({ name: 'clone', signal: late.signal });
    late.giveUp();
    await assert.rejects(forking, /enough/);
    await assert.rejects(guest.fork({ signal: AbortSignal.abort(new Error('before')) }), /before/);
    await using clone = await snapshot.fork({ name: 'clone' });
    assert.deepEqual(host.guests, [guest, clone]);
    await goesOn(guest);
  });

  it('is cloned as it was saved, while it goes on itself', async () => {
    await using snapshot = await host.snapshot(file);
    assert.deepEqual(host.guests, [guest]);
    await using first = await snapshot.fork();
    await using second = await snapshot.fork({ name: 'second' });
    assert.deepEqual([first.name, second.name], ['web-1', 'second']);
    assert.equal(new Set([guest.uuid, first.uuid, second.uuid]).size, 3);
    const now = count;
    for (const clone of [first, second]) {
      count = 0;
      await goesOn(clone);
    }
    count = now;
    await goesOn(guest);
    await assert.rejects(host.snapshot(join(folder, 'nosuch')), { code: 'FAILED' });
    await assert.rejects(host.snapshot(file, { signal: AbortSignal.abort(new Error('before')) }), /before/);
  });

  it('does one thing at a time for which it has to suspend', async () => {
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    let writes = 0;
    const slow = new WritableStream<Uint8Array>({
      // What it was made from is written before.
      write: async () => {
        if (++writes === 1) return;
        begun.resolve();
        await goOn.promise;
      },
    });
    const saving = guest.save(slow, { after: 'run' });
    await begun.promise;
    await using other = await Host.open();
    await assert.rejects(guest.fork(), /cannot be cloned: it is being saved$/);
    await assert.rejects(guest.migrate(other), /cannot be moved: it is being saved$/);
    await assert.rejects(guest.save(join(folder, 'second.save')), /cannot be saved: it is being saved$/);
    goOn.resolve();
    await saving;
    assert.deepEqual([host.guests, other.guests, readdirSync(folder)], [[guest], [], ['web.save']]);
    await goesOn(guest);
    await using clone = await guest.fork();
    assert.equal(clone.name, 'web-1');
    const [one, two] = await Promise.all([guest.fork(), guest.fork()]);
    assert.deepEqual([one.name, two.name].sort(), ['web-2', 'web-3']);
    await Promise.all([one.destroy(), two.destroy()]);
  });

  it('stays where it is when the receiver takes nothing', async () => {
    const seconds = 4; // more than it takes to start a program on a busy machine
    const deaf = `printf '${messages.banner.replace('\n', '\\n')}'; exec sleep 300`;
    await assert.rejects(guest.migrate({ command: deaf }, { patience: seconds * 1000 }), {
      code: 'STREAM',
      message: new RegExp(`the receiver has done nothing for ${seconds} s`),
    });
    assert.deepEqual([guest.name, guest.exit], ['web', undefined]);
    await goesOn(guest);
  });

  it('moves to another host while it runs', async () => {
    await using other = await Host.open();
    const { guest: moved, passes, downtime, total } = await guest.migrate(other);
    assert.deepEqual([guest.exit, guest.name, moved.name], [{ reason: 'migrated' }, 'web', 'web']);
    assert.deepEqual([host.guests, other.guests], [[], [moved]]);
    assert.ok(passes > 1 && downtime > 0 && downtime < total);
    await goesOn(moved);
  });

  it('leaves a snapshot behind that is closed with its host, once', async () => {
    const other = await Host.open();
    const snapshot = await other.snapshot(file);
    await other.close();
    await assert.rejects(snapshot.fork(), { code: 'CLOSED' });
    await snapshot.close();
  });

  it('is not brought back from a file that is cut off', async () => {
    const cut = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      yield new Uint8Array(100);
      await Promise.resolve();
    };
    await assert.rejects(host.restore(cut()), { name: 'XenolithError', code: 'STREAM' });
    assert.deepEqual(host.guests, []);
    assert.ok(existsSync(file));
  });
});
