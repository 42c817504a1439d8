import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { VbdDriver } from '../../dom0/block/index.ts';
import { BackendHost, FakeDevice } from '../../dom0/testing/backend-host.ts';
import { MemoryDisk } from '../../dom0/testing/memory-disk.ts';
import { parseDisk } from '../config/disk-spec.ts';
import type { JsonObject } from '../config/json.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { addDisk, addDisks, checkDisks, diskOf, listDisks, removeDisk } from './disks.ts';
import { devicesOf, removeDevice, type DeviceGlue } from './split-device.ts';

const directory = mkdtempSync(join(tmpdir(), 'disks-test-'));
const image = join(directory, 'disk.img');
writeFileSync(image, new Uint8Array(4096));
after(() => rmSync(directory, { recursive: true }));

const spec = (text: string): JsonObject => parseDisk([text], 'test');
const raw = spec(`format=raw,vdev=xvda,access=rw,target=${image}`);

class World {
  readonly disks: MemoryDisk[] = [];
  refusal: string | undefined;
  readonly host: BackendHost<unknown>;
  readonly glue: DeviceGlue;
  /** Waits that are under way; a call ends it. */
  readonly waits: (() => void)[] = [];

  constructor(type: 'vbd' | 'qdisk' = 'vbd') {
    this.host = new BackendHost(
      new VbdDriver(type, {
        openDisk: () => {
          if (this.refusal !== undefined) return Promise.reject(new Error(this.refusal));
          const disk = new MemoryDisk(8);
          this.disks.push(disk);
          return Promise.resolve(disk);
        },
        scheduler: { defer: (task) => this.host.scheduler.defer(task) },
      }) as never,
    );
    this.host.addDomain(1);
    this.glue = {
      xs: this.host.xs,
      clock: {
        now: () => 0,
        sleep: (_, signal) =>
          new Promise((resolve, reject) => {
            this.waits.push(resolve);
            signal?.addEventListener('abort', () => reject(new Error('over')));
          }),
      },
    };
  }

  /** Goes on until the task is over; `late`: time passes as well. */
  async over<T>(task: Promise<T>, late = false): Promise<T> {
    const end = { reached: false };
    const done = task.finally(() => (end.reached = true));
    done.catch(() => undefined);
    for (let i = 0; i < 20 && !end.reached; i++) {
      await this.host.settle();
      if (late) for (const pass of this.waits.splice(0)) pass();
    }
    return done;
  }

  tree(path: string): string[] {
    const { xs } = this.host;
    return (xs.ls(path) ?? []).flatMap((name) => {
      const at = `${path}/${name}`;
      const below = this.tree(at);
      return below.length > 0 ? below : [`${at} = "${xs.read(at) ?? ''}" (${xs.getPerms(at) ?? ''})`];
    });
  }
}

const lines = (expected: readonly string[]) => (error: unknown) => {
  assert(error instanceof LibxlError);
  assert.deepEqual(error.lines, expected);
  return true;
};

