/** Typed members as lines of `xl.cfg`, so that there is one parser with one set of checks and messages. */
import { fileURLToPath } from 'node:url';
import { compileRules, EgressError, formatEgress, type EgressRules } from '../../dom0/net/egress/egress-rules.ts';
import { agentChannel } from '../agent/guest-agents.ts';
import type { ChannelConfig, DiskConfig, GuestConfig, NicConfig } from './guest-config.ts';
import { XenolithError } from './errors.ts';

type Plain = string | number | URL;

/** Members that are keys of their own. */
const keys = {
  name: 'name',
  uuid: 'uuid',
  kernel: 'kernel',
  ramdisk: 'ramdisk',
  cmdline: 'cmdline',
  memory: 'memory',
  maxMemory: 'maxmem',
  vcpus: 'vcpus',
  maxVcpus: 'maxvcpus',
  cpus: 'cpus',
  cpuWeight: 'cpu_weight',
  cpuCap: 'cap',
  onPoweroff: 'on_poweroff',
  onReboot: 'on_reboot',
  onCrash: 'on_crash',
  onWatchdog: 'on_watchdog',
} as const satisfies Partial<Record<keyof GuestConfig, string>>;

/** Throws XenolithError for what cannot be written in that syntax. */
export function configLines(config: GuestConfig): string[] {
  const lines: string[] = [];
  for (const [member, key] of Object.entries(keys) as [keyof typeof keys, string][]) {
    const value: Plain | undefined = config[member];
    if (value !== undefined) lines.push(`${key} = ${plain(key, value)}`);
  }
  if (config.disks !== undefined) lines.push(list('disk', disks(config.disks)));
  if (config.network !== undefined) lines.push(list('vif', nics(config.network).map(nicSpec)));
  // One list: a second would take the place of the first. The agent finds its channel by name, and the others keep their numbers.
  const channels = [...(config.channels ?? []).map(channelSpec), ...(config.agent === true ? [agentChannel] : [])];
  if (channels.length > 0) lines.push(list('channel', channels));
  for (const [key, value] of Object.entries(config.options ?? {})) {
    if (!/^[A-Za-z]\w*$/.test(key)) throw new XenolithError('CONFIG', `options: "${key}" is no key of xl.cfg`);
    lines.push(typeof value === 'object' ? list(key, value) : `${key} = ${plain(key, value)}`);
  }
  return lines;
}

/** A disk as xl.cfg and `xl block-attach` take it. */
export function diskSpec({ target, vdev, format = 'raw', readOnly = false }: DiskConfig, usual: string): string {
  const path = pathOf(target);
  if (/[\n\0]/.test(path))
    throw new XenolithError('CONFIG', `disk: ${JSON.stringify(path)} cannot be the path of an image`);
  const name = word('disk', 'vdev', vdev ?? usual);
  return `format=${word('disk', 'format', format)},vdev=${name},access=${readOnly ? 'ro' : 'rw'},target=${path}`;
}

/** An interface as xl.cfg takes it. */
export function nicSpec({ bridge, mac, ip, rate, mtu, egress }: NicConfig): string {
  const parameters = { bridge, mac, ip, rate, mtu, egress: egress && egressSpec(egress) };
  return Object.entries(parameters)
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${word('vif', key, String(value))}`]))
    .join(',');
}

function channelSpec({ name, socket }: ChannelConfig): string {
  const named = `name=${word('channel', 'name', name)}`;
  if (socket === undefined) return `connection=internal,${named}`;
  return `connection=socket,${named},path=${word('channel', 'socket', pathOf(socket))}`;
}

/** Throws XenolithError for rules that cannot be. */
export function checkEgress(rules: EgressRules): void {
  egressSpec(rules);
}

function egressSpec(rules: EgressRules): string {
  try {
    compileRules(rules);
    return formatEgress(rules);
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    throw new XenolithError('CONFIG', `egress: ${error.message}`, { cause: error });
  }
}

export function pathOf(file: string | URL): string {
  return file instanceof URL ? fileURLToPath(file) : file;
}

/** Of `xvda`, `xvdb` and so on the first that is not taken. */
export function freeVdev(taken: ReadonlySet<string>): string {
  const letters = Array.from({ length: 26 }, (_, index) => `xvd${String.fromCharCode(0x61 + index)}`);
  const free = letters.find((name) => !taken.has(name));
  if (free === undefined) throw new XenolithError('CONFIG', 'disk: no name is free; give each its vdev');
  return free;
}

function disks(configs: readonly DiskConfig[]): string[] {
  const taken = new Set(configs.flatMap(({ vdev }) => (vdev === undefined ? [] : [vdev])));
  return configs.map((config) => {
    const vdev = config.vdev ?? freeVdev(taken);
    taken.add(vdev);
    return diskSpec(config, vdev);
  });
}

function nics(network: NonNullable<GuestConfig['network']>): readonly NicConfig[] {
  if (network === 'none') return [];
  if (network === 'nat') return [{}];
  if (network === 'sandbox') return [{ egress: { default: 'deny', allow: [] } }];
  return Array.isArray(network) ? (network as readonly NicConfig[]) : [network as NicConfig];
}

/** A value in a list of parameters, where a comma would begin the next. */
function word(key: string, name: string, text: string): string {
  if (/[,\n\0]/.test(text)) throw new XenolithError('CONFIG', `${key}: ${name} cannot be ${JSON.stringify(text)}`);
  return text;
}

function plain(key: string, value: Plain): string {
  if (typeof value !== 'number') return quoted(pathOf(value));
  if (!Number.isSafeInteger(value)) throw new XenolithError('CONFIG', `${key}: ${value} is not a whole number`);
  // A sign is for xl.cfg no part of a number.
  return quoted(String(value));
}

function list(key: string, values: readonly string[]): string {
  return `${key} = [ ${values.map(quoted).join(', ')} ]`;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function quoted(text: string): string {
  if (text.includes('\0')) throw new XenolithError('CONFIG', `${JSON.stringify(text)} has a zero byte in it`);
  return `"${text.replace(/[\\"\n\r\t]/g, (character) => escapes[character] ?? character)}"`;
}
