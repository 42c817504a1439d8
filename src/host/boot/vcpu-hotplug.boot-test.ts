/** vCPUs that are plugged and unplugged with `xl vcpu-set` while Linux runs, up to more than the host has processors. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

/** Beyond the number of processors of most machines, so that `--ignore-host` has a meaning. */
const most = 4;

describe('a guest that begins with one of four vCPUs', () => {
  const machine = new Machine({});
  let guest: GuestTerminal;
  const online = (): Promise<string> => guest.run('cat /sys/devices/system/cpu/online');
  /** State and processor of each vCPU, as `xl vcpu-list` has them. */
  const states = async (): Promise<string[]> =>
    [...(await machine.ok('vcpu-list', 'plug')).matchAll(/^plug +\d+ +\d+ +(?:\d+ +(\S+)|(- +--p))/gm)].map(
      ([, state, down]) => (down === undefined ? (state ?? '') : 'down'),
    );
  const set = async (count: number): Promise<void> => {
    const expected = count === 1 ? '0' : `0-${count - 1}`;
    await machine.ok('vcpu-set', '--ignore-host', 'plug', String(count));
    await until(`${expected} to be online`, async () => (await online()) === expected);
    await until(`${count} vCPUs in the list`, async () => (await machine.state('plug'))?.vcpus === count);
    assert.deepEqual(
      (await states()).map((state) => state === 'down'),
      Array.from({ length: most }, (_, vcpu) => vcpu >= count),
    );
  };

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    guest = await machine.boot({ name: 'plug', kernel, ramdisk, cmdline, memory: 128, vcpus: 1, maxvcpus: most });
    await guest.ready();
  });
  after(() => machine.close());

  it('has one at first', async () => {
    assert.deepEqual([await online(), await guest.run('nproc')], ['0', '1']);
    assert.deepEqual((await states()).slice(1), ['down', 'down', 'down']);
    assert.equal((await machine.state('plug'))?.vcpus, 1);
  });

  it('gets all of them, and works on each', async () => {
    const { code, err } = await machine.xl('vcpu-set', 'plug', '99');
    assert.notEqual(code, 0);
    assert.match(err, /^You are overcommmitting! You have \d+ physical CPUs and want 99 vCPUs!/);
    await set(most);
    assert.equal(await guest.run('nproc'), String(most));
    for (let vcpu = 0; vcpu < most; vcpu++)
      assert.equal(await guest.run(`taskset ${(1 << vcpu).toString(16)} sh -c 'echo ran'`), 'ran');
  });

  it('gives some up and gets them again, also under load', async () => {
    await guest.run('for n in 1 2 3 4; do (while :; do true | cat; done > /dev/null) & done');
    for (const count of [2, 4, 1, 3]) await set(count);
    await guest.run('kill $(jobs -p); wait 2> /dev/null');
    const complaints = await guest.run('dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true');
    assert.equal(complaints, '0');
  });
});
