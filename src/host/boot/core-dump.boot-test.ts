/** What is in the core of a running guest, and of one that panicked; and an NMI, which a PV kernel takes as any other. */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CoreReader } from '../../toolstack/core-dump/testing/core-reader.ts';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { eventually, Machine, until } from '../testing/machine.ts';

describe('a core of a guest', () => {
  const machine = new Machine();
  let guest: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    const about = { name: 'dumped', memory: 80, maxmem: 96, vcpus: 2, maxvcpus: 3, on_crash: 'coredump-destroy' };
    guest = await machine.boot({ ...about, kernel, ramdisk, cmdline });
    await guest.ready();
  });
  after(() => machine.close());

  const symbol = async (name: string): Promise<bigint> =>
    BigInt(`0x${await guest.run(`sed -n 's/^\\(\\S*\\) . ${name}$/\\1/p' /proc/kallsyms`)}`);

  it('is interrupted by an NMI, at the vCPU that was asked for', async () => {
    const counts = async (): Promise<number[]> =>
      (/NMI: +(.*?) +Non/.exec(await guest.run('cat /proc/interrupts'))?.[1] ?? '').split(/ +/).map(Number);
    assert.deepEqual(await counts(), [0, 0]);
    // An NMI is an emergency for Linux: even what a plain console is spared would stand among the answers.
    await guest.run('echo 0 > /proc/sys/kernel/printk');
    await machine.ok('trigger', 'dumped', 'nmi', '1');
    await until('the NMI', async () => (await counts())[1] === 1);
    await machine.ok('trigger', 'dumped', 'nmi');
    await until('another', async () => (await counts())[0] === 1);
    await eventually(async () => assert.match(await guest.run('dmesg'), /NMI received for unknown reason 00 on CPU 1/));
    await guest.run('echo 1 > /proc/sys/kernel/printk');
    const { err, code } = await machine.xl('trigger', 'dumped', 'nmi', '3');
    assert.match(err, /Send trigger 'nmi' failed: No such process/);
    assert.equal(code, 0);
  });

  it('holds its vCPUs and its memory, and it goes on', async () => {
    const banner = await guest.run('cat /proc/version');
    const address = await symbol('linux_banner');
    const [begin, end] = [await symbol('_stext'), await symbol('_etext')];
    const file = machine.path('core');
    assert.equal(await machine.ok('dump-core', 'dumped', file), '');
    const core = new CoreReader(file);
    // The third was never brought up to run anything else than the stop loop, or not at all.
    assert(core.header.xch_nr_vcpus >= 2);
    assert(core.pages <= 96 * 256 && core.pages > 70 * 256, `${core.pages} pages`);
    assert.equal(core.read(address, banner.length).toString('latin1'), banner);
    for (const { rip, ss } of core.registers.slice(0, 2)) {
      assert(ss === 0xe02b || ss === 0x2b, 'the segment of a PV kernel, or of a program');
      if (ss === 0xe02b) assert(BigInt(rip) >= BigInt.asIntN(64, begin) && BigInt(rip) < BigInt.asIntN(64, end));
    }
    core.close();
    assert.equal(await guest.run('echo unharmed'), 'unharmed');
  });

  it('is written when it panics, before it is destroyed', async () => {
    const log = await symbol('linux_banner');
    guest.type('echo c > /proc/sysrq-trigger\n');
    await until('the end', async () => (await machine.state('dumped')) === undefined);
    const file = join(machine.run, 'dump', 'dumped');
    assert(existsSync(file));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const core = new CoreReader(file);
    assert.match(core.read(log, 20).toString('latin1'), /^Linux version/);
    core.close();
    await eventually(() => {
      const said = machine.log('xl-dumped.log');
      assert.match(said, /Action for shutdown reason code 3 is coredump-destroy\ndumping core to \S+\/dump\/dumped\n/);
      assert.match(said, /needs to be cleaned up: destroying the domain\nDone\. Exiting now\n$/);
    });
  });
});
