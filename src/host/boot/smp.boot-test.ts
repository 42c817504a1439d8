/** Guests with two and with eight vCPUs: code that the kernel patches while another vCPU runs it, work on all, and one that goes away and comes back. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine } from '../testing/machine.ts';

/** SHA-256 of 16 MiB of zeroes. */
const ZEROES = '080acf35a507ac9849cfcba47dc2ad83e01b75663a516279c8b9d243b719643e';

describe('a guest with two vCPUs', () => {
  const machine = new Machine();
  let guest: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    guest = await machine.boot({ name: 'smp', kernel, ramdisk, cmdline, memory: 128, vcpus: 2 });
    await guest.ready();
  });
  after(() => machine.close());

  it('uses both', async () => {
    assert.equal(await guest.run('nproc'), '2');
    const sum = '(dd if=/dev/zero bs=1M count=16 2>/dev/null | sha256sum)';
    const out = await guest.run(`${sum} & ${sum} & ${sum} & ${sum} & wait`);
    assert.deepEqual(out.match(/[0-9a-f]{64}/g), Array(4).fill(ZEROES));
  });

  it('lets the kernel patch code that the other one executes', async () => {
    // A static key of the scheduler: each write patches jumps in code that both vCPUs run through all the time
    // (Linux: kernel/sched/core.c, sysctl_schedstats; arch/x86/kernel/alternative.c, text_poke_bp).
    await guest.run('for n in 1 2 3; do (while :; do true | cat | cat; done > /dev/null) & done');
    await guest.run(
      'n=0; while [ $n -lt 60 ]; do echo $((n & 1)) > /proc/sys/kernel/sched_schedstats; n=$((n + 1)); done',
    );
    await guest.run('kill $(jobs -p); wait 2> /dev/null');
    const complaints = await guest.run('dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true');
    assert.equal(complaints, '0');
  });

  it('gives one up and takes it again', async () => {
    await guest.run('echo 0 > /sys/devices/system/cpu/cpu1/online');
    assert.equal(await guest.run('nproc'), '1');
    assert.match(await machine.ok('vcpu-list', 'smp'), /^smp +1 +1 +- +--p/m);
    await guest.run('echo 1 > /sys/devices/system/cpu/cpu1/online');
    assert.equal(await guest.run('nproc'), '2');
    assert.equal(await guest.run('taskset 2 sh -c "echo ran"'), 'ran');
  });
});

describe('a guest with eight vCPUs', () => {
  const machine = new Machine();
  after(() => machine.close());

  it('boots, and uses all of them, also on a host with fewer processors', async (t) => {
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    const guest = await machine.boot({ name: 'eight', kernel, ramdisk, cmdline, memory: 192, vcpus: 8 });
    await guest.ready();
    const { seconds = 0 } = (await machine.state('eight')) ?? {};
    t.diagnostic(`booted with ${seconds} s of processor time`);
    assert.equal(await guest.run('nproc'), '8');
    const sum = (vcpu: number): string =>
      `(dd if=/dev/zero bs=1M count=4 2>/dev/null | taskset ${(1 << vcpu).toString(16)} sha256sum)`;
    const out = await guest.run(`${[0, 1, 2, 3, 4, 5, 6, 7].map(sum).join(' & ')} & wait`);
    const lines = out.match(/[0-9a-f]{64}/g) ?? [];
    assert.deepEqual([lines.length, new Set(lines).size], [8, 1]);
    const complaints = await guest.run('dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true');
    assert.equal(complaints, '0');
  });
});
