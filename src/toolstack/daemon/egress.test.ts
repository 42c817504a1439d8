/** Egress rules in a domain's configuration, and as `xl network-egress` asks the daemon for them. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { FakeSockets } from '../../dom0/testing/fake-sockets.ts';
import { ManualTimers } from '../../dom0/testing/manual-timers.ts';
import { parseNetworkConfig } from '../config/network-config.ts';
import { TestDaemon } from '../testing/test-daemon.ts';

const test = new TestDaemon();
const timers = new ManualTimers();

before(async () => {
  const config = parseNetworkConfig('bridge = [ "name=lan, nat=0", "name=br0, host=1" ]', 'network.cfg');
  const hostBridge = { plug: () => undefined };
  const network = { sockets: new FakeSockets(timers), timers, random32: () => 4, config, hostBridge: () => hostBridge };
  await test.start({ network });
  const vifs = '"bridge=xenbr0,egress=deb.example:80 10.0.0.0/8", "bridge=lan,vifname=inner", "bridge=br0"';
  const made = await test.xl('create', '-q', test.config('web', `vif=[${vifs}]`));
  assert.deepEqual([made.code, made.err], [0, '']);
});
after(() => test.close());

const xl = (...args: readonly string[]): ReturnType<TestDaemon['xl']> => test.xl('network-egress', ...args);

const nothing = '  refused: 0 connections, 0 datagrams, 0 names, 0 frames to or from other guests\n';

it('tells what each interface may reach', async () => {
  const rules = `vif1.0: only this is allowed\n  deb.example:80  0\n  10.0.0.0/8      0\n${nothing}`;
  assert.deepEqual(await xl('-d', '0', 'web'), { out: rules, err: '', code: 0 });
  assert.equal((await xl('--devid=1', 'web')).out, 'inner: everything is allowed\n');
  assert.match((await test.xl('list', '-l', 'web')).out, /"egress": "deb\.example:80 10\.0\.0\.0\/8"/);
});

it('changes it while the domain runs, and for its next life', async () => {
  assert.deepEqual(await xl('-d', '1', 'web', '*.example.org:443+8443', '[fd00::1]'), { out: '', err: '', code: 0 });
  assert.match((await test.xl('list', '-l', 'web')).out, /"egress": "\*\.example\.org:443\+8443 \[fd00::1\]"/);
  const changed = `inner: only this is allowed\n  *.example.org:443+8443  0\n  [fd00::1]               0\n${nothing}`;
  assert.equal((await xl('-d', '1', 'web')).out, changed);
  assert.equal((await xl('-d', '1', 'web', 'none')).code, 0);
  assert.equal((await xl('-d', '1', 'web')).out, `inner: nothing is allowed\n${nothing}`);
  assert.equal((await xl('-d', '1', '-c', 'web')).code, 0);
  assert.match((await test.xl('list', '-l', 'web')).out, /"egress": "all"/);
});

it('says in one sentence what cannot be', async () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [['-d', '0', 'web', 'a..b'], /^"a\.\.b" is no domain name\n$/],
    [['-d', '2', 'web', 'none'], /^vif1\.2 is on no bridge that keeps rules\n$/],
    [['web', 'none'], /^vif1\.2 is on no bridge that keeps rules\n$/],
    [['-d', '7', 'web'], /xenstore read failed/],
    [['nosuch'], /^nosuch is an invalid domain identifier \(rc=-6\)\n$/],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await xl(...args);
    assert.match(err, message, args.join(' '));
    assert.equal(code, 1);
  }
  assert.equal((await xl('-c', 'web', 'none')).code, 2);
  for (const [vif, message] of [
    ['bridge=xenbr0,egress=a..b', /egress: "a\.\.b" is no domain name/],
    ['bridge=br0,egress=none', /a bridge of the host's own keeps no egress rules/],
  ] as const) {
    const { code, err } = await test.xl('create', '-q', test.config('bad', `vif=["${vif}"]`));
    assert.match(err, message);
    assert.notEqual(code, 0);
  }
});
