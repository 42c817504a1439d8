/** Debian's own clients of xenstore, unchanged, on the daemon's socket. Left out where `xenstore-utils` is not installed. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestDaemon } from '../testing/test-daemon.ts';

const installed = spawnSync('xenstore-ls', ['-h']).error === undefined;
const test = new TestDaemon();
const { where } = test;

before(() => test.start());
after(() => test.close());

interface Running {
  /** Resolves when the program has printed so many lines. */
  lines(count: number): Promise<string[]>;
  readonly ended: Promise<{ code: number; out: string; err: string }>;
}

function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(`xenstore-${program}`, args, {
    env: { ...process.env, XENSTORED_RUNDIR: dirname(where.xenstoreSocket), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = new Promise<{ code: number; out: string; err: string }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
  });
  return {
    ended,
    lines: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          const lines = out.split('\n').slice(0, -1);
          if (lines.length < count) return;
          child.stdout.off('data', look);
          resolve(lines);
        };
        child.stdout.on('data', look);
        look();
      }),
  };
}

async function ok(program: string, ...args: readonly string[]): Promise<string> {
  const { code, out, err } = await start(program, args).ended;
  assert.equal(code, 0, `xenstore-${program} ${args.join(' ')}: ${err}`);
  return out;
}

async function fails(program: string, ...args: readonly string[]): Promise<string> {
  const { code, err } = await start(program, args).ended;
  assert.notEqual(code, 0);
  return err;
}

describe('the socket of xenstore', () => {
  it('is for the owner of the run directory alone', () => {
    assert.equal(statSync(where.xenstoreSocket).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(where.xenstoreSocket)).mode & 0o777, 0o700);
  });

  it('hangs up on who sends a payload that is too long, and serves the next', async () => {
    const bytes = new Uint8Array(16).fill(0xff);
    await new Promise<void>((resolve) => {
      const socket = connect(where.xenstoreSocket, () => socket.write(bytes));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
    });
    const reply = await new Promise<Buffer>((resolve) => {
      const socket = connect(where.xenstoreSocket, () => {
        const header = new Uint32Array([2, 7, 0, 16]);
        socket.write(new Uint8Array(header.buffer));
        socket.write('/tool/xenstored\0');
      });
      socket.on('data', (data: Buffer) => {
        resolve(data);
        socket.destroy();
      });
    });
    assert.equal(reply.subarray(16).toString(), 'xenolith');
  });
});

describe('real xenstore tools', { skip: installed ? false : 'xenstore-utils is not installed' }, () => {
  it('write, read, list and look for nodes', async () => {
    await ok('write', '/t/a', '1', '/t/b/c', 'two words', '/t/empty', '');
    assert.equal(await ok('read', '/t/a', '/t/b/c'), '1\ntwo words\n');
    assert.equal(await ok('read', '-p', '/t/a'), '/t/a: 1\n');
    assert.equal(await ok('list', '/t'), 'a\nb\nempty\n');
    assert.equal(await ok('list', '-p', '/t'), '/t/a\n/t/b\n/t/empty\n');
    await ok('exists', '/t/b');
    await fails('exists', '/t/nothing');
    assert.match(await fails('read', '/t/nothing'), /couldn't read path \/t\/nothing/);
    assert.equal(await ok('read', 'name'), 'Domain-0\n', 'relative to domain 0');
  });

  it('print the tree, with permissions', async () => {
    await ok('write', '-R', '/tree/a/b', 'x"y\\z');
    assert.equal(await ok('ls', '/tree'), 'a = ""\n b = "x"y\\\\z"\n');
    assert.match(await ok('ls', '-f', '-p', '/tree'), /^\/tree\/a\/b = "x"y\\\\z" +\(n0\)$/m);
    assert.match(await ok('ls'), /^local = ""\n domain = ""\n {2}0 = ""$/m);
  });

  it('remove nodes, and with -t the directories that became empty', async () => {
    await ok('write', '/rm/a/b/c', '1', '/rm/d', '1');
    await ok('rm', '-t', '/rm/a/b/c');
    assert.equal(await ok('list', '/rm'), 'd\n');
    await ok('rm', '/rm');
    await fails('exists', '/rm');
  });

  it('change permissions, of one node, of those above and of all below', async () => {
    await ok('write', '/perms/a/b', '');
    await ok('chmod', '/perms/a', 'n0', 'r0');
    assert.match(await ok('ls', '-p', '/perms'), /^a = "" .*\(n0,r0\)$/m);
    await ok('chmod', '-r', '/perms', 'b0');
    assert.match(await ok('ls', '-p', '/perms'), /^ b = "" .*\(b0\)$/m);
    await ok('chmod', '-u', '/perms/a/b', 'w0');
  });

  it('make many nodes in one transaction, and list more than fits in one message', async () => {
    const pairs = Array.from({ length: 200 }, (_, i) => [`/many/child-with-a-rather-long-name-${i}`, `${i}`]);
    await ok('write', ...pairs.flat());
    const names = (await ok('list', '/many')).trim().split('\n');
    assert.equal(names.length, 200);
    assert.equal(await ok('read', '/many/child-with-a-rather-long-name-123'), '123\n');
  });

  it('watch a node for what others do', async () => {
    const watcher = start('watch', ['-n', '4', '/w']);
    await watcher.lines(1);
    await ok('write', '/w/x', '1');
    await ok('write', '/other', '1');
    await ok('chmod', '/w/x', 'n0');
    await watcher.lines(3);
    await ok('rm', '/w');
    const { code, out } = await watcher.ended;
    assert.equal(code, 0);
    assert.deepEqual(out.trim().split('\n'), ['/w', '/w/x', '/w/x', '/w']);
  });

  it('find the socket by its path as well', async () => {
    const env = { XENSTORED_PATH: where.xenstoreSocket, XENSTORED_RUNDIR: '/nowhere' };
    const { out } = await start('read', ['/tool/xenstored'], env).ended;
    assert.equal(out, 'xenolith\n');
  });

  it('serve many at a time', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => ok('write', `/crowd/${i}`, `${i}`)));
    assert.equal((await ok('list', '/crowd')).trim().split('\n').length, 20);
  });
});
