/** Two guests on one bridge: they see each other, and what they send arrives as it was. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

const macs = { one: '00:16:3e:00:00:01', two: '00:16:3e:00:00:02' };

describe('two domains on xenbr0', () => {
  const machine = new Machine();
  let one: GuestTerminal;
  let two: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const common = { kernel, ramdisk, cmdline: `console=hvc0 ${PLAIN_CONSOLE}`, memory: 128 };
    one = await machine.boot({ ...common, name: 'one', vif: [`mac=${macs.one},bridge=xenbr0`] });
    two = await machine.boot({ ...common, name: 'two', vif: [`mac=${macs.two}`] });
    await Promise.all([one.ready(), two.ready()]);
    await one.run('ifconfig eth0 192.168.77.1 up');
    await two.run('ifconfig eth0 192.168.77.2 up');
  });
  after(() => machine.close());

  it('lists their interfaces, connected', async () => {
    const listed = await until('the interface', async () => {
      const text = await machine.ok('network-list', 'one');
      return / 4 +-1 +\d+\/\d+ /.test(text) && text;
    });
    const [head, row] = listed.split('\n');
    assert.equal(head, 'Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       ');
    assert.match(
      row ?? '',
      /^0   0  00:16:3e:00:00:01     0     4     -1 +\d+\/\d+ +\/local\/domain\/0\/backend\/vif\/1\/0$/,
    );
  });

  it('lets them ping each other', async () => {
    assert.match(await one.run('ping -c 3 -W 10 192.168.77.2'), /3 packets received, 0% packet loss/);
    assert.match(await two.run('ping -c 2 -W 10 -s 8000 192.168.77.1'), /2 packets received, 0% packet loss/);
  });

  it('carries data both ways as it was', async () => {
    const pairs = [
      { from: one, to: two, address: '192.168.77.2' },
      { from: two, to: one, address: '192.168.77.1' },
    ];
    for (const { from, to, address } of pairs) {
      await from.run('head -c 8000000 /dev/urandom > /tmp/data');
      await to.run('nc -l -p 5000 -e md5sum & sleep 1');
      assert.equal(await from.run(`nc ${address} 5000 < /tmp/data`), await from.run('md5sum < /tmp/data'));
      await from.run('rm /tmp/data');
    }
  });

  it('takes an interface away and gives another one, while the guest runs', async () => {
    await machine.ok('network-detach', 'two', macs.two);
    assert.equal((await machine.ok('network-list', 'two')).split('\n').length, 2);
    assert.equal(await two.run('ls /sys/class/net'), 'lo');
    const wrong = await machine.xl('network-detach', 'two', '7');
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.err,
      /libxl__xs_read_mandatory: xenstore read failed: `\/libxl\/2\/device\/vif\/7': No such file or directory\nUnknown device 7\.\n$/,
    );
    await machine.ok('network-attach', 'two', 'mac=00:16:3e:00:00:99', 'bridge=xenbr0', 'ip=192.168.77.9');
    await until('the interface in the guest', async () => /eth0/.test(await two.run('ls /sys/class/net')));
    await two.run('ifconfig eth0 192.168.77.9 up');
    assert.match(await one.run('ping -c 2 -W 10 192.168.77.9'), / 0% packet loss/);
    // With ip=, nothing from another address comes out.
    await two.run('ifconfig eth0 192.168.77.10 up');
    assert.match((await one.try('ping -c 1 -W 2 192.168.77.10')).out, /100% packet loss/);
  });

  it('refuses a bridge that is not there, as xl does', async () => {
    const { code, err } = await machine.xl('network-attach', 'one', 'bridge=xenbr7');
    assert.equal(code, 1);
    assert.match(err, /script: Could not find bridge device xenbr7\n[^]*libxl_device_nic_add failed\.\n$/);
  });
});
