/** How each command of the model is given to a host, and what the model is like then. */
import { existsSync } from 'node:fs';
import { PLAIN_CONSOLE, type GuestFiles } from '../../../toolstack/guest-files/guest-files.ts';
import { makeRaw } from '../disk-images.ts';
import { until, type Machine } from '../machine.ts';
import { ask } from './agreement.ts';
import type { LivingGuest } from './living-guest.ts';
import { createdModel, type End, type GuestModel, type Model } from './model.ts';

export class World {
  readonly machine: Machine;
  readonly model: Model;
  readonly files: Pick<GuestFiles, 'kernel' | 'ramdisk'>;
  readonly living = new Map<string, LivingGuest>();

  constructor(machine: Machine, model: Model, files: Pick<GuestFiles, 'kernel' | 'ramdisk'>) {
    this.machine = machine;
    this.model = model;
    this.files = files;
  }

  alive(key: string): LivingGuest {
    const guest = this.living.get(key);
    if (guest === undefined) throw new Error(`${key} does not live`);
    return guest;
  }

  /** By number, since names change. */
  async xl(command: string, key: string, ...words: readonly string[]): Promise<void> {
    await this.machine.ok(command, `${this.alive(key).domid}`, ...words);
  }

  /** An image for each disk of each guest. */
  disk(key: string, vdev: string): string {
    const path = this.machine.path(`${key}-${vdev}.img`);
    if (!existsSync(path)) makeRaw(path, 8);
    return `format=raw,vdev=${vdev},access=rw,target=${path}`;
  }

  /** At the console of a domain that has just begun. */
  async meet(key: string): Promise<void> {
    const { name } = this.model.guest(key);
    const state = await this.machine.state(name);
    if (state === undefined) throw new Error(`${name} is not there`);
    const terminal = this.machine.console(name);
    await terminal.ready();
    const guest = { domid: state.domid, terminal, boot: '' };
    this.living.set(key, { ...guest, boot: (await ask(guest)).boot });
  }

  lose(key: string): void {
    this.living.get(key)?.terminal.type('\x1d');
    this.living.delete(key);
  }
}

type Carry = (world: World, key: string, words: readonly string[]) => Promise<void>;

/** Through xl, or by its own shell. */
const endings: Readonly<Record<End, { xl(world: World, key: string): Promise<void>; readonly typed: string }>> = {
  poweroff: { xl: (world, key) => world.xl('shutdown', key), typed: 'poweroff' },
  reboot: { xl: (world, key) => world.xl('reboot', key), typed: 'reboot' },
  crash: {
    xl: async (world, key) => {
      // Debian's kernels do not let a key crash them (CONFIG_MAGIC_SYSRQ_DEFAULT_ENABLE is 0x1b6, without 8).
      await world.alive(key).terminal.run('echo 1 > /proc/sys/kernel/sysrq');
      await world.xl('sysrq', key, 'c');
    },
    typed: 'echo c > /proc/sysrq-trigger',
  },
};

function ending(end: End): Carry {
  return async (world, key, [way]) => {
    const guest = world.model.guest(key);
    const { domid, terminal } = world.alive(key);
    if (way === 'guest') terminal.type(`${endings[end].typed}\n`);
    else await endings[end].xl(world, key);
    await ended(world, key, guest, domid, end);
  };
}

async function ended(world: World, key: string, guest: GuestModel, domid: number, end: End): Promise<void> {
  const { machine, model } = world;
  const state = async (): Promise<string | undefined> =>
    (await machine.list()).find((domain) => domain.domid === domid)?.state;
  const { name } = guest;
  const successor = (): Promise<unknown> =>
    until(`${name} in a new domain`, async () => {
      const domain = await machine.state(name);
      // While it is made it is paused, and has no console yet.
      return (domain?.domid ?? 0) > domid && domain?.state.includes('p') === false;
    });
  switch (guest.policy[end]) {
    case 'destroy':
      await until(`the end of ${name}`, async () => (await state()) === undefined);
      model.guests.delete(key);
      return world.lose(key);
    case 'preserve':
      await until(`the end of ${name}`, async () => (await state())?.includes('s'));
      model.guests.delete(key);
      model.dead.push({ key, name: new RegExp(`^${name}$`) });
      return world.lose(key);
    case 'restart':
      await successor();
      world.lose(key);
      return world.meet(key);
    case 'rename-restart':
      model.dead.push({ key, name: new RegExp(`^${name}-\\d{8}T\\d{4}Z$`) });
      if (guest.disks.size > 0) {
        // The dead one has its disks still, so there can be no successor, as on Xen.
        await until(`the end of ${name}`, async () => (await machine.state(name)) === undefined);
        model.guests.delete(key);
        return world.lose(key);
      }
      await successor();
      world.lose(key);
      return world.meet(key);
  }
}

