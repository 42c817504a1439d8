/** Two guests on one bridge: they see each other, and what they send arrives as it was. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { eventually, until } from '../machine.ts';
import { macs, type Pair } from './pair.ts';

export function shareABridge(pair: () => Pair): void {
  const connected = (name: string): Promise<string> =>
    until('the interface', async () => {
      const text = await pair().machine.ok('network-list', name);
      return / 4 +-1 +\d+\/\d+ /.test(text) && text;
    });

  it('lists their interfaces, connected', async () => {
    const { one, two } = pair();
    const [listed] = [await connected('one'), await connected('two')];
    await one.run('ifconfig eth0 192.168.77.1 up');
    await two.run('ifconfig eth0 192.168.77.2 up');
    const [head, row] = listed.split('\n');
    assert.equal(head, 'Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       ');
    assert.match(
      row ?? '',
      /^0   0  00:16:3e:00:00:01     0     4     -1 +\d+\/\d+ +\/local\/domain\/0\/backend\/vif\/1\/0$/,
    );
  });

  it('lets them ping each other', async () => {
    const { one, two } = pair();
    assert.match(await one.run('ping -c 3 -W 10 192.168.77.2'), /3 packets received, 0% packet loss/);
    assert.match(await two.run('ping -c 2 -W 10 -s 8000 192.168.77.1'), /2 packets received, 0% packet loss/);
  });

  it('carries data both ways as it was', async () => {
    const { one, two } = pair();
    const pairs = [
      { from: one, to: two, address: '192.168.77.2' },
      { from: two, to: one, address: '192.168.77.1' },
    ];
    for (const { from, to, address } of pairs) {
      await from.run('head -c 8000000 /dev/urandom > /tmp/data');
      await to.start('nc -l -p 5000 -e md5sum');
      await to.listens(5000);
      assert.equal(await from.run(`nc ${address} 5000 < /tmp/data`), await from.run('md5sum < /tmp/data'));
      await from.run('rm /tmp/data');
    }
  });

  it('takes an interface away and gives another one, while the guest runs', async () => {
    const { machine, one, two } = pair();
    await machine.ok('network-detach', 'two', macs.two);
    assert.equal((await machine.ok('network-list', 'two')).split('\n').length, 2);
    await eventually(async () => assert.equal(await two.run('ls /sys/class/net'), 'lo'));
    const wrong = await machine.xl('network-detach', 'two', '7');
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.err,
      /libxl__xs_read_mandatory: xenstore read failed: `\/libxl\/2\/device\/vif\/7': No such file or directory\nUnknown device 7\.\n$/,
    );
    await machine.ok('network-attach', 'two', 'mac=00:16:3e:00:00:99', 'bridge=xenbr0', 'ip=192.168.77.9');
    await until('the interface in the guest', async () => /eth0/.test(await two.run('ls /sys/class/net')));
    await connected('two');
    await two.run('ifconfig eth0 192.168.77.9 up');
    assert.match(await one.retry('ping -c 2 -W 2 192.168.77.9'), / 0% packet loss/);
    // With ip=, nothing from another address comes out.
    await two.run('ifconfig eth0 192.168.77.10 up');
    assert.match((await one.try('ping -c 1 -W 2 192.168.77.10')).out, /100% packet loss/);
  });

  it('refuses a bridge that is not there, as xl does', async () => {
    const { machine } = pair();
    const { code, err } = await machine.xl('network-attach', 'one', 'bridge=xenbr7');
    assert.equal(code, 1);
    assert.match(err, /script: Could not find bridge device xenbr7\n[^]*libxl_device_nic_add failed\.\n$/);
  });
}
