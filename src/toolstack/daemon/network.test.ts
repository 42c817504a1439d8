/** Port forwards as `xl network-forward` asks the daemon for them. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { FakeSockets } from '../../dom0/testing/fake-sockets.ts';
import { ManualTimers } from '../../dom0/testing/manual-timers.ts';
import { parseNetworkConfig } from '../config/network-config.ts';
import { TestDaemon } from '../testing/test-daemon.ts';

const test = new TestDaemon();
const timers = new ManualTimers();
const sockets = new FakeSockets(timers);
const log: string[] = [];

before(async () => {
  const config = parseNetworkConfig(
    'bridge = [ "name=lan, nat=0", "name=other" ]\nforward = [ "80 web:80", "80 web:81" ]',
    'network.cfg',
  );
  await test.start({
    network: { sockets, timers, random32: () => 4, config },
    log: (line) => log.push(line),
  });
});
after(async () => {
  await test.close();
  assert.equal(sockets.listening.size, 0);
});

const xl = (...args: readonly string[]): ReturnType<TestDaemon['xl']> => test.xl('network-forward', ...args);

it('opens the forwards of the configuration, and logs those that cannot be', async () => {
  assert.deepEqual([...sockets.listening.keys()], ['127.0.0.1 80']);
  assert.ok(log.includes('network.cfg: somebody else listens at 127.0.0.1 80'), log.join('\n'));
  const { out } = await xl();
  assert.equal(out, 'Host              Guest   Bridge\ntcp:127.0.0.1:80  web:80  xenbr0\n');
});

it('opens and ends others at run time', async () => {
  assert.deepEqual(await xl('2222', '10.0.3.15:22'), {
    code: 0,
    out: 'tcp:127.0.0.1:2222 is forwarded to 10.0.3.15:22\n',
    err: '',
  });
  assert.match((await xl('-l')).out, /^tcp:127\.0\.0\.1:2222 +10\.0\.3\.15:22 +other$/m);
  assert.equal((await xl('--remove', '2222')).code, 0);
  assert.deepEqual([...sockets.listening.keys()], ['127.0.0.1 80']);
});

it('says in one sentence what cannot be', async () => {
  const cases: readonly [readonly string[], string][] = [
    [['80', 'web:80'], 'somebody else listens at 127.0.0.1 80'],
    [['1', '192.168.1.1:1'], 'no bridge has a subnet with 192.168.1.1 in it'],
    [['-b', 'lan', '1', 'web:1'], 'the bridge "lan" has no NAT, so nothing can be forwarded to it'],
    [['-b', 'none', '1', 'web:1'], 'there is no bridge "none"'],
    [['x', 'web:1'], '"x" is not a port of the host, as 2222, udp:53 or tcp:0.0.0.0:80'],
    [['1', 'web'], '"web" is not a guest\'s port, as web:22 or 10.0.2.15:22'],
    [['-r', '99'], 'nothing is forwarded from tcp 127.0.0.1 port 99'],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await xl(...args);
    assert.equal(code, 1);
    assert.equal(err, `${message}\n`);
  }
  assert.equal((await xl('1')).code, 2);
});
