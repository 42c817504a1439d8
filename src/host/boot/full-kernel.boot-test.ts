/** Debian's full kernel in the largest domain that has to work, with 32-bit programs beside the 64-bit ones. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE, type GuestFiles } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { assertHealthyLog } from '../testing/kernel-log.ts';
import { Machine, until } from '../testing/machine.ts';
import { program32 } from '../testing/program32.ts';

const KIB_PER_MIB = 1024;

describe('a Debian full kernel in a domain of 3 GiB', () => {
  const machine = new Machine();
  let files: GuestFiles;
  let guest: GuestTerminal;

  before(async () => {
    files = await guestFiles({
      package: 'linux-image-amd64',
      busybox32: true,
      extraFiles: { 'bin/calls32': { content: program32(), executable: true } },
    });
    const { kernel, ramdisk } = files;
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    guest = await machine.boot({ name: 'full', kernel, ramdisk, cmdline, memory: 3072 });
    await guest.ready();
  });
  after(() => machine.close());

  it('boots without a complaint', async () => {
    assert.match(files.release, /^6\.1\.\S+-amd64$/);
    assert.equal(await guest.run('uname -r'), files.release);
    assert.equal(await guest.run('cat /sys/hypervisor/type'), 'xen');
    await assertHealthyLog(guest);
  });

  it('has its 3 GiB, of which the host gives only what is used', async () => {
    const total = Number(/MemTotal: +(\d+) kB/.exec(await guest.run('cat /proc/meminfo'))?.[1]);
    assert.ok(total > 2900 * KIB_PER_MIB && total < 3072 * KIB_PER_MIB, `${total}`);
    const before = await machine.daemonResidentMiB();
    assert.ok(before < 1024, `${before} MiB of the host`);
    assert.equal(
      await guest.run('dd if=/dev/zero of=/dev/shm/zeros bs=1M count=300; stat -c %s /dev/shm/zeros').then(lastLine),
      `${300 * 2 ** 20}`,
    );
    const after = await machine.daemonResidentMiB();
    assert.ok(after < before + 500, `${before} MiB, then ${after} MiB of the host`);
    await guest.run('rm /dev/shm/zeros');
  });

  it('runs 32-bit programs', async () => {
    assert.equal(await guest.run('head -c 5 /bin/busybox32 | od -A n -t x1'), '7f 45 4c 46 01');
    assert.equal(await guest.run('busybox32 uname -r'), files.release);
    assert.equal(await guest.run('busybox32 seq 1 1000 | busybox32 sha1sum; seq 1 1000 | sha1sum').then(distinct), 1);
    assert.match(await guest.run('busybox32 cat /proc/self/maps'), /^f7[0-9a-f]{6}-.* \[vdso\]$/m);
  });

  it('gives 32-bit programs signals, pipes and children', async () => {
    const script = [
      'trap "echo caught" USR1; kill -USR1 $$',
      '(exit 7); echo "child $?"',
      'busybox32 sleep 100 & kill -TERM $!; wait $!; echo "killed $?"',
      'kill -SEGV $$',
    ];
    const { code, out } = await guest.try(`busybox32 sh -c '${script.join('; ')}'`);
    assert.equal(out.replace(/\n?(Terminated|Segmentation fault)/g, ''), 'caught\nchild 7\nkilled 143');
    assert.equal(code, 128 + 11);
  });

  it('lets 32-bit programs call the kernel by int 0x80, by sysenter and by the vdso', async () => {
    assert.equal(await guest.run('calls32'), 'int 0x80\nvdso\nthread\nend');
  });

  it('shuts down when xl asks it to', async () => {
    assert.match((await machine.xl('shutdown', '-w', 'full')).err, /has been shut down, reason code 0/);
    assert.equal(await guest.ended, 0);
    await until('the domain to be cleaned up', () =>
      Promise.resolve(machine.log('xl-full.log').includes('Done. Exiting now')),
    );
    assert.match(machine.log('xl-full.log'), /Action for shutdown reason code 0 is destroy\n/);
    assert.deepEqual(
      (await machine.list()).map(({ name }) => name),
      ['Domain-0'],
    );
  });
});

function lastLine(text: string): string | undefined {
  return text.split('\n').at(-1);
}

function distinct(text: string): number {
  return new Set(text.split('\n')).size;
}
