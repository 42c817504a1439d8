/** Clones of a real guest: each goes on with its own memory, disk and name, and so does the guest they are of. */
import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine } from '../testing/machine.ts';

/** By hand: XENOLITH_FORK_CLONES=100. */
const CLONES = Number(process.env['XENOLITH_FORK_CLONES'] ?? 3);

describe('xl fork', () => {
  const machine = new Machine();
  let guest: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    writeFileSync(machine.path('disk.img'), '');
    truncateSync(machine.path('disk.img'), 32 * 2 ** 20);
    guest = await machine.boot({
      name: 'web',
      kernel,
      ramdisk,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      memory: 128,
      vcpus: 2,
      disk: [`${machine.path('disk.img')},raw,xvda,w`],
      vif: [''],
    });
    await guest.ready();
    await guest.run(
      'modprobe xen-blkfront; modprobe xen-netfront; mke2fs -q /dev/xvda && mkdir -p /mnt && mount /dev/xvda /mnt',
    );
    await guest.run('ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; echo web > /tmp/who; echo web > /mnt/who; sync');
    await guest.run('dd if=/dev/urandom of=/tmp/noise bs=1M count=2 2>/dev/null; sha256sum /tmp/noise > /tmp/sum');
    await guest.run('(while :; do echo >> /tmp/grows; sleep 0.2; done) & echo $! > /tmp/pid');
  });
  after(() => machine.close());

  /** Its memory, processors and counter are there, and it is who it was told to be. */
  async function check(terminal: GuestTerminal, who: string): Promise<void> {
    assert.match(await terminal.run('sha256sum -c /tmp/sum'), /OK/);
    assert.equal(await terminal.run('nproc'), '2');
    await terminal.run('kill -0 $(cat /tmp/pid)');
    await terminal.grows('wc -c < /tmp/grows');
    await terminal.run('echo 3 > /proc/sys/vm/drop_caches');
    assert.equal(await terminal.run('cat /tmp/who /mnt/who'), `${who}\n${who}`);
  }
  const tell = (terminal: GuestTerminal, who: string): Promise<string> =>
    terminal.run(`echo ${who} > /tmp/who; echo ${who} > /mnt/who; sync`);

  it(`makes ${CLONES} clones, one after the other, and the guest goes on`, async () => {
    for (let number = 1; number <= CLONES; number++) {
      // The second one's number is free again each time.
      const name = number === 1 ? 'web-1' : 'web-2';
      assert.match(await machine.ok('fork', 'web'), new RegExp(`^${name} \\(domain \\d+\\)\n$`));
      const clone = machine.console(name);
      await check(clone, 'web');
      await tell(clone, name);
      await check(clone, name);
      await clone.leave();
      if (number > 1) await machine.ok('destroy', name);
    }
    await check(guest, 'web');
    assert.equal(await guest.run('dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true'), '0');
  });

  it('gives each a MAC address of its own', async () => {
    const clone = machine.console('web-1');
    const mac = await clone.run('cat /sys/class/net/eth0/address');
    assert.notEqual(mac, await guest.run('cat /sys/class/net/eth0/address'));
    assert.match(await machine.ok('network-list', 'web-1'), new RegExp(mac));
    await clone.leave();
  });

  it('makes clones of a clone, some at once, and paused ones', async () => {
    const json = JSON.parse(await machine.ok('fork', '-p', '-n', '2', '--name', 'job', '--json', 'web-1')) as {
      domid: number;
      name: string;
    }[];
    assert.deepEqual(
      json.map(({ name }) => name),
      ['job-1', 'job-2'],
    );
    assert.equal((await machine.state('job-1'))?.state, '--p---');
    // Of one that has not run yet, so that nobody is asked.
    assert.match(await machine.ok('fork', '--name', 'again', 'job-1'), /^again \(domain \d+\)\n$/);
    const again = machine.console('again');
    await check(again, 'web-1');
    await again.leave();
  });

  it('leaves clones running when the guest is gone, and what it wrote is on its disk alone', async () => {
    await tell(guest, 'late');
    await machine.ok('unpause', 'job-2');
    await machine.ok('save', 'web', machine.path('web.save'));
    assert.equal(await machine.state('web'), undefined);
    const clone = machine.console('job-2');
    await check(clone, 'web-1');
    await clone.leave();
  });

  it('makes clones of a saved domain, which stays saved', async () => {
    const made = await machine.ok('fork', '-n', '2', '--name', 'saved', machine.path('web.save'));
    assert.match(made, /^saved-1 \(domain \d+\)\nsaved-2 \(domain \d+\)\n$/);
    const names = (await machine.list()).map(({ name }) => name);
    assert.ok(!names.some((name) => name.startsWith('web--')), names.join());
    const [one, two] = [machine.console('saved-1'), machine.console('saved-2')];
    await check(one, 'late');
    await tell(one, 'saved-1');
    await check(two, 'late');
    await check(one, 'saved-1');
    for (const clone of [one, two]) await clone.leave();
    const damaged = machine.path('damaged.save');
    writeFileSync(damaged, readFileSync(machine.path('web.save')).subarray(0, 100_000));
    const refused = await machine.xl('fork', damaged);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /Restore failed: /);
    assert.deepEqual((await machine.list()).map(({ name }) => name).sort(), [...names].sort());
  });

  it('says why a domain cannot be forked', async () => {
    const nobody = await machine.xl('fork', 'nobody');
    assert.deepEqual([nobody.code, nobody.err], [1, 'nobody is an invalid domain identifier (rc=-6)\n']);
    const dom0 = await machine.xl('fork', '0');
    assert.deepEqual([dom0.code, dom0.err], [1, 'domain 0 cannot be forked: Invalid argument\n']);
    await machine.ok('pause', 'web-1');
    const paused = await machine.xl('fork', 'web-1');
    assert.match(paused.err, /^domain \d+ cannot be forked: it is paused, and cannot suspend\n$/);
  });
});
