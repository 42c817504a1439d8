import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseEgress } from '../../dom0/net/egress/egress-rules.ts';
import { TestHost } from '../testing/test-host.ts';
import type { GuestSource } from './guest-config.ts';
import { readGuestConfig } from './read-config.ts';
import { sandbox } from './sandbox.ts';

const read = (source: GuestSource): ReturnType<typeof readGuestConfig> =>
  readGuestConfig({ kernel: '/k', ...source }, { freeName: () => 'guest-1', warn: (line) => assert.fail(line) });
const egressOf = (source: GuestSource): unknown =>
  read(source).devices.nics?.map(({ egress }) => (typeof egress === 'string' ? parseEgress(egress) : undefined));

describe('the sandbox', () => {
  it('is a network that leads nowhere, little memory, less than a processor, and an end', () => {
    const { b_info, reactions } = read(sandbox);
    assert.deepEqual(egressOf(sandbox), [{ default: 'deny', allow: [] }]);
    assert.deepEqual([b_info.target_memkb, b_info.max_memkb], [256 * 1024, 256 * 1024]);
    assert.deepEqual([b_info.max_vcpus, b_info.sched_params?.cap], [1, 80]);
    const { on_poweroff, on_reboot, on_crash, on_watchdog } = reactions;
    assert.deepEqual(new Set([on_poweroff, on_reboot, on_crash, on_watchdog]), new Set(['destroy']));
    assert.equal(sandbox.timeLimit, 10 * 60 * 1000);
  });

  it('gives way to what is said after it', () => {
    const egress = { default: 'deny', allow: [{ domain: 'deb.debian.org' }] } as const;
    const source = { ...sandbox, network: { egress }, memory: 512 };
    assert.deepEqual(egressOf(source), [egress]);
    assert.equal(read(source).b_info.target_memkb, 512 * 1024);
  });

  it('has an end, or none, however far away', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    await using test = await TestHost.open();
    const limits = { ...sandbox, network: 'none' } as const; // there is no bridge
    const short = await test.create({ ...limits, name: 'short' });
    const long = await test.create({ ...limits, name: 'long', timeLimit: 2 ** 40 });
    const endless = await test.create({ ...limits, name: 'endless', timeLimit: Infinity });
    t.mock.timers.tick(sandbox.timeLimit - 1);
    assert.deepEqual(test.host.guests, [short, long, endless]);
    t.mock.timers.tick(1);
    assert.deepEqual(await short.exited, { reason: 'time limit' });
    assert.deepEqual(test.host.guests, [long, endless]);
    t.mock.timers.tick(2 ** 31 - 1 - sandbox.timeLimit);
    assert.deepEqual(await long.exited, { reason: 'time limit' });
    assert.deepEqual(test.host.guests, [endless]);
  });
});
