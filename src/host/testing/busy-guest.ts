/** A guest that writes to its disk and its memory all the time, and notices when it reads something else back. */
import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from './guest-terminal.ts';
import { until, type Settings } from './machine.ts';

const DISK_MIB = 32;
const MEMORY_MIB = 160;
/**
 * Linux 6.1 loses 1 MiB for each queue of a vif when it comes back, here as on real Xen 4.17 (whose guest with one queue had 62.2, 61.3 and 60.2 MB available after none, one and two
 * restores).
 */
const RETURN_MIB = 2;

/** A configuration with two vCPUs, and a disk in this file, which is made. `returns`: how often it will be saved or moved, at most. */
export async function busyConfig(
  name: string,
  disk: string,
  returns: number,
  vif: readonly string[] = [''],
): Promise<Settings & { readonly name: string }> {
  const { kernel, ramdisk } = await guestFiles();
  writeFileSync(disk, '');
  truncateSync(disk, DISK_MIB * 2 ** 20);
  return {
    name,
    kernel,
    ramdisk,
    cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
    memory: MEMORY_MIB + returns * RETURN_MIB,
    vcpus: 2,
    disk: [`${disk},raw,xvda,w`],
    vif,
  };
}

/** Once it has booted. Each round of a worker writes 100 KB twice, syncs, and compares; its count is never seen half-written. */
export async function beginWork(guest: GuestTerminal): Promise<void> {
  await guest.ready();
  await guest.run('modprobe xen-blkfront; mke2fs -q /dev/xvda && mkdir -p /mnt && mount /dev/xvda /mnt');
  await guest.run('modprobe xen-netfront');
  await guest.run(
    'worker() { n=0; while :; do n=$((n + 1)); head -c 100000 /dev/urandom > $1/a; s=$(sha256sum < $1/a); cp $1/a $1/b; sync; [ "$(sha256sum < $1/b)" = "$s" ] || echo bad $n >> /tmp/bad; echo $n > $1/count.new; mv $1/count.new $1/count; done; }; ' +
      'worker /mnt & worker /tmp &',
  );
}

/** All of it goes on, and nothing was lost. */
export async function checkWork(guest: GuestTerminal): Promise<void> {
  assert.equal(await guest.run('nproc'), '2');
  assert.equal(await guest.run('cat /tmp/bad 2>/dev/null || true'), '');
  for (const place of ['/mnt', '/tmp']) {
    const counted = `cat ${place}/count 2> /dev/null || echo 0`;
    const count = Number(await guest.run(counted));
    await until(`the worker of ${place}`, async () => Number(await guest.run(counted)) > count);
  }
}
