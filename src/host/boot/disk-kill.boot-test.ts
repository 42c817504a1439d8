/**
 * The host is killed while a guest writes and syncs: every write that the guest was told to be safe is in the image, and file system and
 * image are sound. `XENOLITH_KILL_ROUNDS` says how often; a hundred take the better part of an hour.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, afterEach, before, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE, type GuestFiles } from '../../toolstack/guest-files/guest-files.ts';
import { asRaw, ext4Faults, fileIn, makeExt4, makeQcow2, qcow2Faults } from '../testing/disk-images.ts';
import { Machine } from '../testing/machine.ts';

const rounds = Number(process.env['XENOLITH_KILL_ROUNDS'] ?? 1);
const RECORD = 512;

/** Appends numbered records, each with an fsync, and tells of each that is safe. */
const workload = `mount -t ext4 /dev/DISK /mnt/DISK; i=0
while :; do
  printf '%-511s\\n' "record $i" | dd of=/mnt/DISK/log bs=${RECORD} seek=$i conv=notrunc,fsync 2>/dev/null && echo "safe DISK $i"
  [ $((i % 10)) = 0 ] && cp /bin/busybox /mnt/DISK/copy$((i % 3))
  i=$((i + 1))
done`;

const machine = new Machine();
const empty = machine.path('empty.img');
let files: GuestFiles;

before(async () => {
  files = await guestFiles();
  makeExt4(empty, 32);
});
/** A round that failed before it has killed its host leaves none to the next. */
afterEach(async () => {
  const pid = await machine.daemonPid().catch(() => undefined);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
});
after(() => machine.close());

for (let round = 1; round <= rounds; round++) {
  it(`loses nothing that was safe when the host is killed, ${round} of ${rounds}`, async () => {
    const images = { xvda: machine.path(`${round}.img`), xvdb: machine.path(`${round}.qcow2`) };
    copyFileSync(empty, images.xvda);
    await makeQcow2(images.xvdb, { raw: empty });
    const guest = await machine.boot({
      name: 'killed',
      kernel: files.kernel,
      ramdisk: files.ramdisk,
      cmdline: `console=hvc0 quiet ${PLAIN_CONSOLE}`,
      memory: 96,
      disk: [`${images.xvda},raw,xvda,w`, `format=qcow2,vdev=xvdb,access=rw,target=${images.xvdb}`],
    });
    await guest.ready();
    await guest.run('mkdir -p /mnt/xvda /mnt/xvdb');
    for (const disk of ['xvda', 'xvdb']) guest.type(`(${workload.replaceAll('DISK', disk)}) &\n`);
    // What the two print may be mixed.
    await guest.expect(/safe xvda (?:[3-9]|\d\d+)\r?\n/);
    await guest.expect(/safe xvdb \d+\r?\n/);
    await sleep(randomInt(4000));
    process.kill(await machine.daemonPid(), 'SIGKILL');
    await guest.ended;
    assert.equal(qcow2Faults(images.xvdb) ?? '', '');
    for (const [disk, format] of [
      ['xvda', 'raw'],
      ['xvdb', 'qcow2'],
    ] as const) {
      const safe = Math.max(
        ...[...guest.text.matchAll(new RegExp(`safe ${disk} (\\d+)\\r?\\n`, 'g'))].map((m) => Number(m[1])),
      );
      const raw = await asRaw(images[disk], format);
      assert.equal(ext4Faults(raw, true), '', `${disk}: a file system that is not sound`);
      const log = fileIn(raw, '/log').toString();
      for (let i = 0; i <= safe; i++)
        assert.equal(log.slice(i * RECORD, (i + 1) * RECORD).trimEnd(), `record ${i}`, `${disk}: ${safe} were safe`);
    }
  });
}
