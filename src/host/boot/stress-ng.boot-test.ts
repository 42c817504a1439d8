/**
 * stress-ng with --verify in a guest with 2 and then 4 vCPUs, those of a group at once. `XENOLITH_STRESS_SECONDS` has each stressor run alone for so long; by hand with many,
 * since what goes wrong between vCPUs goes wrong seldom.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { AptRepository } from '../testing/apt-repository.ts';
import { makeToolDisk } from '../testing/disk-images.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, patience } from '../testing/machine.ts';

const { XENOLITH_STRESS_SECONDS } = process.env;
const isAlone = XENOLITH_STRESS_SECONDS !== undefined;
const seconds = Number(XENOLITH_STRESS_SECONDS ?? 4);
/** Without it the guest with 4 does what vCPUs are most likely to get wrong. */
const briefly = ['locks', 'priorities', 'memory'];
/** Nothing was wrong, but how often something was done is not known: a process was killed while it counted. */
const METRICS_UNTRUSTWORTHY = 7;
const isSound = (code: number): boolean => code === 0 || code === METRICS_UNTRUSTWORTHY;
/** What stress-ng runs without. */
const needless = /^(.*python3.*|perl.*|debconf|adduser|passwd|dpkg|tar|media-types|login|.*-doc|libx11-data)_/;

/** By what they share: arithmetic with results to compare, locked operations and locks, threads and processes, address spaces, what vCPUs tell each other. */
const stressors = {
  alone: 'cpu matrix qsort crypt memcpy vecmath',
  locks: 'atomic futex sem sem-sysv lockbus peterson dekker',
  // Its threads have real-time priorities: others, also a second one of its kind, would have ended before their first turn.
  priorities: 'mutex',
  processes: 'pthread clone fork vfork pipe switch context signal sigq',
  memory: 'vm mremap cache icache mcontend tlb-shootdown rmap',
  // Without epoll and sock: those give up when a server of theirs has not begun within a second, which is the machine's affair.
  between: 'membarrier eventfd mq timer',
} as const;
/** How a stressor is begun that does not just run once on each vCPU. Some take their memory from a guest that has little. */
const special: Readonly<Record<string, (vcpus: number) => string>> = {
  vm: (vcpus) => `--vm ${vcpus} --vm-bytes 16M`,
  mremap: (vcpus) => `--mremap ${vcpus} --mremap-bytes 4M`,
  mutex: (vcpus) => `--mutex 1 --mutex-procs ${vcpus}`,
};

describe('stress-ng', () => {
  const machine = new Machine();
  const disk = machine.path('stress.img');
  let guest: GuestTerminal;
  before(async () => {
    const repository = await AptRepository.with(['stress-ng']);
    repository.close();
    makeToolDisk(disk, repository.folder, (name) => !needless.test(name));
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    const disks = [`${disk},raw,xvda,r`];
    guest = await machine.boot({ name: 'stress', kernel, ramdisk, cmdline, memory: 256, vcpus: 4, disk: disks });
    await guest.ready();
    await guest.run('mkdir -p /mnt/tools && mount -t ext4 -o ro /dev/xvda /mnt/tools && cd /mnt/tools');
    await guest.run(
      'for i in dev proc sys; do mount -o bind /$i $i; done; for i in tmp mnt; do mount -t tmpfs tmpfs $i; done',
    );
  });
  after(() => machine.close());

  for (const vcpus of [2, 4])
    it(`finds nothing wrong with ${vcpus} vCPUs`, async (t) => {
      for (const vcpu of [2, 3])
        await guest.run(`echo ${Number(vcpu < vcpus)} > /sys/devices/system/cpu/cpu${vcpu}/online`);
      assert.equal(await guest.run('nproc'), `${vcpus}`);
      for (const [group, names] of Object.entries(stressors)) {
        if (vcpus === 4 && !isAlone && !briefly.includes(group)) continue;
        const from = performance.now();
        const wants = names.split(' ').map((stressor) => special[stressor]?.(vcpus) ?? `--${stressor} ${vcpus}`);
        for (const chosen of isAlone ? wants : [wants.join(' ')]) {
          const stress = (more: string): Promise<{ code: number; out: string }> =>
            guest.try(
              `chroot /mnt/tools sh -c "cd /mnt && stress-ng --verify --no-rand-seed --temp-path /mnt ${chosen} -t ${seconds}${more}"`,
              patience + seconds * 10_000,
            );
          let { code, out } = await stress('');
          if (!isSound(code) && !isAlone) {
            // In a crowd on a busy machine some give up, without a word, for want of a turn. What is wrong is so again, and is told in full.
            t.diagnostic(`${chosen} ended with ${code}, once more: ${out}`);
            ({ code, out } = await stress(' -v'));
          }
          assert.ok(isSound(code), `${chosen}: ${code}: ${out}`);
        }
        t.diagnostic(`${group}: ${names} in ${((performance.now() - from) / 1000).toFixed(1)} s`);
      }
      const complaints = await guest.run('dmesg | grep -E "BUG:|Oops:|self-detected stall|Bad page" || true');
      assert.equal(complaints, '');
    });
});