describe('a disk', () => {
  it('has the nodes that libxl writes, and those of the backend', async () => {
    const w = new World();
    await w.over(addDisk(w.glue, 1, raw));
    const back = '/local/domain/0/backend/vbd/1/51712';
    assert.deepEqual(w.tree(back), [
      `${back}/bootable = "1" (n0,r1)`,
      `${back}/dev = "xvda" (n0,r1)`,
      `${back}/device-type = "disk" (n0,r1)`,
      `${back}/discard-enable = "1" (n0,r1)`,
      `${back}/feature-max-indirect-segments = "256" (n0,r1)`,
      `${back}/frontend = "/local/domain/1/device/vbd/51712" (n0,r1)`,
      `${back}/frontend-id = "1" (n0,r1)`,
      `${back}/hotplug-status = "connected" (n0,r1)`,
      `${back}/max-ring-page-order = "4" (n0,r1)`,
      `${back}/mode = "w" (n0,r1)`,
      `${back}/multi-queue-max-queues = "4" (n0,r1)`,
      `${back}/online = "1" (n0,r1)`,
      `${back}/params = "${image}" (n0,r1)`,
      `${back}/physical-device-path = "${image}" (n0,r1)`,
      `${back}/removable = "0" (n0,r1)`,
      `${back}/script = "/etc/xen/scripts/block" (n0,r1)`,
      `${back}/specification = "xen" (n0,r1)`,
      `${back}/state = "2" (n0,r1)`,
      `${back}/type = "phy" (n0,r1)`,
    ]);
    const front = '/local/domain/1/device/vbd/51712';
    assert.deepEqual(w.tree(front), [
      `${front}/backend = "${back}" (n1,r0)`,
      `${front}/backend-id = "0" (n1,r0)`,
      `${front}/device-type = "disk" (n1,r0)`,
      `${front}/protocol = "x86_64-abi" (n1,r0)`,
      `${front}/state = "1" (n1,r0)`,
      `${front}/trusted = "1" (n1,r0)`,
      `${front}/virtual-device = "51712" (n1,r0)`,
    ]);
    const kept = '/libxl/1/device/vbd/51712';
    assert.deepEqual(
      w.tree(kept).map((line) => line.slice(kept.length + 1).replace(/ = .*/, '')),
      'backend bootable dev device-type discard-enable frontend frontend-id mode online params removable script specification state type'.split(
        ' ',
      ),
    );
    assert.deepEqual(listDisks(w.glue, 1), [
      { devid: 51712, backendDomid: 0, frontendId: 1, state: 1, eventChannel: -1, ringRef: -1, backend: back },
    ]);
  });

  it('of another format has the nodes of a qdisk', async () => {
    const w = new World('qdisk');
    await w.over(addDisk(w.glue, 1, spec(`format=qcow2,vdev=xvdc,access=ro,target=${image}`)));
    const back = '/local/domain/0/backend/qdisk/1/51744';
    const read = (key: string): string | undefined => w.host.xs.read(`${back}/${key}`);
    assert.deepEqual(['params', 'type', 'mode', 'script', 'state'].map(read), [
      `qcow2:${image}`,
      'qdisk',
      'r',
      undefined,
      '2',
    ]);
    assert.equal(w.host.xs.read('/libxl/1/device/vbd/51744/backend'), back);
  });

  it('is there once only', async () => {
    const w = new World();
    await w.over(addDisk(w.glue, 1, raw));
    await assert.rejects(
      w.over(addDisk(w.glue, 1, raw)),
      lines([
        'libxl: error: libxl_disk.c:343:device_disk_add: Domain 1:device already exists in xenstore',
        'libxl: error: libxl_device.c:1486:device_addrm_aocomplete: unable to add device',
      ]),
    );
  });

  it('that cannot be opened says why, and stays until it is taken away', async () => {
    const w = new World();
    w.refusal = 'disk.img is in use';
    await assert.rejects(
      w.over(addDisk(w.glue, 1, raw)),
      lines([
        'libxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: disk.img is in use',
        'libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain 1:Unable to add vbd with id 51712',
      ]),
    );
    assert.equal(listDisks(w.glue, 1).length, 1);
  });

  it('goes when the guest lets go of it', async () => {
    const w = new World();
    await w.over(addDisk(w.glue, 1, raw));
    const removal = removeDisk(w.glue, diskOf(w.glue, 1, 'xvda'), 'no');
    await w.host.settle();
    const device = new FakeDevice(w.host.xs, 'vbd', 1, 51712);
    assert.deepEqual([device.backState, device.read('online')], ['Closing', '0']);
    assert.equal(w.disks[0]?.closed, false);
    device.setState('Closed');
    await w.over(removal);
    assert.equal(w.disks[0]?.closed, true);
    assert.deepEqual([...w.tree('/libxl/1'), ...w.tree('/local/domain/0/backend')], []);
    assert.equal(w.host.xs.exists('/local/domain/1/device/vbd'), false);
  });

  it('stays when the guest does not let go of it in time', async () => {
    const w = new World();
    await w.over(addDisk(w.glue, 1, raw));
    await assert.rejects(
      w.over(removeDisk(w.glue, diskOf(w.glue, 1, 'xvda'), 'no'), true),
      lines([
        'libxl: error: libxl_device.c:1181:device_backend_callback: Domain 1:unable to remove device with path /local/domain/0/backend/vbd/1/51712',
        'libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain 1:Unable to remove vbd with id 51712',
      ]),
    );
    assert.equal(listDisks(w.glue, 1).length, 1);
  });

  it('is taken away by force, at once or after a while, and closed before that is over', async () => {
    for (const force of ['yes', 'auto'] as const) {
      const w = new World();
      await w.over(addDisk(w.glue, 1, raw));
      const [device] = devicesOf(w.host.xs, 1);
      assert(device);
      await w.over(removeDevice(w.glue, device, force), force === 'auto');
      assert.equal(w.disks[0]?.closed, true);
      assert.deepEqual(devicesOf(w.host.xs, 1), []);
    }
  });

  it('that the domain does not have is not found', () => {
    const w = new World();
    assert.throws(
      () => diskOf(w.glue, 1, 'xvdq'),
      lines([
        'libxl: error: libxl_disk.c:516:libxl__disk_from_xenstore: disk /libxl/1/device/vbd/268439552 does not exist (no backend path',
      ]),
    );
    assert.throws(() => diskOf(w.glue, 1, 'zzz'), lines([]));
  });
});

