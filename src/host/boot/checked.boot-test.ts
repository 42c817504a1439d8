/** Translated code does what the interpreter does, from the first instruction of a kernel to the work of its programs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

describe('a Debian cloud kernel whose translated code is checked', () => {
  const machine = new Machine({ XENOLITH_CPU: 'check' });
  let guest: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    guest = await machine.boot({ name: 'checked', kernel, ramdisk, cmdline, memory: 256 });
    await guest.ready();
  });
  after(async () => {
    for (const report of readdirSync(join(machine.run, 'log')).filter((name) => name.startsWith('check-')))
      console.log(machine.log(report));
    await machine.close();
  });

  it('boots', async () => {
    // It is slow, and may say so.
    assert.doesNotMatch(await guest.run('dmesg'), /BUG:|WARNING:|Oops|Call Trace|segfault|general protection/);
  });

  it('computes what other machines compute', async () => {
    const digest = createHash('sha256').update(new Uint8Array(3_000_000)).digest('hex');
    assert.equal(await guest.run('head -c 3000000 /dev/zero | sha256sum'), `${digest}  -`);
    assert.equal(await guest.run('seq 1 3000 | gzip | gunzip | tail -n 1'), '3000');
    assert.equal(await guest.run("awk 'BEGIN { for (i = 0; i < 2000; i++) x += i / 3; print x }'"), '666333');
  });

  it('copies', async () => {
    const copied = 'dd if=/dev/zero bs=64k count=256 2>/dev/null | tr "\\0" "a" | dd bs=4k 2>/dev/null | wc -c';
    assert.equal(await guest.run(copied), String(2 ** 24));
  });

  it('forks', async () => {
    assert.equal(await guest.run('n=0; for i in $(seq 1 200); do n=$((n + $(/bin/echo 1))); done; echo $n'), '200');
  });

  it('was checked, and found right', async () => {
    await machine.ok('destroy', 'checked');
    const checks = await until('the vCPU to tell what it did', async () => {
      const log = await machine.ok('dmesg');
      assert.doesNotMatch(log, /differs from the interpreter|vCPU thread ended/);
      return /d1v0: (\d+) checks of translated code/.exec(log)?.[1];
    });
    assert.ok(Number(checks) > 10_000, `${checks} checks`);
  });
});
