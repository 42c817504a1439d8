import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { parseConsoleConfig } from '../config/console-config.ts';
import { ConsoleLogs, openMonitorLog } from './log-files.ts';

describe('the logs of consoles', () => {
  let folder: string;
  let problems: string[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'console-logs-'));
    problems = [];
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const open = (settings = ''): ConsoleLogs =>
    new ConsoleLogs(
      folder,
      parseConsoleConfig(settings, 'console.cfg'),
      () => new Date(2026, 0, 31, 7, 8, 9),
      (problem) => problems.push(problem),
    );
  const bytes = (text: string): Uint8Array => Buffer.from(text);
  const text = (name: string): string => readFileSync(join(folder, 'console', name), 'utf8');

  it('are named after guest and hypervisor, and nobody else may read them', () => {
    const logs = open();
    logs.guest('web')?.write(bytes('hello'));
    logs.hypervisor()?.write(bytes('(XEN) line\n'));
    assert.deepEqual([text('guest-web.log'), text('hypervisor.log')], ['hello', '(XEN) line\n']);
    assert.equal(statSync(join(folder, 'console', 'guest-web.log')).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, 'console')).mode & 0o777, 0o700);
  });

  it('stay in their folder, whatever a guest is called', () => {
    const logs = open();
    for (const name of ['../../etc/passwd', '.', '..', 'a/b', '', 'x'.repeat(1000), 'n\0ul'])
      logs.guest(name)?.write(bytes('x'));
    assert.deepEqual(readdirSync(folder), ['console']);
    assert.equal(readdirSync(join(folder, 'console')).length, 7);
    assert.deepEqual(problems, []);
  });

  it('have time stamps of the host’s time zone when they are asked for', () => {
    const logs = open('timestamp = "guest"');
    const log = logs.guest('web');
    log?.write(bytes('one\r\ntwo'));
    logs.hypervisor()?.write(bytes('(XEN) line\n'));
    const stamp = '[2026-01-31 07:08:09] ';
    assert.equal(text('guest-web.log'), `${stamp}Logfile Opened\n${stamp}one\r\n${stamp}two`);
    assert.equal(text('hypervisor.log'), '(XEN) line\n');
  });

  it('are not there when they are not wanted', () => {
    const logs = open('log = "none"');
    assert.deepEqual([logs.guest('web'), logs.hypervisor()], [undefined, undefined]);
  });

  it('never take more than their share of the disk, and keep the newest', () => {
    const log = open('log_size = 4\nlog_files = 2').guest('web');
    for (let i = 0; i < 10_000; i++) log?.write(bytes(`line ${i}\n`));
    const sizes = readdirSync(join(folder, 'console')).map((name) => statSync(join(folder, 'console', name)).size);
    assert.equal(sizes.length, 3);
    assert.ok(sizes.every((size) => size <= 4096));
    const all = ['guest-web.log.2', 'guest-web.log.1', 'guest-web.log'].map(text).join('');
    assert.match(all, /^line \d+\n[^]*line 9999\n$/);
    const numbers = all.match(/\d+/g)?.map(Number) ?? [];
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => (numbers[0] ?? 0) + i),
    );
  });

  it('keep no old file when none is wanted', () => {
    const log = open('log_size = 4\nlog_files = 0').guest('web');
    for (let i = 0; i < 2000; i++) log?.write(bytes(`line ${i}\n`));
    assert.deepEqual(readdirSync(join(folder, 'console')), ['guest-web.log']);
    assert.ok(text('guest-web.log').endsWith('line 1999\n'));
  });

  it('go on where an earlier daemon has left them', () => {
    const first = open().guest('web');
    first?.write(bytes('old '));
    first?.close();
    open().guest('web')?.write(bytes('new'));
    assert.equal(text('guest-web.log'), 'old new');
  });

  it('begin anew after they were moved away and opened again', () => {
    const logs = open();
    const log = logs.guest('web');
    log?.write(bytes('before'));
    renameSync(join(folder, 'console', 'guest-web.log'), join(folder, 'console', 'moved'));
    log?.write(bytes(' still'));
    logs.reopen();
    log?.write(bytes('after'));
    assert.deepEqual([text('moved'), text('guest-web.log')], ['before still', 'after']);
  });

  it('are lost, and said once, while they cannot be written', () => {
    const log = open().guest('web');
    rmSync(join(folder, 'console'), { recursive: true });
    writeFileSync(join(folder, 'console'), '');
    for (let i = 0; i < 3; i++) log?.write(bytes('x'));
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', /^cannot write .*guest-web\.log: /);
  });

  it('of what became of a domain are set aside for each domain', () => {
    for (let i = 0; i < 12; i++) {
      const log = openMonitorLog(folder, 'web');
      log.line(`domain ${i}`);
      log.close();
    }
    assert.equal(readFileSync(join(folder, 'xl-web.log.9'), 'utf8'), 'domain 2\n');
    assert.equal(existsSync(join(folder, 'xl-web.log.10')), false);
  });
});
