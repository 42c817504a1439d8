/** `xl network-*` on a host without processors: what they print and exit with, as recorded of Xen 4.17. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { XsMessage } from '../../abi/io/xs-wire.ts';
import { FakeSockets } from '../../dom0/testing/fake-sockets.ts';
import { ManualTimers } from '../../dom0/testing/manual-timers.ts';
import { XenstoreFrontend } from '../../dom0/testing/xenstore-frontend.ts';
import { encodeMessage } from '../../dom0/xenstore/wire.ts';
import { parseNetworkConfig } from '../config/network-config.ts';
import { TestDaemon } from '../testing/test-daemon.ts';

const test = new TestDaemon();
const { host } = test;
const xl = test.xl.bind(test);

before(async () => {
  const timers = new ManualTimers();
  const config = parseNetworkConfig('bridge = [ "name=xenbr0, nat=0" ]', 'network.cfg');
  await test.start({ network: { sockets: new FakeSockets(timers), timers, random32: () => 4, config } });
  const file = test.config('web');
  const created = await xl('create', file, 'vif=["mac=00:16:3e:01:02:03,bridge=xenbr0"]');
  assert.deepEqual(created, { out: '', err: `Parsing config from ${file}\n`, code: 0 });
});

after(() => test.close());

/** The guest's kernel writes into xenstore. The fake host has its ring in frame 1 and its port first. */
function guestWrites(path: string, value: string): void {
  const guest = host.guests[0] ?? assert.fail();
  const payload = new TextEncoder().encode(`${path}\0${value}`);
  new XenstoreFrontend(guest, 1, 1).send(encodeMessage({ type: XsMessage.XS_WRITE, reqId: 1, txId: 0, payload }));
}

const head = 'Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n';
const line = (devid: number, mac: string): string =>
  `${devid}   0  ${mac}     ${devid}     1     -1    -1/-1          /local/domain/0/backend/vif/1/${devid}\n`;
const first = line(0, '00:16:3e:01:02:03');

describe('xl network-list', () => {
  it('lists what a domain was made with', async () => {
    assert.deepEqual(await xl('network-list', 'web'), { out: head + first, err: '', code: 0 });
  });

  it('complains of domains that are none, and goes on', async () => {
    const err = 'nosuch is an invalid domain identifier\n';
    assert.deepEqual(await xl('network-list', 'nosuch', '99', '1'), { out: head + first, err, code: 0 });
  });
});

describe('xl network-attach and network-detach', () => {
  it('add an interface and take it away', async () => {
    const mac = '00:16:3e:01:02:99';
    assert.deepEqual(await xl('network-attach', 'web', `mac=${mac}`, 'bridge=xenbr0'), { out: '', err: '', code: 0 });
    assert.equal((await xl('network-list', 'web')).out, head + first + line(1, mac));
    assert.match(
      (await xl('list', '-l', 'web')).out,
      /"devid": 1,\s+"mac": "00:16:3e:01:02:99",\s+"bridge": "xenbr0",\s+"nictype": "vif"/,
    );
    guestWrites('device/vif/1/state', '6');
    assert.deepEqual(await xl('network-detach', 'web', mac), { out: '', err: '', code: 0 });
    assert.equal((await xl('network-list', 'web')).out, head + first);
    assert.doesNotMatch((await xl('list', '-l', 'web')).out, /02:99/);
  });

  it('say what is wrong in the words of libxl', async () => {
    assert.deepEqual(await xl('network-detach', 'web', '7'), {
      out: '',
      err: "libxl: error: libxl_xshelp.c:206:libxl__xs_read_mandatory: xenstore read failed: `/libxl/1/device/vif/7': No such file or directory\nUnknown device 7.\n",
      code: 1,
    });
    assert.deepEqual(await xl('network-detach', 'web', '00:16:3e:00:00:00'), {
      out: '',
      err: 'Unknown device 00:16:3e:00:00:00.\n',
      code: 1,
    });
    assert.deepEqual(await xl('network-attach', 'web', 'nosuchkey=1'), {
      out: '',
      err: "unrecognized argument `nosuchkey=1'\n",
      code: 1,
    });
    assert.deepEqual(await xl('network-attach', 'web', 'rate=fast'), {
      out: '',
      err: "command line: config parsing error in vif: invalid rate in `fast'\n",
      code: 1,
    });
    for (const command of ['network-attach', 'network-detach']) {
      assert.deepEqual(await xl(command, 'nosuchdomain', '0'), {
        out: '',
        err: 'nosuchdomain is an invalid domain identifier (rc=-6)\n',
        code: 1,
      });
    }
    const { err, code } = await xl('network-attach', 'web', 'bridge=xenbr7');
    assert.equal(code, 1);
    assert.match(
      err,
      /script: Could not find bridge device xenbr7\n[^\n]*Unable to add vif with id 1\nlibxl_device_nic_add failed\.\n$/,
    );
  });

  it('only print what they would add with -N', async () => {
    const { out, code } = await xl('-N', 'network-attach', 'web', 'mac=00:16:3e:01:02:77', 'rate=1MB/s');
    assert.equal(code, 0);
    assert.match(out, /^vif: \{\n {4}"mac": "00:16:3e:01:02:77",\n {4}"rate_bytes_per_interval": 50000,/);
  });
});
