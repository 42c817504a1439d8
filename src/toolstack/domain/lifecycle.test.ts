import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DomainConfig, ShutdownAction, ShutdownReaction } from '../config/domain-config.ts';
import { configOf, DomainWorld, uuid } from '../testing/domain-world.ts';
import { type XenError } from '../xen-error.ts';
import { snapshotDisks } from '../devices/disk-layers.ts';
import { stopDomains } from './stop-domains.ts';

describe('creating a domain', () => {
  it('boots what its bootloader finds, and lets go of that when the domain is built', async () => {
    const world = new DomainWorld();
    let removed = 0;
    const disks = [{ pdev_path: import.meta.filename, vdev: 'xvda' }];
    await world.diskHost.create(import.meta.filename);
    world.bootloader = ({ domid, disk, args, cmdline }) => {
      assert.deepEqual([domid, disk, args, cmdline], [1, disks[0], ['-q'], 'quiet']);
      return Promise.resolve({ kernel: '/k', ramdisk: '/r', cmdline: 'ro quiet', remove: () => removed++ });
    };
    const config = configOf();
    config.b_info = { ...config.b_info, bootloader: 'pygrub', bootloader_args: ['-q'], cmdline: 'quiet' };
    config.devices = { disks };
    world.clock.endless = true; // nobody waits for long
    const { uuid } = await world.manager.create(config);
    const image = `/vm/${uuid}/image`;
    assert.deepEqual(
      ['kernel', 'ramdisk', 'cmdline'].map((name) => world.xs.read(`${image}/${name}`)),
      ['/k', '/r', 'ro quiet'],
    );
    assert.equal(removed, 1);
  });

  it('leaves the tree that libxl leaves for a PV domain', async () => {
    const world = new DomainWorld();
    const before = new Set(world.tree());
    await world.manager.create(configOf());
    const added = world.tree().filter((line) => !before.has(line));
    assert.deepEqual(added, recordedTree);
  });

  it('leaves it paused until it is unpaused', async () => {
    const world = new DomainWorld();
    const { domid } = await world.manager.create(configOf());
    assert.equal(world.guest().info().paused, true);
    world.manager.unpause(domid);
    assert.equal(world.guest().info().paused, false);
  });

  it('takes everything back when the kernel is missing, and says what libxl says', async () => {
    const world = new DomainWorld();
    const before = world.tree();
    await assert.rejects(world.manager.create(configOf('kernel="/nosuch/vmlinuz"')), (error: XenError) => {
      assert.deepEqual(error.lines, [
        "xc: error: panic: xg_dom_core.c:205: failed to open file '/nosuch/vmlinuz': No such file or directory: Internal error",
        'libxl: error: libxl_dom.c:646:libxl__build_pv: xc_dom_kernel_file failed: No such file or directory',
        'libxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain 1:cannot (re-)build domain: -3',
        'libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain 1:Non-existant domain',
        'libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain 1:Unable to destroy guest',
        'libxl: error: libxl_domain.c:1064:domain_destroy_cb: Domain 1:Destruction of domain failed',
      ]);
      return true;
    });
    assert.deepEqual(world.tree(), before);
    assert.deepEqual(world.manager.domains(), []);
  });

  it('refuses a name that is taken, domain 0 included', async () => {
    const world = new DomainWorld();
    await world.manager.create(configOf());
    const before = world.tree();
    for (const name of ['web', 'Domain-0']) {
      const config = configOf(`name="${name}"; uuid="11111111-aaaa-bbbb-cccc-000000000002"`);
      await assert.rejects(world.manager.create(config), (error: XenError) => {
        assert.match(error.lines[0] ?? '', new RegExp(`Domain with name "${name}" already exists\\.$`));
        assert.match(
          error.lines[1] ?? '',
          /libxl_create\.c:1296:initiate_domain_create: Domain \d:cannot make domain: -6$/,
        );
        return true;
      });
    }
    assert.deepEqual(world.tree(), before);
  });

  it('says which kinds of domain there are not yet', async () => {
    const world = new DomainWorld();
    await assert.rejects(world.manager.create(configOf('type="pvh"')), /type pvh are not supported yet/);
    assert.deepEqual(world.host.guests, []);
  });
});