describe('the disks of a new domain', () => {
  it('are refused before it is built when there is no such image', () => {
    assert.throws(
      () => checkDisks(19, [spec('/nosuch/disk.img,raw,xvda,w')]),
      lines([
        'libxl: error: libxl_device.c:455:libxl__device_disk_set_backend: Disk vdev=xvda failed to stat: /nosuch/disk.img: No such file or directory',
        'libxl: error: libxl_create.c:1318:initiate_domain_create: Domain 19:Unable to set disk defaults for disk 0',
      ]),
    );
  });

  it('are refused when somebody else is to serve them', () => {
    assert.throws(
      () => checkDisks(21, [raw, spec(`vdev=xvdb,backend=nosuch,target=${image}`)]),
      lines([
        'libxl: error: libxl_create.c:1318:initiate_domain_create: Domain 21:Unable to set disk defaults for disk 1',
      ]),
    );
  });

  it('are refused when the name is none', async () => {
    const w = new World();
    const what = 'Domain 47:Invalid or unsupported virtual disk identifier zzz';
    await assert.rejects(
      w.over(addDisks(w.glue, 47, [spec(`${image},raw,zzz,w`)])),
      lines([
        `libxl: error: libxl_disk.c:214:libxl__device_from_disk: ${what}`,
        `libxl: error: libxl_disk.c:335:device_disk_add: ${what}`,
        'libxl: error: libxl_create.c:1672:domcreate_launch_dm: Domain 47:unable to add disk devices',
      ]),
    );
  });

  it('need a backend that suits them', () => {
    const cases: Readonly<Record<string, RegExp | 'phy' | 'qdisk'>> = {
      [`vdev=xvda,format=empty,target=${image}`]: /is empty but not cdrom/,
      [`vdev=xvda,backendtype=tap,target=${image}`]: /no suitable backend for disk xvda/,
      [`vdev=xvda,backendtype=phy,format=qcow2,target=${image}`]: /no suitable backend for disk xvda/,
      [`vdev=xvda,script=block-nbd,backendtype=qdisk,target=x`]: /no suitable backend for disk xvda/,
      [`vdev=xvda,specification=virtio,target=${image}`]: /no suitable backend for disk xvda/,
      [`vdev=xvda,target=${directory}`]: 'qdisk',
      [`vdev=xvda,devtype=cdrom,format=empty`]: 'phy',
      [`vdev=xvda,colo,colo-host=h,colo-port=1,colo-export=e,target=${image}`]: 'qdisk',
    };
    for (const [text, expected] of Object.entries(cases)) {
      if (expected instanceof RegExp) assert.throws(() => checkDisks(1, [spec(text)]), expected, text);
      else assert.doesNotThrow(() => checkDisks(1, [spec(text)]), text);
    }
  });
});
