/**
 * Every command of xl 4.17, in its order, and then ours. A row either loads what runs the command or says what there is in its place. Nothing is
 * loaded before it is needed: scripts call `xl list` all the time.
 */
import type { Command } from './command.ts';

export interface CommandRow {
  /** Takes xl's -N. */
  readonly dryRun?: true;
  readonly load?: () => Promise<{ readonly run: Command }>;
  /** For a command that does not work yet: its arguments are still read as they will be. */
  readonly later?: { readonly required: number; readonly domain?: true; readonly short?: string };
}

/** A command that works. */
function works(load: () => Promise<{ readonly run: Command }>, dryRun?: 'dryRun'): CommandRow {
  return dryRun === undefined ? { load } : { load, dryRun: true };
}

/** One that does not yet: how many arguments it needs, and whether the first is a domain. */
function later(required: number, domain?: 'domain', dryRun?: 'dryRun', short?: string): CommandRow {
  const how = {
    required,
    ...(domain === undefined ? {} : { domain: true as const }),
    ...(short === undefined ? {} : { short }),
  };
  return { later: how, ...(dryRun === undefined ? {} : { dryRun: true as const }) };
}

export const commandTable: Readonly<Record<string, CommandRow>> = {
  create: works(() => import('./commands/create.ts'), 'dryRun'),
  'config-update': later(2, 'domain', 'dryRun', 'df:'),
  list: works(() => import('./commands/list.ts')),
  destroy: works(() => import('./commands/destroy.ts')),
  shutdown: works(() => import('./commands/shutdown.ts')),
  reboot: works(() => import('./commands/shutdown.ts')),
  'pci-attach': later(2, 'domain'),
  'pci-detach': later(2, 'domain'),
  'pci-list': later(1, 'domain'),
  'pci-assignable-add': later(1, undefined, undefined, 'n:'),
  'pci-assignable-remove': later(1, undefined, undefined, 'r'),
  'pci-assignable-list': later(0, undefined, undefined, 'n'),
  pause: works(() => import('./commands/pause.ts')),
  unpause: works(() => import('./commands/pause.ts')),
  console: works(() => import('./commands/console.ts')),
  vncviewer: later(1, 'domain', undefined, 'a'),
  save: later(2, 'domain', undefined, 'cpD'),
  migrate: later(2, 'domain', undefined, 'FC:s:epD'),
  restore: later(1, undefined, undefined, 'FcpdeVA'),
  'migrate-receive': later(0, undefined, undefined, 'Fedrp'),
  'dump-core': later(2, 'domain'),
  'cd-insert': works(() => import('./commands/cdrom.ts'), 'dryRun'),
  'cd-eject': works(() => import('./commands/cdrom.ts'), 'dryRun'),
  'mem-max': later(2, 'domain'),
  'mem-set': later(2, 'domain'),
  'button-press': later(2, 'domain'),
  'vcpu-list': works(() => import('./commands/vcpu-list.ts')),
  'vcpu-pin': later(3, 'domain', 'dryRun', 'fi'),
  'vcpu-set': later(2, 'domain', undefined, 'i'),
  'vm-list': works(() => import('./commands/vm-list.ts')),
  info: works(() => import('./commands/info.ts')),
  sharing: later(0),
  'sched-credit': later(0, undefined, undefined, 'd:w:c:p:t:r:m:s'),
  'sched-credit2': later(0, undefined, undefined, 'd:w:c:p:r:s'),
  'sched-rtds': later(0, undefined, undefined, 'd:p:b:v:e:c'),
  domid: works(() => import('./commands/domid.ts')),
  domname: works(() => import('./commands/domname.ts')),
  rename: works(() => import('./commands/rename.ts')),
  trigger: later(2, 'domain'),
  sysrq: works(() => import('./commands/sysrq.ts')),
  'debug-keys': later(1),
  'set-parameters': later(1),
  dmesg: works(() => import('./commands/dmesg.ts')),
  top: later(0),
  'network-attach': works(() => import('./commands/network-attach.ts'), 'dryRun'),
  'network-list': works(() => import('./commands/network-list.ts')),
  'network-detach': works(() => import('./commands/network-detach.ts')),
  'channel-list': later(1, 'domain'),
  'block-attach': works(() => import('./commands/block-attach.ts'), 'dryRun'),
  'block-list': works(() => import('./commands/block-list.ts')),
  'block-detach': works(() => import('./commands/block-detach.ts')),
  'vtpm-attach': later(1, 'domain', 'dryRun'),
  'vtpm-list': later(1, 'domain'),
  'vtpm-detach': later(2, 'domain'),
  'vkb-attach': later(2, 'domain', 'dryRun'),
  'vkb-list': later(1, 'domain'),
  'vkb-detach': later(2, 'domain'),
  'vdispl-attach': later(1, 'domain', 'dryRun'),
  'vdispl-list': later(1, 'domain'),
  'vdispl-detach': later(2, 'domain'),
  'vsnd-attach': later(2, 'domain', 'dryRun'),
  'vsnd-list': later(1, 'domain'),
  'vsnd-detach': later(2, 'domain'),
  uptime: works(() => import('./commands/uptime.ts')),
  claims: works(() => import('./commands/claims.ts')),
  'cpupool-create': later(0, undefined, 'dryRun', 'nf:'),
  'cpupool-list': later(0, undefined, undefined, 'c'),
  'cpupool-destroy': later(1),
  'cpupool-rename': later(2),
  'cpupool-cpu-add': later(2),
  'cpupool-cpu-remove': later(2),
  'cpupool-migrate': later(2, 'domain'),
  'cpupool-numa-split': later(0, undefined, undefined),
  getenforce: later(0),
  setenforce: later(1),
  loadpolicy: later(1),
  remus: later(2, 'domain', undefined, 'Fbundi:s:N:ecp'),
  devd: later(0, undefined, undefined, 'Fp:'),
  'psr-hwinfo': later(0, undefined, undefined, 'mab'),
  'psr-cmt-attach': later(1, 'domain'),
  'psr-cmt-detach': later(1, 'domain'),
  'psr-cmt-show': later(1),
  'psr-cat-set': later(2, 'domain', undefined, 's:l:cd'),
  'psr-cat-show': later(0, undefined, undefined, 'l:'),
  'psr-mba-set': later(2, 'domain', undefined, 's:'),
  'psr-mba-show': later(0),
  'usbctrl-attach': later(1, 'domain', 'dryRun'),
  'usbctrl-detach': later(2, 'domain'),
  'usbdev-attach': later(2, 'domain', 'dryRun'),
  'usbdev-detach': later(3, 'domain'),
  'usb-list': later(1, 'domain'),
  'qemu-monitor-command': later(2, 'domain'),
  // Not of xl, see README.md.
  profile: works(() => import('./commands/profile.ts')),
  'network-forward': works(() => import('./commands/network-forward.ts')),
};

/** A full name, or a beginning that only one command has. */
export function lookUp(name: string): { readonly name: string; readonly row: CommandRow } | undefined {
  const exact = Object.hasOwn(commandTable, name) ? [name] : [];
  const found = exact.length > 0 ? exact : Object.keys(commandTable).filter((candidate) => candidate.startsWith(name));
  const only = found.length === 1 ? found[0] : undefined;
  const row = only === undefined ? undefined : commandTable[only];
  return only === undefined || row === undefined ? undefined : { name: only, row };
}
