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
  'config-update': works(() => import('./commands/config-update.ts'), 'dryRun'),
  list: works(() => import('./commands/list.ts')),
  destroy: works(() => import('./commands/destroy.ts')),
  shutdown: works(() => import('./commands/shutdown.ts')),
  reboot: works(() => import('./commands/shutdown.ts')),
  'pci-attach': works(() => import('./commands/pci.ts')),
  'pci-detach': works(() => import('./commands/pci.ts')),
  'pci-list': works(() => import('./commands/pci.ts')),
  'pci-assignable-add': works(() => import('./commands/pci.ts')),
  'pci-assignable-remove': works(() => import('./commands/pci.ts')),
  'pci-assignable-list': works(() => import('./commands/pci.ts')),
  pause: works(() => import('./commands/pause.ts')),
  unpause: works(() => import('./commands/pause.ts')),
  console: works(() => import('./commands/console.ts')),
  vncviewer: works(() => import('./commands/vncviewer.ts')),
  save: works(() => import('./commands/save.ts')),
  migrate: works(() => import('./commands/migrate.ts')),
  restore: works(() => import('./commands/restore.ts')),
  'migrate-receive': works(() => import('./commands/migrate-receive.ts')),
  'dump-core': works(() => import('./commands/dump-core.ts')),
  'cd-insert': works(() => import('./commands/cdrom.ts'), 'dryRun'),
  'cd-eject': works(() => import('./commands/cdrom.ts'), 'dryRun'),
  'mem-max': works(() => import('./commands/memory.ts')),
  'mem-set': works(() => import('./commands/memory.ts')),
  'button-press': works(() => import('./commands/trigger.ts')),
  'vcpu-list': works(() => import('./commands/vcpu-list.ts')),
  'vcpu-pin': works(() => import('./commands/vcpu-pin.ts'), 'dryRun'),
  'vcpu-set': works(() => import('./commands/vcpu-set.ts')),
  'vm-list': works(() => import('./commands/vm-list.ts')),
  info: works(() => import('./commands/info.ts')),
  sharing: works(() => import('./commands/sharing.ts')),
  'sched-credit': works(() => import('./commands/sched-credit.ts')),
  'sched-credit2': works(() => import('./commands/sched-credit.ts')),
  'sched-rtds': works(() => import('./commands/sched-rtds.ts')),
  domid: works(() => import('./commands/domid.ts')),
  domname: works(() => import('./commands/domname.ts')),
  rename: works(() => import('./commands/rename.ts')),
  trigger: works(() => import('./commands/trigger.ts')),
  sysrq: works(() => import('./commands/sysrq.ts')),
  'debug-keys': works(() => import('./commands/debug-keys.ts')),
  'set-parameters': works(() => import('./commands/debug-keys.ts')),
  dmesg: works(() => import('./commands/dmesg.ts')),
  top: works(() => import('./commands/top.ts')),
  'network-attach': works(() => import('./commands/network-attach.ts'), 'dryRun'),
  'network-list': works(() => import('./commands/network-list.ts')),
  'network-detach': works(() => import('./commands/network-detach.ts')),
  'channel-list': works(() => import('./commands/channel-list.ts')),
  'block-attach': works(() => import('./commands/block-attach.ts'), 'dryRun'),
  'block-list': works(() => import('./commands/block-list.ts')),
  'block-detach': works(() => import('./commands/block-detach.ts')),
  'vtpm-attach': works(() => import('./commands/absent-device.ts'), 'dryRun'),
  'vtpm-list': works(() => import('./commands/absent-device.ts')),
  'vtpm-detach': works(() => import('./commands/absent-device.ts')),
  'vkb-attach': works(() => import('./commands/absent-device.ts'), 'dryRun'),
  'vkb-list': works(() => import('./commands/absent-device.ts')),
  'vkb-detach': works(() => import('./commands/absent-device.ts')),
  'vdispl-attach': works(() => import('./commands/absent-device.ts'), 'dryRun'),
  'vdispl-list': works(() => import('./commands/absent-device.ts')),
  'vdispl-detach': works(() => import('./commands/absent-device.ts')),
  'vsnd-attach': works(() => import('./commands/absent-device.ts'), 'dryRun'),
  'vsnd-list': works(() => import('./commands/absent-device.ts')),
  'vsnd-detach': works(() => import('./commands/absent-device.ts')),
  uptime: works(() => import('./commands/uptime.ts')),
  claims: works(() => import('./commands/claims.ts')),
  'cpupool-create': works(() => import('./commands/cpupool-create.ts'), 'dryRun'),
  'cpupool-list': works(() => import('./commands/cpupool-list.ts')),
  'cpupool-destroy': works(() => import('./commands/cpupool-change.ts')),
  'cpupool-rename': works(() => import('./commands/cpupool-change.ts')),
  'cpupool-cpu-add': works(() => import('./commands/cpupool-change.ts')),
  'cpupool-cpu-remove': works(() => import('./commands/cpupool-change.ts')),
  'cpupool-migrate': works(() => import('./commands/cpupool-change.ts')),
  'cpupool-numa-split': works(() => import('./commands/cpupool-change.ts')),
  getenforce: works(() => import('./commands/flask.ts')),
  setenforce: works(() => import('./commands/flask.ts')),
  loadpolicy: works(() => import('./commands/flask.ts')),
  remus: later(2, 'domain', undefined, 'Fbundi:s:N:ecp'),
  devd: works(() => import('./commands/devd.ts')),
  'psr-hwinfo': works(() => import('./commands/psr.ts')),
  'psr-cmt-attach': works(() => import('./commands/psr.ts')),
  'psr-cmt-detach': works(() => import('./commands/psr.ts')),
  'psr-cmt-show': works(() => import('./commands/psr.ts')),
  'psr-cat-set': works(() => import('./commands/psr.ts')),
  'psr-cat-show': works(() => import('./commands/psr.ts')),
  'psr-mba-set': works(() => import('./commands/psr.ts')),
  'psr-mba-show': works(() => import('./commands/psr.ts')),
  'usbctrl-attach': works(() => import('./commands/usb.ts'), 'dryRun'),
  'usbctrl-detach': works(() => import('./commands/usb.ts')),
  'usbdev-attach': works(() => import('./commands/usb.ts'), 'dryRun'),
  'usbdev-detach': works(() => import('./commands/usb.ts')),
  'usb-list': works(() => import('./commands/usb.ts')),
  'qemu-monitor-command': works(() => import('./commands/qemu-monitor-command.ts')),
  // Not of xl, see README.md.
  fork: works(() => import('./commands/fork.ts')),
  profile: works(() => import('./commands/profile.ts')),
  exec: works(() => import('./commands/exec.ts')),
  cp: works(() => import('./commands/cp.ts')),
  'network-egress': works(() => import('./commands/network-egress.ts')),
  'network-forward': works(() => import('./commands/network-forward.ts')),
  completion: works(() => import('./commands/completion.ts')),
};

/** A full name, or a beginning that only one command has. */
export function lookUp(name: string): { readonly name: string; readonly row: CommandRow } | undefined {
  const exact = Object.hasOwn(commandTable, name) ? [name] : [];
  const found = exact.length > 0 ? exact : Object.keys(commandTable).filter((candidate) => candidate.startsWith(name));
  const only = found.length === 1 ? found[0] : undefined;
  const row = only === undefined ? undefined : commandTable[only];
  return only === undefined || row === undefined ? undefined : { name: only, row };
}
