/** Two guests of the smallest size that has to work, side by side: on one bridge, in want of the same processors; and what one does must not reach the other, nor the daemon. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';
import { shareABridge } from '../testing/two-domains/network.ts';
import { CPU_WEIGHT, macs } from '../testing/two-domains/pair.ts';
import { wantMoreThanTheyGet } from '../testing/two-domains/scheduling.ts';

describe('two domains on one host', () => {
  const machine = new Machine();
  let one: GuestTerminal;
  let two: GuestTerminal;
  let daemon = 0;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    const common = { kernel, ramdisk, cmdline, memory: 96 };
    // Both boot at the same time.
    one = await machine.boot({ ...common, name: 'one', on_crash: 'restart', vif: [`mac=${macs.one},bridge=xenbr0`] });
    two = await machine.boot({ ...common, name: 'two', cpu_weight: CPU_WEIGHT, vif: [`mac=${macs.two}`] });
    await Promise.all([one.ready(), two.ready()]);
    daemon = await machine.daemonPid();
  });
  after(() => machine.close());

  it('runs both in 96 MiB each', async () => {
    for (const guest of [one, two]) {
      const total = Number(/MemTotal: +(\d+) kB/.exec(await guest.run('cat /proc/meminfo'))?.[1]);
      assert.ok(total > 50_000 && total < 96 * 1024, `${total}`);
    }
  });

  it('lists both, each with its own state, and counts the processor time of each', async () => {
    const work = await one.start('while :; do :; done');
    await until('one to run while two sleeps', async () => {
      const [dom0, first, second] = await machine.list();
      assert.deepEqual([dom0?.name, first?.name, second?.name], ['Domain-0', 'one', 'two']);
      assert.deepEqual([first?.memory, second?.memory], [96, 96]);
      return first?.state === 'r-----' && second?.state === '-b----';
    });
    await one.run(`kill ${work}`);
    const [, first, second] = await machine.list();
    assert.ok((first?.seconds ?? 0) > 0 && (second?.seconds ?? 0) > 0);
  });

  it('keeps their memories and their consoles apart', async () => {
    await one.run('echo of one > /tmp/file');
    await two.run('echo of two > /tmp/file');
    assert.equal(await one.run('cat /tmp/file'), 'of one');
    assert.equal(await two.run('cat /tmp/file'), 'of two');
  });

  describe('on one bridge', () => shareABridge(() => ({ machine, one, two })));
  describe('that want more than they get', () => wantMoreThanTheyGet(() => ({ machine, one, two })));

  it('dumps a guest that crashes, acts on its on_crash, and leaves the other alone', async () => {
    const crashed = (await machine.state('one'))?.domid;
    one.type('echo c > /proc/sysrq-trigger\n');
    await one.expect(/Kernel panic - not syncing: sysrq triggered crash/);
    assert.equal(await one.ended, 0);

    const log = await machine.ok('dmesg');
    assert.match(log, new RegExp(`Domain ${crashed} \\(vcpu#0\\) crashed on cpu#\\d+:`));
    assert.match(log, /RIP: +e033:\[<[0-9a-f]{16}>\] \S+\+[0-9a-f]+\//, 'registers, with the name of the function');
    assert.match(log, /\] panic\+[0-9a-f]+\/[0-9a-f]+$/m, 'the way there');
    assert.match(log, /\] sysrq_handle_crash\+/);

    const successor = await until('a domain in its place', async () => {
      const domain = await machine.state('one');
      return domain !== undefined && domain.domid !== crashed && domain;
    });
    assert.ok(successor.domid > (crashed ?? 0));
    assert.match(machine.log('xl-one.log'), /reason code 3 .*\nAction for shutdown reason code 3 is restart\n/);

    assert.equal(await two.run('echo unharmed; cat /tmp/file'), 'unharmed\nof two');
    assert.equal(await machine.daemonPid(), daemon);
  });

  it('finds its feet after the daemon was killed, with the guests gone and nothing in the way', async () => {
    process.kill(daemon, 'SIGKILL');
    assert.equal(await two.ended, 1, 'the console tells that it was cut off');
    assert.deepEqual(
      (await machine.list()).map(({ name }) => name),
      ['Domain-0'],
    );
    assert.notEqual(await machine.daemonPid(), daemon);
    assert.doesNotMatch(await machine.xenstore(), /domain\/[1-9]/);
    // A name of before is free, and a domain can be made.
    await machine.ok('create', '-q', '-p', machine.path('two.cfg'));
    assert.equal((await machine.state('two'))?.state, '--p---');
    await machine.ok('destroy', 'two');
  });
});
