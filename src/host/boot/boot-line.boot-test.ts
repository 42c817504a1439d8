/** A host with a tutorial's boot line: what xl tells of it, where the hypervisor's lines go, what guests see; and memory, of which this host has little. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { eventually, Machine, until, type Settings } from '../testing/machine.ts';

const line =
  'mem=576M dom0_mem=256M,max:512M cpuinfo com1=115200,8n1 console=com1,tty loglvl=all guest_loglvl=all cpuid=no-aesni,no-rdrand nosuch';

describe('a host with a boot line', () => {
  const machine = new Machine();
  let guest: GuestTerminal;
  let common: Settings;

  before(async () => {
    const path = machine.path('grub');
    writeFileSync(path, `GRUB_CMDLINE_XEN_DEFAULT="${line}"\n`);
    machine.env['XENOLITH_BOOT_CONFIG'] = path;
    const { kernel, ramdisk } = await guestFiles();
    common = { kernel, ramdisk, cmdline: `console=hvc0 ${PLAIN_CONSOLE}` };
    guest = await machine.boot({ ...common, name: 'guest', memory: 96, maxmem: 160 });
    await guest.ready();
  });
  after(() => machine.close());

  const info = async (field: string): Promise<string> => (await machine.ok('info', field)).trim();
  const memory = async (name: string): Promise<number> => (await machine.state(name))?.memory ?? 0;
  const ballooned = async (): Promise<number> =>
    Number(await guest.run('cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb')) / 1024;
  /** What is free and what domains have is what there is. They are asked one after the other, while a guest may give up the last of what it was told to. */
  const adds = (): Promise<void> =>
    eventually(async () => {
      const used = (await machine.list()).reduce((sum, domain) => sum + domain.memory, 0);
      const rest = Number(await info('total_memory')) - Number(await info('free_memory')) - used;
      assert(Math.abs(rest) <= 3, `${rest} MiB are nobody's`);
    });

  it('shows it, and has the memory that it says', async () => {
    assert.equal(await info('xen_commandline'), line);
    assert.equal(await info('total_memory'), '576');
    assert.equal(await memory('Domain-0'), 256);
    await adds();
    assert.match(await machine.ok('dmesg'), /parameter "nosuch" unknown!\n.*Bad console= option 'tty'/);
  });

  it("writes the hypervisor's lines to the serial port", () => {
    assert.match(machine.log('console/com1.log'), /^\(XEN\) Xen version 4\.17\.7 .*\n\(XEN\) Command line: mem=576M /);
  });

  it('hides features from guests', async () => {
    const flags = ` ${await guest.run("grep -m1 '^flags' /proc/cpuinfo")} `;
    assert.match(flags, / sse4_2 /);
    assert.doesNotMatch(flags, / aes | rdrand /);
  });

  it('gives a guest more memory and takes it back', async () => {
    assert(Math.abs((await ballooned()) - 96) < 1);
    for (const mib of [150, 88]) {
      await machine.ok('mem-set', 'guest', `${mib}`);
      await until(`${mib} MiB`, async () => Math.abs((await ballooned()) - mib) < 1);
      await eventually(async () => assert(Math.abs((await memory('guest')) - mib) <= 1, 'xl list agrees'));
      await adds();
    }
    const { err, code } = await machine.xl('mem-set', 'guest', '200');
    assert.match(err, /memory_dynamic_max must be less than or equal to memory_static_max/);
    assert.equal(code, 1);
  });

  it('bounds what it may have by mem-max', async () => {
    await machine.ok('mem-max', 'guest', '120');
    assert.match((await machine.xl('mem-set', 'guest', '130')).err, /must be less than or equal to memory_static_max/);
    assert.match((await machine.xl('mem-max', 'guest', '80')).err, /memory_static_max must be greater than/);
    await machine.ok('mem-max', 'guest', '160');
  });

  it('refuses a domain that does not fit, in the words of xl', async () => {
    const { err, code } = await machine.xl('create', '-q', machine.config({ ...common, name: 'large', memory: 400 }));
    assert.equal(code, 3);
    assert.match(err, /xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory/);
    assert.match(err, /cannot \(re-\)build domain: -3/);
    await adds();
  });

  it('lets a guest grow as far as there is memory, and further when there is again', async () => {
    const free = Number(await info('free_memory'));
    await machine.ok('create', '-q', '-p', machine.config({ ...common, name: 'second', memory: free - 20 }));
    await machine.ok('mem-set', 'guest', '150');
    await until('what is left', async () => Number(await info('free_memory')) <= 1);
    await eventually(async () => assert((await ballooned()) > 100));
    assert((await ballooned()) < 120);
    await machine.ok('destroy', 'second');
    await until('the rest', async () => Math.abs((await ballooned()) - 150) < 1);
    await adds();
  });
});