describe("a clone's disks", () => {
  /** A domain with a disk, and what a clone of it is made from. */
  async function original(world: DomainWorld): Promise<{ clone: DomainConfig; images: string[] }> {
    world.clock.endless = true;
    await (await world.diskHost.create('/web.img')).truncate(65536);
    const config = configOf('disk=["vdev=xvda,backendtype=qdisk,target=/web.img"]');
    await world.manager.create(config);
    const snapshot = await snapshotDisks(world.images, config.devices.disks ?? []);
    const clone = configOf();
    clone.c_info = { ...clone.c_info, name: 'clone', uuid: '11111111-aaaa-bbbb-cccc-000000000002' };
    clone.devices = { disks: await snapshot.clone() };
    await snapshot.close();
    return { clone, images: (clone.devices.disks ?? []).map(({ pdev_path: path }) => String(path)) };
  }

  it('stay over reboots, and no longer than the domain', async () => {
    const world = new DomainWorld();
    const { clone, images } = await original(world);
    assert.deepEqual(images, ['/layers/1-xvda']);
    const { guest } = await world.start(clone);
    assert.equal(world.xs.read('/local/domain/0/backend/qdisk/2/51712/params'), 'aio:/layers/1-xvda');
    guest.shutDown(1);
    await world.settled(() => world.lines.at(-1) === 'Done. Rebooting now');
    world.clock.pass();
    await world.settled(() => world.guest().domid === 3 && world.guest().pauses === 0);
    assert.ok(world.diskHost.files.has('/layers/1-xvda'));
    await world.manager.destroy(3);
    assert.deepEqual([...world.diskHost.files.keys()], ['/web.img']);
  });

  it('go when the clone cannot be made, or gives them up', async () => {
    const world = new DomainWorld();
    const { clone } = await original(world);
    clone.c_info.name = 'web';
    await assert.rejects(world.manager.create(clone));
    assert.deepEqual([...world.diskHost.files.keys()], ['/web.img']);
    const other = new DomainWorld();
    const { domid } = await other.manager.create((await original(other)).clone);
    await other.manager.devices.detachDisk(domid, 'xvda', true);
    assert.deepEqual([...other.diskHost.files.keys()], ['/web.img']);
  });

  it('keep it, and what they read, from leaving the host', async () => {
    const world = new DomainWorld();
    const { clone } = await original(world);
    const made = await world.manager.create(clone);
    const web = world.manager.domain(1);
    assert.ok(web);
    assert.match(world.manager.devices.boundDisk(made, 'be saved') ?? '', /^its disk xvda is a clone's/);
    assert.equal(world.manager.devices.boundDisk(web, 'be saved'), undefined);
    assert.match(world.manager.devices.boundDisk(web, 'move') ?? '', /^its disk xvda is what clones read/);
    await world.manager.destroy(made.domid);
    assert.equal(world.manager.devices.boundDisk(web, 'move'), undefined);
  });
});

describe('the end of a domain', () => {
  const cases: readonly [string, number, ShutdownReaction, ShutdownAction, readonly string[], string[]][] = [
    ['poweroff destroys', 0, 'on_poweroff', 'destroy', ['Done. Exiting now'], []],
    ['a crash destroys', 3, 'on_crash', 'destroy', ['Done. Exiting now'], []],
    ['a crash may restart', 3, 'on_crash', 'restart', ['Done. Rebooting now'], ['2 web']],
    ['a preserved domain stays', 3, 'on_crash', 'preserve', ['Done. Exiting now'], ['1 web']],
    ['a watchdog acts as told', 4, 'on_watchdog', 'restart', ['Done. Rebooting now'], ['2 web']],
    ['a reboot restarts', 1, 'on_reboot', 'restart', ['Done. Rebooting now'], ['2 web']],
    [
      'a reason that nobody knows destroys',
      9,
      'on_crash',
      'preserve',
      ['Unknown shutdown reason code 9. Destroying domain.'],
      [],
    ],
    [
      'a soft reset, which PV domains cannot have, destroys',
      5,
      'on_soft_reset',
      'soft_reset',
      ['Action for shutdown reason code 5 is soft-reset'],
      [],
    ],
    ['a soft reset may be a restart', 5, 'on_soft_reset', 'restart', ['Done. Rebooting now'], ['2 web']],
    ['a core dump before the end', 3, 'on_crash', 'coredump_destroy', ['dumping core to /dump/web'], []],
    ['a core dump is tried first', 3, 'on_crash', 'coredump_restart', ['dumping core to /dump/web'], ['2 web']],
    [
      'the dead one is renamed',
      3,
      'on_crash',
      'restart_rename',
      ['Preserving domain 1 web with suffix-20231114T2213Z'],
      ['1 web-20231114T2213Z', '2 web'],
    ],
  ];
  for (const [name, reason, reaction, action, said, left] of cases) {
    it(name, async () => {
      const world = new DomainWorld();
      const config = configOf();
      config.reactions[reaction] = action;
      const { guest } = await world.start(config);
      guest.shutDown(reason);
      const names = (): string[] => world.manager.domains().map((domain) => `${domain.domid} ${domain.name}`);
      await world.settled(() => world.lines.some((line) => line.startsWith('Done.')) && names().join() === left.join());
      assert.equal(world.lines[1], `Domain 1 has shut down, reason code ${reason} 0x${reason}`);
      for (const line of said) assert(world.lines.includes(line), world.lines.join('\n'));
    });
  }

  it('writes the log that xl writes for a reboot and a poweroff', async () => {
    const world = new DomainWorld();
    const { guest, ended } = await world.start();
    guest.shutDown(1);
    await world.settled(() => world.manager.domain(2) !== undefined && world.guest().pauses === 0);
    await world.settled(() => world.lines.at(-1)?.startsWith('Waiting') === true);
    world.guest().shutDown(0);
    await ended;
    assert.deepEqual(world.lines, [
      'Waiting for domain web (domid 1) to die [pid 7]',
      'Domain 1 has shut down, reason code 1 0x1',
      'Action for shutdown reason code 1 is restart',
      'Domain 1 needs to be cleaned up: destroying the domain',
      'Done. Rebooting now',
      'Waiting for domain web (domid 2) to die [pid 7]',
      'Domain 2 has shut down, reason code 0 0x0',
      'Action for shutdown reason code 0 is destroy',
      'Domain 2 needs to be cleaned up: destroying the domain',
      'Done. Exiting now',
    ]);
  });

  it('goes on when a core cannot be written', async () => {
    const world = new DomainWorld();
    world.diskFull = true;
    const config = configOf();
    config.reactions.on_crash = 'coredump_destroy';
    const { guest, ended } = await world.start(config);
    guest.shutDown(3);
    await ended;
    assert.deepEqual(world.dumped, ['1 /dump/web']);
    assert.deepEqual(world.lines.slice(2), [
      'Action for shutdown reason code 3 is coredump-destroy',
      'dumping core to /dump/web',
      'no space',
      'core dump failed (rc=-3).',
      'Domain 1 needs to be cleaned up: destroying the domain',
      'Done. Exiting now',
    ]);
  });

  it('leaves nothing behind', async () => {
    const world = new DomainWorld();
    const before = world.tree();
    const { guest, ended } = await world.start();
    guest.shutDown(0);
    await ended;
    assert.deepEqual(world.tree(), before);
  });

  it('gives the successor after a reboot the same name and UUID, a new number, and a pause when it comes too soon', async () => {
    const world = new DomainWorld();
    const { guest } = await world.start();
    guest.shutDown(1);
    await world.settled(() => world.guest().domid === 2 && world.guest().pauses === 0);
    assert.deepEqual(world.guest().handle, guest.handle);
    assert.equal(world.xs.read(`/vm/${uuid}/name`), 'web');
    assert.deepEqual(world.clock.slept, [2000]);
  });

  it('leaves /vm/UUID to those who have the same UUID, whoever of them ends first', async () => {
    for (const order of [
      [1, 2],
      [2, 1],
    ]) {
      const world = new DomainWorld();
      const before = world.tree();
      await world.manager.create(configOf());
      await world.manager.create(configOf('name="twin"'));
      const [first = 0, second = 0] = order;
      await world.manager.destroy(first);
      assert.equal(world.xs.read(`/vm/${uuid}/uuid`), uuid);
      assert.equal(world.xs.read(`/local/domain/${second}/vm`), `/vm/${uuid}`);
      await world.manager.destroy(second);
      assert.deepEqual(world.tree(), before);
    }
  });

  it('leaves /vm/UUID to another with the same UUID when it is preserved under a new one', async () => {
    const world = new DomainWorld();
    await world.manager.create(configOf());
    await world.manager.create(configOf('name="twin"'));
    world.manager.preserve(1, 'web-dead');
    assert.equal(world.xs.read(`/vm/${uuid}/uuid`), uuid);
    assert.equal(world.xs.read('/local/domain/2/vm'), `/vm/${uuid}`);
    const own = world.manager.domain(1)?.uuid ?? '';
    assert.notEqual(own, uuid);
    assert.equal(world.xs.read('/local/domain/1/vm'), `/vm/${own}`);
    world.manager.preserve(2, 'twin-dead');
    assert.equal(world.xs.read(`/vm/${uuid}`), undefined);
  });

  it('ends the watch when somebody destroys the domain', async () => {
    const world = new DomainWorld();
    const { ended } = await world.start();
    await world.manager.destroy(1);
    await ended;
    assert.equal(world.lines.at(-1), 'Domain 1 has been destroyed.');
  });
});

describe('asking a guest to shut down', () => {
  it('waits until its kernel has taken the request', async () => {
    const world = new DomainWorld();
    world.clock.endless = true;
    await world.start();
    const asked = world.manager.request(1, 'poweroff');
    const guest = world.xenstored.client({ domid: 1, privileged: false });
    assert.equal(guest.read('control/shutdown'), 'poweroff');
    guest.write('control/shutdown', '');
    await asked;
  });

  it('gives up after a minute', async () => {
    const world = new DomainWorld();
    await world.start();
    await assert.rejects(world.manager.request(1, 'reboot'), (error: XenError) => {
      const line = "libxl: error: libxl_domain.c:854:pvcontrol_cb: guest didn't acknowledge control request: -9";
      assert.deepEqual(error.lines, [line]);
      return true;
    });
    assert.deepEqual(world.clock.slept, [60_000]);
  });

  it('is content when the domain ends instead', async () => {
    const world = new DomainWorld();
    world.clock.endless = true;
    const { guest } = await world.start();
    const asked = world.manager.request(1, 'poweroff');
    guest.shutDown(3);
    await asked;
  });
});

describe('the end of all domains', () => {
  /** Domain 1 shuts down when it is asked to, 2 does not, 3 is paused; the first is to be restarted, by its configuration. */
  async function stop(milliseconds: number): Promise<{ world: DomainWorld; said: string[] }> {
    const world = new DomainWorld();
    const first = configOf();
    first.reactions.on_poweroff = 'restart';
    const { ended } = await world.start(first);
    for (const name of ['deaf', 'paused']) {
      const config = configOf(`name="${name}"`);
      config.c_info.uuid = undefined;
      await world.start(config);
    }
    world.manager.pause(3);
    const guest = world.xenstored.client({ domid: 1, privileged: false });
    guest.watch('control/shutdown', () => {
      const alive = world.manager.domain(1)?.destruction === undefined;
      if (alive && guest.read('control/shutdown') === 'poweroff') world.host.guests[0]?.shutDown(0);
    });
    world.clock.endless = true;
    const said: string[] = [];
    const stopped = stopDomains(world.manager, { milliseconds, clock: world.clock, say: (line) => said.push(line) });
    if (milliseconds > 0) {
      await ended;
      world.clock.pass();
    }
    await stopped;
    await world.manager.close();
    return { world, said };
  }

  it('is asked of each, waited for, and done to those that are late', async () => {
    const { world, said } = await stop(60_000);
    assert.deepEqual(said, [
      'shutting down web (domain 1)',
      'shutting down deaf (domain 2)',
      'destroying paused (domain 3), which is paused',
      'deaf (domain 2) has not shut down in 60 s: destroying it',
    ]);
    assert.equal(world.host.guests.length, 3, 'none was made again');
    assert.deepEqual(world.manager.domains(), []);
    await assert.rejects(world.manager.create(configOf()), /the daemon is about to end/);
  });

  it('comes at once when there is no time', async () => {
    const { said } = await stop(0);
    assert.deepEqual(said, ['destroying web (domain 1)', 'destroying deaf (domain 2)', 'destroying paused (domain 3)']);
  });
});

describe('renaming', () => {
  it('changes both places of xenstore, and the name after a reboot', async () => {
    const world = new DomainWorld();
    const { guest } = await world.start();
    world.manager.rename(1, 'mail');
    assert.equal(world.xs.read('/local/domain/1/name'), 'mail');
    assert.equal(world.xs.read(`/vm/${uuid}/name`), 'mail');
    guest.shutDown(1);
    await world.settled(() => world.manager.domain(2)?.name === 'mail');
  });
});

const recordedTree = [
  '/libxl/1 = ""   (n0)',
  '/libxl/1/device = ""   (n0)',
  '/libxl/1/device/console = ""   (n0)',
  '/libxl/1/device/console/0 = ""   (n0)',
  '/libxl/1/device/console/0/backend = "/local/domain/0/backend/console/1/0"   (n0)',
  '/libxl/1/device/console/0/frontend = "/local/domain/1/console"   (n0)',
  '/libxl/1/device/console/0/frontend-id = "1"   (n0)',
  '/libxl/1/device/console/0/online = "1"   (n0)',
  '/libxl/1/device/console/0/protocol = "vt100"   (n0)',
  '/libxl/1/device/console/0/state = "1"   (n0)',
  '/libxl/1/dm-version = "qemu_xen"   (n0)',
  '/libxl/1/type = "pv"   (n0)',
  '/local/domain/0/backend = ""   (n0)',
  '/local/domain/0/backend/console = ""   (n0)',
  '/local/domain/0/backend/console/1 = ""   (n0)',
  '/local/domain/0/backend/console/1/0 = ""   (n0,r1)',
  '/local/domain/0/backend/console/1/0/frontend = "/local/domain/1/console"   (n0,r1)',
  '/local/domain/0/backend/console/1/0/frontend-id = "1"   (n0,r1)',
  '/local/domain/0/backend/console/1/0/online = "1"   (n0,r1)',
  '/local/domain/0/backend/console/1/0/protocol = "vt100"   (n0,r1)',
  '/local/domain/0/backend/console/1/0/state = "1"   (n0,r1)',
  '/local/domain/1 = ""   (n0,r1)',
  '/local/domain/1/attr = ""   (n1)',
  '/local/domain/1/console = ""   (n0,r1)',
  '/local/domain/1/console/backend = "/local/domain/0/backend/console/1/0"   (n0,r1)',
  '/local/domain/1/console/backend-id = "0"   (n1,r0)',
  '/local/domain/1/console/limit = "1048576"   (n0,r1)',
  '/local/domain/1/console/output = "pty"   (n0,r1)',
  '/local/domain/1/console/port = "2"   (n0,r1)',
  '/local/domain/1/console/ring-ref = "2"   (n0,r1)',
  '/local/domain/1/console/tty = ""   (n0,r1)',
  '/local/domain/1/console/type = "xenconsoled"   (n0,r1)',
  '/local/domain/1/control = ""   (n0,r1)',
  '/local/domain/1/control/feature-poweroff = ""   (n1)',
  '/local/domain/1/control/feature-reboot = ""   (n1)',
  '/local/domain/1/control/feature-suspend = ""   (n1)',
  '/local/domain/1/control/platform-feature-multiprocessor-suspend = "1"   (n0,r1)',
  '/local/domain/1/control/platform-feature-xs_reset_watches = "1"   (n0,r1)',
  '/local/domain/1/control/shutdown = ""   (n1)',
  '/local/domain/1/control/sysrq = ""   (n1)',
  '/local/domain/1/cpu = ""   (n0,r1)',
  '/local/domain/1/cpu/0 = ""   (n0,r1)',
  '/local/domain/1/cpu/0/availability = "online"   (n0,r1)',
  '/local/domain/1/cpu/1 = ""   (n0,r1)',
  '/local/domain/1/cpu/1/availability = "offline"   (n0,r1)',
  '/local/domain/1/data = ""   (n1)',
  '/local/domain/1/device = ""   (n0,r1)',
  '/local/domain/1/device/suspend = ""   (n0,r1)',
  '/local/domain/1/device/suspend/event-channel = ""   (n1)',
  '/local/domain/1/domid = "1"   (n0,r1)',
  '/local/domain/1/drivers = ""   (n1)',
  '/local/domain/1/error = ""   (n1)',
  '/local/domain/1/feature = ""   (n1)',
  '/local/domain/1/memory = ""   (n0,r1)',
  '/local/domain/1/memory/static-max = "65536"   (n0,r1)',
  '/local/domain/1/memory/target = "65536"   (n0,r1)',
  '/local/domain/1/memory/videoram = "0"   (n0,r1)',
  '/local/domain/1/name = "web"   (n0,r1)',
  '/local/domain/1/store = ""   (n0,r1)',
  '/local/domain/1/store/port = "1"   (n0,r1)',
  '/local/domain/1/store/ring-ref = "1"   (n0,r1)',
  `/local/domain/1/vm = "/vm/${uuid}"   (n0,r1)`,
  `/vm/${uuid} = ""   (n0,r1)`,
  `/vm/${uuid}/image = ""   (n0,r1)`,
  `/vm/${uuid}/image/cmdline = "quiet"   (n0,r1)`,
  `/vm/${uuid}/image/kernel = "/boot/vmlinuz"   (n0,r1)`,
  `/vm/${uuid}/image/ostype = "linux"   (n0,r1)`,
  `/vm/${uuid}/image/ramdisk = "/boot/initrd"   (n0,r1)`,
  `/vm/${uuid}/name = "web"   (n0,r1)`,
  `/vm/${uuid}/start_time = "1700000000.00"   (n0,r1)`,
  `/vm/${uuid}/uuid = "${uuid}"   (n0,r1)`,
];
