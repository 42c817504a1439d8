/** Whether xl, xenstore and the guests tell what the model expects. What takes a guest a moment is asked for again. */
import assert from 'node:assert/strict';
import { eventually, until, type Machine } from '../machine.ts';
import { diskNumber } from '../../../toolstack/devices/vdev.ts';
import type { GuestModel, Model } from './model.ts';
import type { LivingGuest } from './living-guest.ts';

const pageMiB = 1;
/** What one shell command in a guest prints, a line for each. */
const question = [
  'echo boot $(cat /proc/sys/kernel/random/boot_id)',
  // A vCPU that has come is taken online by udev, where there is one (Linux: drivers/xen/cpu_hotplug.c).
  'for cpu in /sys/devices/system/cpu/cpu[1-9]; do echo 1 > $cpu/online; done 2> /dev/null',
  'echo cpus $(grep -c ^processor /proc/cpuinfo)',
  'echo memory $(cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb)',
  'echo devices $(cat /sys/bus/xen/devices/*/nodename)',
].join('; ');

interface Answer {
  readonly boot: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly devices: readonly string[];
}

export async function ask(guest: LivingGuest): Promise<Answer> {
  const lines = new Map(
    (await guest.terminal.run(question)).split('\n').map((line) => {
      const [word = '', ...rest] = line.split(' ');
      return [word, rest] as const;
    }),
  );
  return {
    boot: lines.get('boot')?.[0] ?? '',
    cpus: Number(lines.get('cpus')?.[0]),
    memoryMiB: Number(lines.get('memory')?.[0]) / 1024,
    devices: (lines.get('devices') ?? []).filter((device) => /^device\/(?:vbd|vif)\//.test(device)).sort(),
  };
}

function devicesOf({ disks, nics }: GuestModel): string[] {
  return [
    ...[...disks].map((vdev) => `device/vbd/${diskNumber(vdev)}`),
    ...[...nics].map((devid) => `device/vif/${devid}`),
  ].sort();
}

/** Throws what does not come to agree: a guest may see what has become of it before the others do, or after them. */
export function agree(machine: Machine, model: Model, living: ReadonlyMap<string, LivingGuest>): Promise<void> {
  return eventually(() => allAgree(machine, model, living));
}

async function allAgree(machine: Machine, model: Model, living: ReadonlyMap<string, LivingGuest>): Promise<void> {
  for (const [key, guest] of model.guests) {
    const alive = living.get(key);
    assert(alive, `${key} is alive`);
    if (!guest.paused) await guestAgrees(guest, alive);
    await xlAgrees(machine, guest, alive);
  }
  await hostAgrees(machine, model, living);
}

async function guestAgrees(guest: GuestModel, alive: LivingGuest): Promise<void> {
  let last: Answer | undefined;
  const wanted = devicesOf(guest);
  await until(`the guest's view: ${JSON.stringify(guest, listed)}`, async () => {
    last = await ask(alive);
    return (
      last.cpus === guest.vcpus &&
      Math.abs(last.memoryMiB - guest.memoryMiB) <= pageMiB &&
      last.devices.join() === wanted.join()
    );
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; it is ${JSON.stringify(last)}`, { cause: error });
  });
  assert.equal(last?.boot, alive.boot, 'it is the same boot');
}

async function xlAgrees(machine: Machine, guest: GuestModel, { domid }: LivingGuest): Promise<void> {
  const state = await machine.state(guest.name);
  assert.equal(state?.domid, domid, `${guest.name} has its number`);
  assert.equal(state.state.includes('p'), guest.paused, `${guest.name}: state ${state.state}`);
  assert.equal(state.vcpus, guest.vcpus, `${guest.name}: vCPUs in xl list`);
  assert(Math.abs(state.memory - guest.memoryMiB) <= pageMiB, `${guest.name}: ${state.memory} MiB in xl list`);
  const [{ config }] = JSON.parse(await machine.ok('list', '-l', guest.name)) as [{ config: LongListing }];
  assert.equal(config.c_info.name, guest.name);
  assert.deepEqual(
    [config.b_info.target_memkb, config.b_info.max_memkb, config.b_info.avail_vcpus.length],
    [guest.memoryMiB * 1024, guest.maxMemoryMiB * 1024, guest.vcpus],
  );
  assert.deepEqual(
    [...(config.disks ?? []).map(({ vdev }) => `device/vbd/${diskNumber(vdev)}`)].sort(),
    devicesOf(guest).filter((device) => device.includes('vbd')),
  );
  assert.equal(config.nics?.length ?? 0, guest.nics.size);
  const vcpus = (await machine.ok('vcpu-list', guest.name)).trimEnd().split('\n').slice(1);
  assert.equal(vcpus.length, guest.maxVcpus);
  assert.equal(vcpus.filter((line) => !line.includes('--p')).length, guest.vcpus);
}

interface LongListing {
  readonly c_info: { readonly name: string };
  readonly b_info: { readonly target_memkb: number; readonly max_memkb: number; readonly avail_vcpus: number[] };
  readonly disks?: readonly { readonly vdev: string }[];
  readonly nics?: readonly unknown[];
}

/** Nothing is left of domains that are gone: in the list, in xenstore, among the threads, in the host's memory. */
async function hostAgrees(machine: Machine, model: Model, living: ReadonlyMap<string, LivingGuest>): Promise<void> {
  const domains = (await machine.list()).filter(({ domid }) => domid !== 0);
  const alive = new Set([...living.values()].map(({ domid }) => domid));
  const others = domains.filter(({ domid }) => !alive.has(domid));
  assert.equal(domains.length - others.length, model.guests.size, 'as many live as should');
  assert.deepEqual(
    others.map(({ name }) => model.dead.findIndex((dead) => dead.name.test(name)) >= 0),
    model.dead.map(() => true),
    `dead ones: ${others.map(({ name, state }) => `${name} ${state}`).join(', ')}`,
  );
  const known = new Set(domains.map(({ domid }) => domid));
  const tree = await machine.xenstore();
  for (const [, pattern] of Object.entries(places)) {
    for (const [line, domid] of tree.matchAll(pattern))
      assert(known.has(Number(domid)), `xenstore knows of a domain that is gone: ${line}`);
  }
  for (const [key, guest] of model.guests) {
    const { domid } = living.get(key) ?? assert.fail();
    const value = (path: string): string | undefined =>
      new RegExp(`^/local/domain/${domid}/${path} = "(.*?)"`, 'm').exec(tree)?.[1];
    assert.equal(value('name'), guest.name);
    assert.equal(value('memory/target'), `${guest.memoryMiB * 1024}`);
    for (let vcpu = 0; vcpu < guest.maxVcpus; vcpu++)
      assert.equal(value(`cpu/${vcpu}/availability`), vcpu < guest.vcpus ? 'online' : 'offline');
    const devices = [...tree.matchAll(new RegExp(`^/local/domain/${domid}/(device/(?:vbd|vif)/\\d+) `, 'gm'))];
    assert.deepEqual(devices.map(([, device]) => device).sort(), devicesOf(guest));
    if (!guest.paused) for (const device of devicesOf(guest)) assert.equal(value(`${device}/state`), '4', device);
  }
  const threads = await machine.vcpuThreads();
  for (const name of threads.keys())
    assert(known.has(Number(/^d(\d+)/.exec(name)?.[1])), `a thread is left of a domain that is gone: ${name}`);
  await memoryAgrees(machine);
}

/** Where a domain's number stands in xenstore's tree. */
const places = {
  domain: /^\/local\/domain\/([1-9]\d*) /gm,
  libxl: /^\/libxl\/(\d+) /gm,
  backend: /^\/local\/domain\/0\/backend\/\w+\/(\d+) /gm,
};

/** What is free and what domains have is what there is. */
async function memoryAgrees(machine: Machine): Promise<void> {
  const info = await machine.ok('info');
  const field = (name: string): number => Number(new RegExp(`^${name} +: (\\d+)$`, 'm').exec(info)?.[1]);
  const used = (await machine.list()).reduce((sum, { memory }) => sum + memory, 0);
  const difference = field('total_memory') - field('free_memory') - used;
  // Each number is rounded to MiB.
  assert(Math.abs(difference) <= 4, `total_memory - free_memory is ${difference} MiB more than domains have`);
}

function listed(_: string, value: unknown): unknown {
  return value instanceof Set ? [...(value as Set<unknown>)] : value;
}