export const commands: Readonly<Record<string, Carry>> = {
  create: async (world, key, words) => {
    const guest = createdModel(key, words);
    world.model.guests.set(key, guest);
    const { machine, files } = world;
    const path = machine.config({
      name: guest.name,
      ...files,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      memory: guest.memoryMiB,
      maxmem: guest.maxMemoryMiB,
      vcpus: guest.vcpus,
      maxvcpus: guest.maxVcpus,
      on_poweroff: guest.policy.poweroff,
      on_reboot: guest.policy.reboot,
      on_crash: guest.policy.crash,
      disk: [...guest.disks].map((vdev) => world.disk(key, vdev)),
      vif: [...guest.nics].map(() => ''),
    });
    await machine.ok('create', '-q', path);
    await world.meet(key);
  },
  pause: async (world, key) => {
    await world.xl('pause', key);
    world.model.guest(key).paused = true;
  },
  unpause: async (world, key) => {
    await world.xl('unpause', key);
    world.model.guest(key).paused = false;
  },
  'mem-set': async (world, key, [mib = '']) => {
    await world.xl('mem-set', key, mib);
    world.model.guest(key).memoryMiB = Number(mib);
  },
  'vcpu-set': async (world, key, [count = '']) => {
    await world.xl('vcpu-set', key, count);
    world.model.guest(key).vcpus = Number(count);
  },
  rename: async (world, key, [name = '']) => {
    await world.xl('rename', key, name);
    world.model.guest(key).name = name;
  },
  sysrq: async (world, key) => {
    const { terminal } = world.alive(key);
    await world.xl('sysrq', key, 'h');
    // It says so on every console, where it would stand among the answers.
    await terminal.expect(/sysrq: HELP[^\n]*\n/);
  },
  nmi: async (world, key, words) => {
    const { terminal } = world.alive(key);
    const count = async (): Promise<number> =>
      (/NMI: +(.*?) +Non/.exec(await terminal.run('cat /proc/interrupts'))?.[1] ?? '')
        .split(/ +/)
        .reduce((sum, number) => sum + Number(number), 0);
    // For Linux an emergency, which it tells even a plain console.
    await terminal.run('echo 0 > /proc/sys/kernel/printk');
    const before = await count();
    await world.xl('trigger', key, 'nmi', ...words);
    await until('an NMI', async () => (await count()) > before);
    await until('what it says', async () => (await terminal.try('dmesg -c | grep -q "NMI received"')).code === 0);
    await terminal.run('echo 1 > /proc/sys/kernel/printk');
  },
  'block-attach': async (world, key, [vdev = '']) => {
    await world.xl('block-attach', key, world.disk(key, vdev));
    world.model.guest(key).disks.add(vdev);
    await world
      .alive(key)
      .terminal.run(`until [ -b /dev/${vdev} ]; do sleep 0.1; done; echo ${key} | dd of=/dev/${vdev} conv=fsync 2>&1`);
  },
  'block-detach': async (world, key, [vdev = '']) => {
    await world.xl('block-detach', key, vdev);
    world.model.guest(key).disks.delete(vdev);
  },
  'network-attach': async (world, key) => {
    const { nics } = world.model.guest(key);
    await world.xl('network-attach', key);
    let devid = 0;
    while (nics.has(devid)) devid++;
    nics.add(devid);
  },
  'network-detach': async (world, key, [devid = '']) => {
    await world.xl('network-detach', key, devid);
    world.model.guest(key).nics.delete(Number(devid));
  },
  poweroff: ending('poweroff'),
  reboot: ending('reboot'),
  crash: ending('crash'),
  destroy: async (world, key) => {
    await world.xl('destroy', key);
    world.model.guests.delete(key);
    world.lose(key);
  },
  /** Destroys what died and stayed. */
  bury: async (world, key) => {
    const { machine, model } = world;
    const alive = new Set([...world.living.values()].map(({ domid }) => domid));
    const mine = model.dead.filter((dead) => dead.key === key);
    for (const { domid, name } of await machine.list()) {
      if (domid !== 0 && !alive.has(domid) && mine.some((dead) => dead.name.test(name)))
        await machine.ok('destroy', `${domid}`);
    }
    model.dead = model.dead.filter((dead) => dead.key !== key);
  },
};
