/** `xl block-*` and `xl cd-*` on a host without processors: what they print and exit with, as recorded of Xen 4.17. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { FakeDiskHost } from '../testing/fake-disk-host.ts';
import { TestDaemon } from '../testing/test-daemon.ts';

const test = new TestDaemon();
const image = test.path('small.img');
/** One writer at a time has an image. */
const another = test.path('another.img');
const diskHost = new FakeDiskHost();
const { files } = diskHost;
const xl = test.xl.bind(test);

before(async () => {
  for (const path of [image, another]) writeFileSync(path, new Uint8Array(4096));
  await test.start({ diskHost });
  assert.equal((await xl('create', '-q', test.config('web'), `disk=["${image},raw,xvda,w"]`)).code, 0);
});

after(async () => {
  await test.close();
  assert.ok(files.every(({ closed }) => closed));
});

const head = 'Vdev  BE  handle state evt-ch ring-ref BE-path                       \n';
const line = (devid: number, kind = 'vbd'): string =>
  `${devid} 0   1      1     -1     -1       /local/domain/0/backend/${kind}/1/${devid}\n`;

describe('xl block-list', () => {
  it('lists what a domain was made with', async () => {
    assert.deepEqual(await xl('block-list', 'web'), { out: head + line(51712), err: '', code: 0 });
    assert.equal(files[0]?.path, image);
  });

  it('complains of domains that are none, and goes on', async () => {
    const err = 'nosuch is an invalid domain identifier\n';
    assert.deepEqual(await xl('block-list', 'nosuch', '99', '1'), { out: head + line(51712), err, code: 0 });
  });
});

