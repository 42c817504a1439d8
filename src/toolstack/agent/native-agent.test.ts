/** The agent itself, as a process of this machine, where that can be. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { AgentClient } from './client.ts';
import { duplexChannel } from './duplex-channel.ts';
import { CommandNotFoundError, GuestFileError, NoSuchDirectoryError } from './errors.ts';
import { nativeAgentProgram, startNativeAgent, takeOver, type NativeAgent } from './testing/native-agent.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('the agent for guests', () => {
  const folder = mkdtempSync(join(tmpdir(), 'agent-'));
  let program: string | undefined;
  let agent: NativeAgent | undefined;
  let client: AgentClient;

  before(async () => {
    program = await nativeAgentProgram();
    if (program === undefined) return;
    agent = startNativeAgent(program);
    client = await AgentClient.connect(duplexChannel(agent.socket), { timeoutMs: 20_000 });
  });
  after(() => {
    client.close();
    agent?.close();
    rmSync(folder, { recursive: true });
  });

  /** Where there is one. */
  const fact = (name: string, check: (program: string) => Promise<void>): void =>
    void it(name, async (t) => {
      if (program === undefined) t.skip('it runs on x86-64 Linux, and apt has its compiler');
      else await check(program);
    });
  const run = async (...argv: string[]): Promise<string> => {
    const { stdout, stderr, status } = await (await client.exec(argv)).output();
    return `${text(stdout)}|${text(stderr)}|${status.code ?? status.signal}`;
  };

  fact('runs programs, with their streams apart, and tells how they end', async () => {
    assert.equal(await run('sh', '-c', 'echo out; echo err >&2; exit 7'), 'out\n|err\n|7');
    assert.equal(await run('sh', '-c', 'kill -9 $$'), '||SIGKILL');
    assert.equal(await run('/bin/true'), '||0');
  });

  fact('gives a program its stdin, environment and folder', async () => {
    const asked = { stdin: 'a line\n', env: { WORD: 'two words' }, cwd: folder };
    const { stdout } = await (
      await client.exec(['sh', '-c', 'cat; echo "$WORD"; echo "$FROM_AGENT"; pwd'], asked)
    ).output();
    assert.equal(text(stdout), `a line\ntwo words\nyes\n${folder}\n`);
    assert.equal(await run('cat'), '||0'); // without a stdin there is nothing to read
  });

  fact('hands on more arguments than it has room for in itself, which come in several frames', async () => {
    const many = Array.from({ length: 2000 }, (_, n) => `argument ${n}`);
    assert.equal(await run('printf', '%s\n', ...many), `${many.join('\n')}\n||0`);
    assert.equal(await run('printf', '%s', 'x'.repeat(100_000)), `${'x'.repeat(100_000)}||0`);
  });

  fact('says what is missing', async () => {
    await assert.rejects(client.exec(['no-such-command']), CommandNotFoundError);
    await assert.rejects(client.exec(['true'], { cwd: join(folder, 'nowhere') }), NoSuchDirectoryError);
    writeFileSync(join(folder, 'plain'), 'text');
    await assert.rejects(client.exec([join(folder, 'plain')]), { name: 'ExecError', code: 'EACCES' });
    await assert.rejects(client.exec(['true', 'x'.repeat(200_000)]), { name: 'ExecError', code: 'E2BIG' });
  });

  fact('carries much, both ways, as it was', async () => {
    const noise = randomBytes(3_000_000);
    const { stdout } = await (await client.exec(['cat'], { stdin: noise })).output();
    assert.equal(sha256(stdout), sha256(noise));
  });

  fact('serves many programs at a time, whatever one of them does not read', async () => {
    const stuck = await client.exec(['sleep', '60'], { stdin: Buffer.alloc(1_000_000) });
    const unread = await client.exec(['yes']);
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => run('sh', '-c', `echo ${n}`)));
    assert.deepEqual(
      answers,
      Array.from({ length: 30 }, (_, n) => `${n}\n||0`),
    );
    stuck.kill('SIGTERM');
    assert.deepEqual(await stuck.exited, { code: undefined, signal: 'SIGTERM' });
    unread.kill('SIGKILL');
    assert.equal((await unread.exited).signal, 'SIGKILL');
    for await (const bytes of unread.stdout) assert.ok(bytes.length > 0);
  });

  fact('takes no more programs than it has said', async () => {
    const sleepers = await Promise.all(Array.from({ length: 64 }, () => client.exec(['sleep', '60'])));
    await assert.rejects(client.exec(['true']), { name: 'AgentBusyError' });
    for (const sleeper of sleepers) sleeper.kill('SIGKILL');
    await Promise.all(sleepers.map(({ exited }) => exited));
    assert.equal(await run('true'), '||0');
  });

  fact('ends what is aborted with all that it has started, also what does not want to', async () => {
    const mark = join(folder, 'alive');
    const script = `trap "" TERM; (trap "" TERM; while :; do date > ${mark}; sleep 0.1; done) & while :; do sleep 1; done`;
    const abort = new AbortController();
    const stubborn = await client.exec(['sh', '-c', script], { signal: abort.signal });
    while (!readdirSync(folder).includes('alive')) await sleep(20);
    abort.abort();
    await assert.rejects(stubborn.exited, { name: 'AbortError' });
    // The last of it may still be on its way out.
    do {
      rmSync(mark, { force: true });
      await sleep(300);
    } while (readdirSync(folder).includes('alive'));
  });

  fact('does not wait for what a program leaves behind, and does not end it', async () => {
    const mark = join(folder, 'left');
    const later = join(folder, 'later');
    const script = `(while ! [ -e ${later} ]; do sleep 0.1; done; echo more; echo > ${mark}) & echo said`;
    assert.equal(await run('sh', '-c', script), 'said\n||0');
    writeFileSync(later, '');
    while (!readdirSync(folder).includes('left')) await sleep(20);
  });

  fact('reads and writes files, whole and in parts', async () => {
    const path = join(folder, 'file');
    const noise = randomBytes(300_000);
    await client.writeFile(path, noise, { mode: 0o640 });
    assert.equal(statSync(path).mode & 0o777, 0o640);
    assert.equal(sha256(await client.readFile(path)), sha256(noise));
    assert.deepEqual(await client.readFile(path, { offset: 100_000, length: 10 }), noise.subarray(100_000, 100_010));
    await client.writeFile(path, 'short');
    assert.equal(statSync(path).mode & 0o777, 0o640);
    assert.equal(readFileSync(path, 'utf8'), 'short');
    assert.match(text(await client.readFile('/proc/self/status')), /^Name:/);
    const first = await client.readStream('/dev/zero').getReader().read();
    assert.equal(first.value?.length, 4096);
  });

  fact('leaves the old file when a new one does not come to its end', async () => {
    const path = join(folder, 'kept');
    writeFileSync(path, 'old');
    function* broken(): Generator<string> {
      yield 'new';
      throw new Error('no more');
    }
    await assert.rejects(client.writeFile(path, broken()), /no more/);
    await run('true');
    assert.equal(readFileSync(path, 'utf8'), 'old');
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('.xenolith')),
      [],
    );
    symlinkSync(path, join(folder, 'link'));
    await client.writeFile(join(folder, 'link'), 'through');
    assert.equal(readFileSync(path, 'utf8'), 'through');
    await client.writeFile('/dev/null', 'gone');
  });

  fact('lists, describes, makes and removes', async () => {
    const deep = join(folder, 'a/b/c');
    await client.mkdir(deep, { recursive: true });
    await client.mkdir(deep, { recursive: true });
    for (let n = 0; n < 300; n++) writeFileSync(join(deep, `a file with a long name, number ${n}`), '');
    const found = await client.list(deep);
    assert.equal(new Set(found.map(({ name }) => name)).size, 300);
    const info = await client.stat(deep);
    assert.deepEqual([info.type, info.uid], ['directory', statSync(deep).uid]);
    assert.equal((await client.stat('/dev/null')).type, 'character');
    await assert.rejects(client.remove(join(folder, 'a')), { code: 'ENOTEMPTY' });
    await client.remove(join(folder, 'a'), { recursive: true });
    await assert.rejects(client.stat(deep), (error) => error instanceof GuestFileError && error.code === 'ENOENT');
    await assert.rejects(client.list('/proc/self/status'), { code: 'ENOTDIR' });
  });

  fact('begins anew with whoever comes after another, also in the middle of a frame', async (program) => {
    const other = startNativeAgent(program);
    const mark = join(folder, 'survivor');
    const old = await AgentClient.connect(takeOver(other.socket), { timeoutMs: 20_000 });
    await old.exec(['sh', '-c', `sleep 0.5; echo still here; echo > ${mark}`]);
    const endless = await old.exec(['yes']);
    other.socket.write(Uint8Array.of(9, 9, 9));
    const next = await AgentClient.connect(takeOver(other.socket), { timeoutMs: 20_000 });
    assert.equal(String((await (await next.exec(['echo', 'new'])).output()).stdout), 'new\n');
    while (!readdirSync(folder).includes('survivor')) await sleep(20);
    process.kill(endless.pid, 0);
    process.kill(endless.pid, 'SIGKILL');
    old.close();
    next.close();
    other.close();
  });

  fact('is not harmed by any bytes', async (program) => {
    const other = startNativeAgent(program);
    for (let n = 0; n < 200; n++) other.socket.write(randomBytes(1 + n * 7));
    const sane = await AgentClient.connect(duplexChannel(other.socket), { timeoutMs: 20_000 });
    assert.equal(String((await (await sane.exec(['echo', 'well'])).output()).stdout), 'well\n');
    sane.close();
    other.close();
  });
});
