/** A real guest that is written down and comes back: what ran goes on, with its disk and its network. */
import assert from 'node:assert/strict';
import { copyFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine } from '../testing/machine.ts';

/** Beside those of the other tests. By hand: XENOLITH_SAVE_CYCLES=50. */
const CYCLES = Number(process.env['XENOLITH_SAVE_CYCLES'] ?? 0);
/** Each return costs Linux 2 MiB with two queues (busy-guest.ts). */
const MEMORY_MIB = 128 + 2 * CYCLES;

describe('xl save and restore', () => {
  const machine = new Machine();
  const file = machine.path('kept.save');
  let guest: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    writeFileSync(machine.path('disk.img'), '');
    truncateSync(machine.path('disk.img'), 32 * 2 ** 20);
    guest = await machine.boot({
      name: 'kept',
      kernel,
      ramdisk,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      memory: MEMORY_MIB,
      vcpus: 2,
      disk: [`${machine.path('disk.img')},raw,xvda,w`],
      vif: [''],
    });
    await guest.ready();
  });
  after(() => machine.close());

  const state = async (): Promise<string | undefined> => (await machine.state('kept'))?.state;
  /** What has to be the same after each return. */
  async function check(): Promise<void> {
    assert.match(await guest.run('sha256sum -c /tmp/sum'), /OK/);
    assert.equal(await guest.run('nproc'), '2');
    await guest.run('kill -0 $(cat /tmp/pid)');
    await guest.grows('wc -c < /tmp/grows');
    assert.match(await guest.run('sha256sum -c /mnt/sum'), /OK/);
    // Its interface may still be coming back.
    await guest.retry('ping -c 1 -W 2 10.0.2.2');
  }

  it('goes on where it was, with its memory, disk and network', async () => {
    await guest.run(
      'modprobe xen-blkfront; modprobe xen-netfront; mke2fs -q /dev/xvda && mkdir -p /mnt && mount /dev/xvda /mnt',
    );
    await guest.run('ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up');
    await guest.run('dd if=/dev/urandom of=/tmp/noise bs=1M count=2 2>/dev/null; sha256sum /tmp/noise > /tmp/sum');
    await guest.run('cp /tmp/noise /mnt; sed "s,/tmp,/mnt," /tmp/sum > /mnt/sum');
    await guest.run('(while :; do echo >> /tmp/grows; sleep 0.2; done) & echo $! > /tmp/pid');
    const before = await machine.state('kept');
    const { code, err } = await machine.xl('save', 'kept', file);
    assert.equal(code, 0, err);
    assert.match(
      err,
      /^Saving to \S+ new xl format \(info 0x3\/0x0\/\d+\)\nxc: info: Saving domain \d+, type x86 PV\n/,
    );
    assert.match(err, /xc: progress: Frames: \d+\/\d+ +100%/);
    assert.equal(await state(), undefined);
    assert.ok(statSync(file).size > MEMORY_MIB * 2 ** 20);

    const restored = await machine.xl('restore', file);
    assert.equal(restored.code, 0, restored.err);
    assert.match(restored.err, /^Loading new save file \S+ \(new xl fmt info 0x3\/0x0\/\d+\)\n/);
    assert.match(
      restored.err,
      /xc: info: Found x86 PV domain from Xen 4\.17\nxc: info: Restoring domain\nxc: info: Restore successful\n/,
    );
    const now = await machine.state('kept');
    assert.ok(now !== undefined && before !== undefined && now.domid > before.domid);
    assert.equal(now.vcpus, 2);
    guest = machine.console('kept');
    await check();
  });

  it('goes on beside its image with -c, and stands still with -p', async () => {
    await machine.ok('save', '-c', 'kept', machine.path('copy.save'));
    assert.ok(statSync(machine.path('copy.save')).size > MEMORY_MIB * 2 ** 20);
    await check();
    await machine.ok('save', '-p', 'kept', machine.path('copy.save'));
    assert.equal(await state(), '--p---');
    await machine.ok('unpause', 'kept');
    await check();
  });

  it('comes back paused with -p, and with its number after save -D', async () => {
    const before = await machine.state('kept');
    await machine.ok('save', '-D', 'kept', file);
    const { code } = await machine.xl('restore', '-p', file);
    assert.equal(code, 0);
    assert.equal((await machine.state('kept'))?.domid, before?.domid);
    assert.equal(await state(), '--p---');
    await machine.ok('unpause', 'kept');
    guest = machine.console('kept');
    await check();
  });

  it('is refused where the image is cut off or damaged, and nothing is left of it', async () => {
    await machine.ok('save', 'kept', file);
    const cut = machine.path('cut.save');
    copyFileSync(file, cut);
    for (const length of [100, 2000, 20 * 2 ** 20, statSync(file).size - 1]) {
      truncateSync(cut, length);
      const { code, err } = await machine.xl('restore', cut);
      assert.notEqual(code, 0);
      assert.match(err, /the saved domain is cut off: the stream ends too early/);
      assert.equal(await state(), undefined);
      copyFileSync(file, cut);
    }
    assert.equal((await machine.xl('restore', file)).code, 0);
    guest = machine.console('kept');
    await check();
  });

  it(`has nothing to complain of, having gone and come ${CYCLES} more times`, async () => {
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      await machine.ok('save', 'kept', file);
      await machine.ok('restore', file);
      guest = machine.console('kept');
      await check();
    }
    assert.equal(await guest.run('dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true'), '0');
  });

  it('says why a domain cannot be saved', async () => {
    const nobody = await machine.xl('save', 'nobody', file);
    assert.deepEqual([nobody.code, nobody.err], [1, 'nobody is an invalid domain identifier (rc=-6)\n']);
    const nowhere = await machine.xl('save', 'kept', machine.path('no/such/folder'));
    assert.match(nowhere.err, /^Failed to open temp file \S+ for writing: No such file or directory\n$/);
    await check();
  });
});
