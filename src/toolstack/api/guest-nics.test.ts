import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeSockets } from '../../dom0/testing/fake-sockets.ts';
import { ManualTimers } from '../../dom0/testing/manual-timers.ts';
import { parseNetworkConfig } from '../config/network-config.ts';
import { TestHost } from '../testing/test-host.ts';

const nothing = { tcp: 0, udp: 0, names: 0, frames: 0 };

function withNetwork(): Promise<TestHost> {
  const timers = new ManualTimers();
  const config = parseNetworkConfig('bridge = [ "name=lan, nat=0" ]', 'network.cfg');
  return TestHost.open({ network: { sockets: new FakeSockets(timers), timers, random32: () => 4, config } });
}

describe('what the interfaces of a guest may reach', () => {
  it('is told and changed while it runs, and after a reboot', async () => {
    await using test = await withNetwork();
    const network = [{ egress: { default: 'deny', allow: [{ domain: 'deb.example', ports: [80] }] } }, {}] as const;
    const guest = await test.create({ network, onReboot: 'restart' });
    const [first] = guest.nics.list();
    const allow = [{ domain: 'deb.example', ports: [80] }];
    const rules = { default: 'deny', allow } as const;
    assert.deepEqual(guest.nics.egress(0), { rules, passed: [{ rule: allow[0], count: 0 }], refused: nothing });
    assert.deepEqual(guest.nics.egress(first?.mac ?? '').rules, rules);
    assert.deepEqual(guest.nics.egress(1).rules, { default: 'allow' });
    await guest.nics.setEgress({ default: 'deny', allow: [{ address: '192.0.2.0/24', protocol: 'udp' }] }, 0);
    await guest.nics.setEgress({ default: 'deny', allow: [] }, first?.mac);
    assert.deepEqual(guest.nics.egress(0).rules, { default: 'deny', allow: [] });
    assert.deepEqual(guest.nics.egress(1).rules, { default: 'allow' });
    const rebooted = guest.reboot();
    test.inside(guest).shutDown(1);
    await rebooted;
    assert.deepEqual(guest.nics.egress(0).rules, { default: 'deny', allow: [] });
    await guest.nics.setEgress({ default: 'allow' });
    assert.deepEqual(
      [guest.nics.egress(0).rules, guest.nics.egress(1).rules],
      [{ default: 'allow' }, { default: 'allow' }],
    );
  });

  it('is a sentence when it cannot be', async () => {
    await using test = await withNetwork();
    const guest = await test.create({ network: 'nat' });
    const bad = { default: 'deny', allow: [{ domain: 'a..b' }] } as const;
    await assert.rejects(guest.nics.setEgress(bad), { code: 'CONFIG', message: 'egress: "a..b" is no domain name' });
    assert.deepEqual(guest.nics.egress(0).rules, { default: 'allow' });
    const none = { default: 'deny', allow: [] } as const;
    await assert.rejects(guest.nics.setEgress(none, '00:16:3e:00:00:99'), { code: 'INVALID' });
    await assert.rejects((await test.create()).nics.setEgress(none), { message: 'the domain has no interfaces' });
    assert.throws(() => guest.nics.egress(7), { code: 'FAILED' });
    await guest.destroy();
    assert.throws(() => guest.nics.egress(0), { code: 'GONE' });
    await assert.rejects(guest.nics.setEgress(none), { code: 'GONE' });
  });
});
