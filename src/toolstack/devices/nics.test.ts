import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultBridge, VifWorld } from '../testing/vif-world.ts';
import { parseNic } from '../config/nic-spec.ts';
import type { JsonObject } from '../config/json.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { addNic, addNics, checkNics, listNics, nicOf } from './nics.ts';
import { removeDevice } from './split-device.ts';

const spec = (text: string, devid = 0): JsonObject =>
  parseNic(text, devid, { source: 'test', report: (line) => assert.fail(line) }).nic;

const lines = (expected: readonly string[]) => (error: unknown) => {
  assert(error instanceof LibxlError);
  assert.deepEqual(error.lines, expected);
  return true;
};

describe('a network interface', () => {
  it('has the nodes that libxl writes, and those of the backend', async () => {
    const w = new VifWorld();
    await w.over(addNic(w.glue, 1, spec('mac=00:16:3e:01:02:03,bridge=xenbr0')));
    // As recorded of Xen 4.17 between `xl create -p` and `xl unpause`.
    const back = '/local/domain/0/backend/vif/1/0';
    assert.deepEqual(w.tree(back), [
      `${back}/bridge = "xenbr0" (n0,r1)`,
      `${back}/feature-ctrl-ring = "1" (n0,r1)`,
      `${back}/feature-dynamic-multicast-control = "1" (n0,r1)`,
      `${back}/feature-gso-tcpv4 = "1" (n0,r1)`,
      `${back}/feature-gso-tcpv6 = "1" (n0,r1)`,
      `${back}/feature-ipv6-csum-offload = "1" (n0,r1)`,
      `${back}/feature-multicast-control = "1" (n0,r1)`,
      `${back}/feature-rx-copy = "1" (n0,r1)`,
      `${back}/feature-rx-flip = "0" (n0,r1)`,
      `${back}/feature-sg = "1" (n0,r1)`,
      `${back}/feature-split-event-channels = "1" (n0,r1)`,
      `${back}/feature-xdp-headroom = "1" (n0,r1)`,
      `${back}/frontend = "/local/domain/1/device/vif/0" (n0,r1)`,
      `${back}/frontend-id = "1" (n0,r1)`,
      `${back}/handle = "0" (n0,r1)`,
      `${back}/hotplug-status = "connected" (n0,r1)`,
      `${back}/mac = "00:16:3e:01:02:03" (n0,r1)`,
      `${back}/multi-queue-max-queues = "2" (n0,r1)`,
      `${back}/online = "1" (n0,r1)`,
      `${back}/script = "/etc/xen/scripts/vif-bridge" (n0,r1)`,
      `${back}/state = "2" (n0,r1)`,
      `${back}/type = "vif" (n0,r1)`,
    ]);
    const front = '/local/domain/1/device/vif/0';
    assert.deepEqual(w.tree(front), [
      `${front}/backend = "${back}" (n1,r0)`,
      `${front}/backend-id = "0" (n1,r0)`,
      `${front}/handle = "0" (n1,r0)`,
      `${front}/mac = "00:16:3e:01:02:03" (n1,r0)`,
      `${front}/mtu = "1500" (n0,r1)`,
      `${front}/state = "1" (n1,r0)`,
      `${front}/trusted = "1" (n1,r0)`,
    ]);
    const kept = '/libxl/1/device/vif/0';
    assert.deepEqual(
      w.tree(kept).map((line) => line.slice(kept.length + 1)),
      [
        `backend = "${back}" (n0)`,
        'bridge = "xenbr0" (n0)',
        `frontend = "${front}" (n0)`,
        'frontend-id = "1" (n0)',
        'handle = "0" (n0)',
        'hotplug-status = "" (n0)',
        'mac = "00:16:3e:01:02:03" (n0)',
        'online = "1" (n0)',
        'script = "/etc/xen/scripts/vif-bridge" (n0)',
        'state = "1" (n0)',
        'type = "vif" (n0)',
      ],
    );
    assert.deepEqual(w.plugged, ['vif1.0']);
  });

  it('has what its configuration says', async () => {
    const w = new VifWorld();
    const text =
      'mac=00:16:3e:01:02:03,bridge=xenbr0,vifname=web0,ip=10.0.0.1,gatewaydev=eth1,rate=1MB/s@20ms,mtu=9000,untrusted,script=vif-bridge';
    await w.over(addNic(w.glue, 1, spec(text)));
    const read = (key: string): string | undefined => w.host.xs.read(`/local/domain/0/backend/vif/1/0/${key}`);
    assert.deepEqual(['vifname', 'ip', 'gatewaydev', 'rate', 'mtu'].map(read), [
      'web0',
      '10.0.0.1',
      'eth1',
      '20000,20000',
      '9000',
    ]);
    const front = '/local/domain/1/device/vif/0';
    assert.deepEqual([w.host.xs.read(`${front}/mtu`), w.host.xs.read(`${front}/trusted`)], ['9000', '0']);
    assert.deepEqual(w.plugged, ['web0']);
  });

  it('gets an address of Xen’s, and keeps it with the number that it got', async () => {
    const w = new VifWorld();
    const first = await w.over(addNic(w.glue, 1, {}));
    const second = await w.over(addNic(w.glue, 1, { mac: '00:00:00:00:00:00' }));
    assert.match(String(first['mac']), /^00:16:3e:[0-7][0-9a-f]:[0-9a-f]{2}:[0-9a-f]{2}$/);
    assert.notEqual(second['mac'], first['mac']);
    assert.deepEqual([first['devid'], first['nictype'], second['devid']], [0, 'vif', 1]);
    assert.deepEqual(
      listNics(w.glue, 1).map(({ devid, mac, state }) => ({ devid, mac, state })),
      [
        { devid: 0, mac: first['mac'], state: 1 },
        { devid: 1, mac: second['mac'], state: 1 },
      ],
    );
  });

  it('is there once only', async () => {
    const w = new VifWorld();
    await w.over(addNic(w.glue, 1, spec('', 3)));
    await assert.rejects(
      w.over(addNic(w.glue, 1, spec('', 3))),
      lines([
        'libxl: error: libxl_device.c:libxl__device_add_async: Domain 1:device already exists in xenstore',
        'libxl: error: libxl_device.c:1486:device_addrm_aocomplete: unable to add device',
      ]),
    );
  });

  it('that has no bridge says so', async () => {
    const w = new VifWorld();
    await assert.rejects(
      w.over(addNics(w.glue, 55, [spec('bridge=xenbr7')])),
      lines([
        'libxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: Could not find bridge device xenbr7',
        'libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain 55:Unable to add vif with id 0',
        'libxl: error: libxl_create.c:1921:domcreate_attach_devices: Domain 55:unable to add vif devices',
      ]),
    );
  });

  it('is found by number and by address, and taken away', async () => {
    const w = new VifWorld();
    await w.over(addNic(w.glue, 1, spec('mac=00:16:3E:aa:BB:03', 2)));
    const device = { domid: 1, devid: 2, kind: 'vif', backendKind: 'vif' };
    assert.deepEqual([nicOf(w.glue, 1, '2'), nicOf(w.glue, 1, '00:16:3e:AA:bb:03')], [device, device]);
    assert.throws(
      () => nicOf(w.glue, 1, '7'),
      lines([
        "libxl: error: libxl_xshelp.c:206:libxl__xs_read_mandatory: xenstore read failed: `/libxl/1/device/vif/7': No such file or directory",
      ]),
    );
    assert.throws(() => nicOf(w.glue, 1, '00:16:3e:aa:bb:04'), lines([]));
    await w.over(removeDevice(w.glue, device, 'yes'));
    assert.deepEqual([listNics(w.glue, 1), w.tree('/libxl/1'), w.unplugged], [[], [], ['vif1.2']]);
  });
});

describe('the interfaces of a new domain', () => {
  it('have numbers and addresses before it is built', () => {
    const checked = checkNics(5, [{ devid: 4 }, {}, { mac: '00:16:3e:00:00:09', bridge: defaultBridge }]);
    assert.deepEqual(
      checked.map(({ devid }) => devid),
      [4, 5, 6],
    );
    assert.equal(checked[2]?.['mac'], '00:16:3e:00:00:09');
    assert.ok(checked.every(({ nictype }) => nictype === 'vif'));
  });

  it('are refused when somebody else is to serve them, or when they are not for PV domains', () => {
    assert.throws(
      () => checkNics(27, [spec('backend=nosuch')]),
      lines([
        'libxl: error: libxl_nic.c:520:libxl__device_nic_set_devids: Domain 27:Unable to set nic defaults for nic 0',
      ]),
    );
    assert.throws(
      () => checkNics(27, [{}, spec('type=ioemu', 1)]),
      /trying to create PV guest with an emulated interface/,
    );
    assert.doesNotThrow(() => checkNics(27, [spec('backend=Domain-0,model=e1000,type=vif')]));
  });
});