describe('xl block-attach and block-detach', () => {
  it('add a disk to a domain and take it away', async () => {
    const attached = await xl('block-attach', 'web', `backendtype=qdisk,vdev=xvdc,access=rw,target=${another}`);
    assert.deepEqual(attached, { out: '', err: '', code: 0 });
    assert.equal((await xl('block-list', '1')).out, head + line(51712) + line(51744, 'qdisk'));
    const { out } = await xl('list', '-l', 'web');
    assert.match(out, /"vdev": "xvdc",\s+"backend": "qdisk"/);
    assert.deepEqual(await xl('block-detach', '-f', 'web', 'xvdc'), { out: '', err: '', code: 0 });
    assert.equal((await xl('block-list', '1')).out, head + line(51712));
    assert.doesNotMatch((await xl('list', '-l', 'web')).out, /xvdc/);
    assert.equal(files.at(-1)?.closed, true);
  });

  it('take a disk in several arguments', async () => {
    assert.equal((await xl('block-attach', '1', `phy:${another}`, 'xvdd', 'r')).code, 0);
    assert.equal(files.at(-1)?.readOnly, true);
    assert.equal((await xl('block-detach', '1', '0xca30', '--force')).code, 0);
  });

  it('say what is wrong in the words of libxl', async () => {
    const cases: readonly { argv: string[]; err: string; out?: string }[] = [
      {
        argv: ['block-attach', 'nosuch', 'phy:/dev/loop0', 'xvdb', 'w'],
        err: 'nosuch is an invalid domain identifier\n',
      },
      {
        argv: ['block-attach', 'web', 'vdev=xvdb,colour=red'],
        err: "command line: config parsing error in disk specification: unknown parameter: near `colour=r' in `vdev=xvdb,colour=red'\n",
      },
      {
        argv: ['block-attach', 'web', `vdev=xvda,target=${image}`],
        err: [
          'libxl: error: libxl_disk.c:343:device_disk_add: Domain 1:device already exists in xenstore',
          'libxl: error: libxl_device.c:1486:device_addrm_aocomplete: unable to add device',
          'libxl_device_disk_add failed.\n',
        ].join('\n'),
      },
      {
        argv: ['block-detach', 'web', 'xvdq'],
        err: [
          'libxl: error: libxl_disk.c:516:libxl__disk_from_xenstore: disk /libxl/1/device/vbd/268439552 does not exist (no backend path',
          'Error: Device xvdq not connected.\n',
        ].join('\n'),
      },
      { argv: ['block-detach', 'nosuch', 'xvda'], err: 'nosuch is an invalid domain identifier (rc=-6)\n' },
    ];
    for (const { argv, err, out = '' } of cases) assert.deepEqual(await xl(...argv), { out, err, code: 1 });
  });

  it('tell why a disk cannot be opened, and leave it to be detached', async () => {
    diskHost.refusal = 'disk.img is used by another program';
    const { err, code } = await xl('block-attach', 'web', `vdev=xvdb,target=${another}`);
    diskHost.refusal = undefined;
    assert.equal(
      err,
      [
        'libxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: disk.img is used by another program',
        'libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain 1:Unable to add vbd with id 51728',
        'libxl_device_disk_add failed.\n',
      ].join('\n'),
    );
    assert.equal(code, 1);
    assert.equal((await xl('block-detach', '-f', 'web', 'xvdb')).code, 0);
  });

  it('only say what they would do, with -N', async () => {
    const { out, code } = await xl('-N', 'block-attach', 'web', `vdev=xvdb,target=${image}`);
    assert.match(out, /^disk: \{\n {4}"pdev_path": ".*small\.img",\n {4}"vdev": "xvdb"/);
    assert.equal(code, 0);
  });
});

describe('xl cd-insert and cd-eject', () => {
  it('say what libxl says of a PV domain, and of files that are not there', async () => {
    assert.deepEqual(await xl('cd-insert', 'web', 'xvda', '/x.iso'), {
      out: '',
      err: 'Cannot stat file: /x.iso\n',
      code: 1,
    });
    const err = 'libxl: error: libxl_disk.c:libxl_cdrom_insert: Domain 1:cdrom-insert requires an HVM domain\n';
    assert.deepEqual(await xl('cd-insert', 'web', 'xvda', image), { out: '', err, code: 1 });
    assert.deepEqual(await xl('cd-eject', 'web', 'xvda'), { out: '', err, code: 1 });
  });

  it('print their help without arguments', async () => {
    const { out, err, code } = await xl('cd-eject', 'nosuch');
    assert.match(out, /^Usage: xl \[-vtTfN\] cd-eject <Domain> <VirtualDevice>\n/);
    assert.deepEqual([err, code], ["'xl cd-eject' requires at least 2 arguments.\n\n", 2]);
  });
});

describe('xl create with disks', () => {
  it('takes everything back when one cannot be had', async () => {
    const { err, code } = await xl('create', test.path('web.cfg'), 'name="two"', `disk=["${image},raw,zzz,w"]`);
    const what = 'Domain 2:Invalid or unsupported virtual disk identifier zzz';
    assert.deepEqual(err.split('\n').slice(1), [
      `libxl: error: libxl_disk.c:214:libxl__device_from_disk: ${what}`,
      `libxl: error: libxl_disk.c:335:device_disk_add: ${what}`,
      'libxl: error: libxl_create.c:1672:domcreate_launch_dm: Domain 2:unable to add disk devices',
      'libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain 2:Non-existant domain',
      'libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain 2:Unable to destroy guest',
      'libxl: error: libxl_domain.c:1064:domain_destroy_cb: Domain 2:Destruction of domain failed',
      '',
    ]);
    assert.equal(code, 3);
    assert.equal((await xl('domid', 'two')).code, 1);
  });

  it('closes the disks of a domain that is destroyed', async () => {
    const config = test.path('web.cfg');
    assert.equal((await xl('create', '-q', config, 'name="two"', `disk=["${another},raw,xvda,w"]`)).code, 0);
    const opened = files.at(-1);
    assert.equal((await xl('destroy', 'two')).code, 0);
    assert.equal(opened?.closed, true);
  });
});
