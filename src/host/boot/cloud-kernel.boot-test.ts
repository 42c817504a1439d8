/** One guest with Debian's cloud kernel, as it comes from the package, and all that has to be right in it and around it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE, type GuestFiles } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { assertHealthyLog } from '../testing/kernel-log.ts';
import { Machine, until } from '../testing/machine.ts';

const uuid = '0d9a7d9e-5e0c-4b1f-9d0e-3f8f0a6c2b11';

describe('a Debian cloud kernel in a domain', () => {
  const machine = new Machine();
  let files: GuestFiles;
  let guest: GuestTerminal;
  let xenstoreBefore = '';

  before(async () => {
    files = await guestFiles();
    await machine.ok('list');
    xenstoreBefore = await machine.xenstore();
    const { kernel, ramdisk } = files;
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    guest = await machine.boot({ name: 'cloud', type: 'pv', uuid, kernel, ramdisk, cmdline, memory: 256 });
    await guest.ready();
  });
  after(() => machine.close());

  it('knows that it runs on Xen, and on which', async () => {
    assert.match(files.release, /^6\.1\..*-cloud-amd64$/);
    assert.equal(await guest.run('uname -r'), files.release);
    assert.equal(await guest.run('cat /sys/hypervisor/type'), 'xen');
    assert.equal(await guest.run('cat /sys/hypervisor/guest_type'), 'PV');
    assert.equal(await guest.run('cat /sys/hypervisor/uuid'), uuid);
    assert.equal(await guest.run('cd /sys/hypervisor/version; echo $(cat major).$(cat minor)$(cat extra)'), '4.17.7');
    assert.equal(await guest.run('cat /sys/hypervisor/properties/capabilities'), 'xen-3.0-x86_64');
    assert.equal(await guest.run('ls /proc/xen'), 'capabilities  privcmd       xenbus');
    assert.equal(await guest.run('cat /proc/xen/capabilities'), '', 'an unprivileged domain has none');
    assert.equal(await guest.run('ls /sys/bus/xen/devices'), '', 'it was given no disk and no interface');
    assert.equal(await guest.run('cat /sys/devices/system/clocksource/clocksource0/current_clocksource'), 'xen');
  });

  it('has no complaint in its log that it would not have on real Xen', async () => {
    await assertHealthyLog(guest);
    const log = await guest.run('dmesg');
    for (const line of [/Hypervisor detected: Xen PV/, /Xen version: 4\.17\.7 \(preserve-AD\)/, /Using FIFO-based ABI/])
      assert.match(log, line);
  });

  it('sees the processor that every host gives its guests', async () => {
    const cpuinfo = await guest.run('cat /proc/cpuinfo');
    assert.equal(cpuinfo.match(/^processor/gm)?.length, 1);
    assert.match(cpuinfo, /^cpu MHz\s+: 1000\.000$/m);
    assert.match(cpuinfo, /^bugs\s+: *$/m, 'no work-arounds for other processors’ faults');
    const flags = new Set(/^flags\s+: (.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
    for (const flag of 'fpu cx8 cmov mmx fxsr sse sse2 syscall nx rdtscp lm pni ssse3 cx16 sse4_1 sse4_2 hypervisor'.split(
      ' ',
    ))
      assert.ok(flags.has(flag), flag);
    // What a PV guest must not try to use.
    for (const flag of ['vme', 'pse', 'pge', 'mtrr', 'apic', 'vmx', 'svm', 'smep', 'smap', 'pcid'])
      assert.ok(!flags.has(flag), flag);
  });

  it('gets its interrupts as events', async () => {
    const interrupts = await guest.run('cat /proc/interrupts');
    const count = (text: string, name: string): number =>
      Number(new RegExp(`^ *\\d+: +(\\d+) +xen-.*\\b${name}$`, 'm').exec(text)?.[1]);
    for (const name of ['timer0', 'xenbus', 'hvc_console'])
      assert.ok(count(interrupts, name) > 0, `${name}:\n${interrupts}`);
    await guest.run('sleep 0.2');
    assert.ok(count(await guest.run('cat /proc/interrupts'), 'timer0') > count(interrupts, 'timer0'));
  });

  it('shares the time of day with its host, and sleeps for as long as it says', async () => {
    // Until it switches to Xen's clock, Linux counts ticks, and loses those that a busy host brings late.
    const log = await guest.run("dmesg | grep 'Switched to clocksource xen'");
    const tolerance = Number(/\[ *(\d+\.\d+)\]/.exec(log)?.[1]);
    // Between two moments of the host's; whole seconds.
    const earliest = Math.floor(Date.now() / 1000 - tolerance - 1);
    const inside = Number(await guest.run('date +%s'));
    const latest = Math.ceil(Date.now() / 1000);
    assert.ok(inside >= earliest && inside <= latest, `${inside} is not in ${earliest}…${latest}`);
    /** The guest's seconds since it has booted, and those of the host before and after. */
    const look = async (): Promise<{ before: number; inside: number; after: number }> => {
      const before = performance.now() / 1000;
      const inside = Number(await guest.run('cut -d" " -f1 /proc/uptime'));
      return { before, inside, after: performance.now() / 1000 };
    };
    const from = await look();
    // A busy machine may wake it late each time, but not by as much as a wrong timer.
    await until('sleep 2 to take less than 3 s', async () => {
      const times = await guest.run('cut -d" " -f1 /proc/uptime; sleep 2; cut -d" " -f1 /proc/uptime');
      const [begin = 0, end = 0] = times.split('\n').map(Number);
      assert.ok(end - begin >= 1.99, times);
      return end - begin < 3;
    });
    const to = await look();
    // /proc/uptime has hundredths.
    const [least, most] = [to.before - from.after - 0.02, to.after - from.before + 0.02];
    const passed = to.inside - from.inside;
    assert.ok(passed >= least && passed <= most, `${passed} s inside, ${least} to ${most} s outside`);
  });

  it('has the memory that was asked for', async () => {
    const total = Number(/MemTotal: +(\d+) kB/.exec(await guest.run('cat /proc/meminfo'))?.[1]);
    assert.ok(total > 200_000 && total < 256 * 1024, `${total}`);
    assert.match(await guest.run('dmesg'), /Xen: \[mem 0x0000000000100000-0x000000000fffffff\] usable/);
  });

  it('computes what other machines compute', async () => {
    const digest = createHash('sha256').update(new Uint8Array(3_000_000)).digest('hex');
    assert.equal(await guest.run('head -c 3000000 /dev/zero | sha256sum'), `${digest}  -`);
    assert.equal(await guest.run("awk 'BEGIN { print 10 / 4, 1e300 * 1e10, int(-7.5) }'"), '2.5 inf -7');
    assert.equal(await guest.run('seq 1 300 | gzip | gunzip | tail -n 1'), '300');
  });

  it('is interrupted by Ctrl-C', async () => {
    guest.type("sh -c 'echo be''gun; exec sleep 100000'\n");
    await guest.expect(/begun/);
    guest.type('\x03');
    assert.equal(await guest.run('echo still there'), 'still there');
  });

  it('is shown by xl with its state and the seconds it has run', async () => {
    const [dom0, domain] = await machine.list();
    assert.deepEqual([dom0?.name, dom0?.domid, dom0?.state], ['Domain-0', 0, 'r-----']);
    assert.deepEqual([domain?.name, domain?.domid, domain?.memory, domain?.vcpus], ['cloud', 1, 256, 1]);
    await until('an idle guest', async () => (await machine.state('cloud'))?.state === '-b----');
    const idle = (await machine.state('cloud'))?.seconds ?? 0;
    assert.ok(idle > 0);
    const work = await guest.start('while :; do :; done');
    await until('a busy guest', async () => {
      const busy = await machine.state('cloud');
      return busy?.state === 'r-----' && busy.seconds > idle + 0.5;
    });
    await guest.run(`kill ${work}`);
    assert.equal((await machine.ok('domid', 'cloud')).trim().split(/\s+/).at(-1), '1');
    assert.equal((await machine.ok('domname', '1')).trim(), 'cloud');
    assert.match(await machine.ok('uptime', 'cloud'), /^cloud +1 +\d:\d\d:\d\d$/m);
  });

  it('stands still while it is paused', async () => {
    await machine.ok('pause', 'cloud');
    await until('a paused guest', async () => (await machine.state('cloud'))?.state.includes('p'));
    const before = (await machine.state('cloud'))?.seconds;
    const answer = guest.run('echo awake');
    assert.equal((await machine.state('cloud'))?.seconds, before);
    assert.ok(!guest.text.endsWith('awake'));
    await machine.ok('unpause', 'cloud');
    assert.equal(await answer, 'awake');
  });

  it('lets a console go with Ctrl-], and shows the next one what was printed before', async () => {
    assert.equal(await guest.leave(), 0);
    guest = machine.console('cloud');
    assert.equal(await guest.run('echo again'), 'again');
    assert.match(guest.text, /Linux version 6\.1/);
    const other = machine.console('cloud');
    assert.equal(await other.run('echo both'), 'both');
    await guest.expect(/both/);
    assert.equal(await other.leave(), 0);
  });

  it('is made again when it reboots, and leaves nothing when it is destroyed', async () => {
    const { seconds = 0 } = (await machine.state('cloud')) ?? {};
    await machine.ok('reboot', 'cloud');
    await guest.ended;
    const again = await until('the next domain', async () => {
      const domain = await machine.state('cloud');
      return domain !== undefined && domain.domid > 1 && !domain.state.includes('p') && domain;
    });
    guest = machine.console('cloud');
    await guest.expect(/Linux version 6\.1/);
    assert.equal(again.domid, 2);
    // By which Ganeti tells that it has (hv_xen.py, RebootInstance).
    assert.ok(again.seconds < seconds);
    assert.match(await machine.ok('vm-list'), new RegExp(`^${uuid} +2 +cloud`, 'm'));
    await machine.ok('destroy', 'cloud');
    await guest.ended;
    assert.deepEqual(
      (await machine.list()).map(({ name }) => name),
      ['Domain-0'],
    );
    assert.equal(await machine.xenstore(), xenstoreBefore);
    await until('its thread to end', async () => (await machine.vcpuThreads()).size === 0);
  });
});
