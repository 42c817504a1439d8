/**
 * Guests with several vCPUs, up to more than the host has processors: vCPUs that come and go, by `xl vcpu-set` and by the guest itself, work on all of them, code that the
 * kernel patches while another vCPU runs it, and x86's order of memory accesses by litmus tests (programs/litmus.c). `XENOLITH_LITMUS_ROUNDS` says how often each runs;
 * one round is 1024 times.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { eventually, Machine, patience, until } from '../testing/machine.ts';

/** Beyond the number of processors of most machines, so that `--ignore-host` has a meaning. */
const most = 4;
const rounds = Number(process.env['XENOLITH_LITMUS_ROUNDS'] ?? 10);
/** SHA-256 of 16 MiB of zeroes. */
const ZEROES = '080acf35a507ac9849cfcba47dc2ad83e01b75663a516279c8b9d243b719643e';
const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
const complaints = 'dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true';

describe('a guest that begins with one of four vCPUs', () => {
  const machine = new Machine();
  let guest: GuestTerminal;
  let litmus: Buffer | undefined;
  const online = (): Promise<string> => guest.run('cat /sys/devices/system/cpu/online');
  /** State and processor of each vCPU, as `xl vcpu-list` has them. */
  const states = async (): Promise<string[]> =>
    [...(await machine.ok('vcpu-list', 'plug')).matchAll(/^plug +\d+ +\d+ +(?:\d+ +(\S+)|(- +--p))/gm)].map(
      ([, state, down]) => (down === undefined ? (state ?? '') : 'down'),
    );
  /** Numbers of so many processes. */
  const begun = async (count: number, command: string): Promise<string> => {
    const numbers: number[] = [];
    while (numbers.length < count) numbers.push(await guest.start(command));
    return numbers.join(' ');
  };
  const set = async (count: number): Promise<void> => {
    const expected = count === 1 ? '0' : `0-${count - 1}`;
    await machine.ok('vcpu-set', '--ignore-host', 'plug', String(count));
    await until(`${expected} to be online`, async () => (await online()) === expected);
    await until(`${count} vCPUs in the list`, async () => (await machine.state('plug'))?.vcpus === count);
    const down = Array.from({ length: most }, (_, vcpu) => vcpu >= count);
    await eventually(async () =>
      assert.deepEqual(
        (await states()).map((state) => state === 'down'),
        down,
      ),
    );
  };

  before(async () => {
    litmus = buildLitmus(machine.path('litmus'));
    const extraFiles = litmus && { extraFiles: { 'bin/litmus': { content: litmus, executable: true } } };
    const { kernel, ramdisk } = await guestFiles(extraFiles ?? {});
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
    const load = await begun(4, 'while :; do true | cat; done > /dev/null');
    for (const count of [2, 4, 1, 3]) await set(count);
    await guest.run(`kill ${load}`);
    assert.equal(await guest.run(complaints), '0');
  });

  for (const vcpus of [4, 2])
    it(`sees memory in x86's order with ${vcpus} of them`, async (t) => {
      if (litmus === undefined) return t.skip('no C compiler on this machine');
      await set(vcpus);
      const { code, out } = await guest.try(`litmus ${rounds}`, patience + rounds * 2000);
      for (const line of out.split('\n')) t.diagnostic(line);
      assert.deepEqual(out.match(/forbidden (?!0,).*/g), null);
      assert.equal(code, 0);
      assert.match(out, /^counters: forbidden 0/m);
    });

  it('uses two for the work of four', async () => {
    await set(2);
    const sum = '(dd if=/dev/zero bs=1M count=16 2>/dev/null | sha256sum)';
    const out = await guest.run(`${sum} & ${sum} & ${sum} & ${sum} & wait`);
    assert.deepEqual(out.match(/[0-9a-f]{64}/g), Array(4).fill(ZEROES));
  });

  it('lets the kernel patch code that the other one executes', async () => {
    // A static key of the scheduler: each write patches jumps in code that both vCPUs run through all the time
    // (Linux: kernel/sched/core.c, sysctl_schedstats; arch/x86/kernel/alternative.c, text_poke_bp).
    const load = await begun(3, 'while :; do true | cat | cat; done > /dev/null');
    await guest.run(
      'n=0; while [ $n -lt 60 ]; do echo $((n & 1)) > /proc/sys/kernel/sched_schedstats; n=$((n + 1)); done',
    );
    await guest.run(`kill ${load}`);
    assert.equal(await guest.run(complaints), '0');
  });

  it('gives one up by itself and takes it again', async () => {
    await guest.run('echo 0 > /sys/devices/system/cpu/cpu1/online');
    assert.equal(await guest.run('nproc'), '1');
    assert.match(await machine.ok('vcpu-list', 'plug'), /^plug +1 +1 +- +--p/m);
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
    assert.equal(await guest.run(complaints), '0');
  });
});

/** Undefined where nothing compiles it. */
function buildLitmus(program: string): Buffer | undefined {
  const source = join(import.meta.dirname, 'programs/litmus.c');
  try {
    execFileSync('cc', ['-std=gnu11', '-O2', '-Wall', '-Werror', '-static', '-pthread', source, '-o', program]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return readFileSync(program);
}
