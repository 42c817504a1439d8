/** Programs and files in a real guest, by its agent: `xl exec` and `xl cp` as a person types them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { channelLine } from '../../toolstack/agent/guest-agents.ts';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { Machine, patience, until, type Outcome } from '../testing/machine.ts';

const xl = join(fileURLToPath(new URL('../../..', import.meta.url)), 'bin/xl');
const channel = [/"(.*)"/.exec(channelLine)?.[1] ?? ''];
/** In seconds. */
const longest = `${patience / 1000}`;
const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

describe('a guest with an agent', () => {
  const machine = new Machine();

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const settings = { kernel, ramdisk, memory: 128, cmdline: `console=hvc0 ${PLAIN_CONSOLE}` };
    await machine.ok('create', '-q', machine.config({ ...settings, name: 'web', channel }));
    // Without a channel nobody asks whether it runs.
    await machine.ok('create', '-q', '-p', machine.config({ ...settings, name: 'mute' }));
  });
  after(() => machine.close());

  const exec = (input: string, ...command: readonly string[]): Promise<Outcome> =>
    machine.program(xl, ['exec', '-t', longest, ...command], input);

  it('runs a program with the streams and the exit code of xl', async () => {
    const script = 'read word; echo "$word $A"; echo trouble >&2; pwd; exit 7';
    const { code, out, err } = await exec('hello\n', '-e', 'A=b c', '-d', '/tmp', 'web', '--', 'sh', '-c', script);
    assert.deepEqual([code, out, err], [7, 'hello b c\n/tmp\n', 'trouble\n']);
    assert.equal((await exec('', 'web', 'sh', '-c', 'kill -9 $$')).code, 128 + 9);
  });

  it('says what is missing', async () => {
    const command = await exec('', 'web', 'no-such-command');
    assert.deepEqual([command.code, command.err], [127, 'xl exec: the guest has no command no-such-command\n']);
    const folder = await exec('', '-d', '/nowhere', 'web', 'true');
    assert.deepEqual([folder.code, folder.err], [127, 'xl exec: the guest has no folder /nowhere\n']);
    const mute = await exec('', 'mute', 'true');
    assert.equal(mute.code, 255);
    assert.match(mute.err, /has no channel to an agent\nhint: .*channel = \[ "connection=internal, name=/);
  });

  it('carries much in both directions, as it was', async () => {
    const noise = randomBytes(1_000_000).toString('base64');
    const { out } = await exec(noise, 'web', 'sh', '-c', 'tee /tmp/noise | sha256sum; cat /tmp/noise');
    assert.equal(out.slice(0, 64), sha256(noise));
    assert.equal(sha256(out.slice(out.indexOf('\n') + 1)), sha256(noise));
  });

  it('copies files and folders in and out', async () => {
    const noise = randomBytes(500_000);
    writeFileSync(machine.path('noise'), noise, { mode: 0o640 });
    await machine.ok('cp', machine.path('noise'), 'web:/root/');
    const { out } = await exec('', 'web', 'sh', '-c', 'sha256sum < /root/noise; stat -c %a /root/noise');
    assert.equal(out, `${sha256(noise)}  -\n640\n`);
    await exec('', 'web', 'sh', '-c', 'mkdir -p /root/d/e; cp /root/noise /root/d/e');
    const folder = await machine.xl('cp', 'web:/root/d', machine.path('d'));
    assert.match(folder.err, /is a folder: -r copies those/);
    await machine.ok('cp', '-r', 'web:/root/d', machine.path('d'));
    assert.equal(sha256(readFileSync(machine.path('d/e/noise'))), sha256(noise));
    const absent = await machine.xl('cp', 'web:/nothing', machine.path('nothing'));
    assert.equal(absent.err, 'xl cp: cannot look at /nothing in the guest: no such file or directory\n');
    assert.equal(await machine.ok('cp', 'web:/etc/group', '-'), 'root:x:0:\n');
  });

  it('serves several at a time', async () => {
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, n) => exec('', 'web', 'sh', '-c', `sleep 1; seq ${n} 20000 | sha256sum`)),
    );
    const expected = Array.from({ length: 6 }, (_, n) =>
      sha256(Array.from({ length: 20001 - n }, (_, i) => `${n + i}\n`).join('')),
    );
    assert.deepEqual(
      answers.map(({ out }) => out.slice(0, 64)),
      expected,
    );
  });

  /** A program that stays, once it has said that it runs, which comes after what it does `first`. */
  async function stay(script: string, first = ':'): Promise<ReturnType<typeof spawn>> {
    const command = ['exec', '-t', longest, 'web', 'sh', '-c', `${first}; echo running; ${script}`];
    const child = spawn(xl, command, { env: machine.env, stdio: ['pipe', 'pipe', 'inherit'] });
    assert.ok(child.stdout);
    await once(child.stdout, 'data');
    child.stdout.resume();
    return child;
  }

  it('passes Ctrl-C on, and ends what xl leaves behind when it is killed', async () => {
    const polite = await stay('while :; do sleep 1; done', 'trap "exit 42" INT');
    const ended = once(polite, 'exit');
    polite.kill('SIGINT');
    assert.deepEqual(await ended, [42, null]);
    const killed = await stay('exec sleep 4321');
    killed.kill('SIGKILL');
    await until('the end of its program', async () => !(await exec('', 'web', 'ps')).out.includes('sleep 4321'));
  });

  it('goes on after it was saved and restored, with what ran before', async () => {
    await exec('', 'web', 'sh', '-c', 'echo kept > /tmp/kept');
    const busy = await stay('n=0; while :; do n=$((n + 1)); echo $n; echo $n > /tmp/count; done');
    const ended = once(busy, 'exit');
    await machine.ok('save', 'web', machine.path('web.save'));
    assert.deepEqual(await ended, [255, null]);
    await machine.ok('restore', machine.path('web.save'));
    assert.equal((await exec('', 'web', 'cat', '/tmp/kept')).out, 'kept\n');
    const count = async (): Promise<number> => Number((await exec('', 'web', 'cat', '/tmp/count')).out);
    const before = await count();
    await until('the program of before to go on', async () => (await count()) > before);
  });

  it('goes on beside an image of it', async () => {
    const busy = await stay('while :; do sleep 1; done', 'trap "exit 5" TERM');
    await machine.ok('save', '-c', 'web', machine.path('copy.save'));
    assert.equal((await exec('', 'web', 'echo', 'well')).out, 'well\n');
    const ended = once(busy, 'exit');
    busy.kill('SIGTERM');
    assert.deepEqual(await ended, [5, null]);
  });
});
