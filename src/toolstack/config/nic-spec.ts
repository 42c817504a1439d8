/** Network interfaces of `vif = [ … ]` and `xl network-attach` (xl-network-configuration(5)). */
import { ConfigError } from './config-error.ts';
import type { DefBool, Device } from './domain-config.ts';
import type { JsonValue } from './json.ts';
import { strtol } from './numbers.ts';

export interface NicContext {
  readonly source: string;
  readonly report: (line: string) => void;
}

/** Key in the specification → libxl's member, for those taken as they are. */
const texts: Readonly<Record<string, string>> = {
  bridge: 'bridge',
  gatewaydev: 'gatewaydev',
  ip: 'ip',
  script: 'script',
  backend: 'backend_domname',
  vifname: 'ifname',
  model: 'model',
  forwarddev: 'coloft_forwarddev',
  // Not of xl: docs/network.md.
  egress: 'egress',
};

const order = [
  'backend_domname',
  'devid',
  'mtu',
  'model',
  'mac',
  'ip',
  'bridge',
  'ifname',
  'script',
  'nictype',
  'rate_bytes_per_interval',
  'rate_interval_usecs',
  'gatewaydev',
  'coloft_forwarddev',
  'trusted',
];

/**
 * A wrong parameter is told and left out, the interface is made all the same: so xl does for a configuration file. `refused`
 * counts them for `xl network-attach`, which gives up instead.
 */
export function parseNic(spec: string, devid: number, context: NicContext): ParsedNic {
  return fromTokens(tokens(spec), new Map([['devid', devid]]), context);
}

/** The arguments of `xl network-attach`, each a parameter; without a number of its own, the interface gets the next. */
export function parseNicArguments(words: readonly string[], context: NicContext): ParsedNic {
  return fromTokens(words, new Map(), context);
}

export interface ParsedNic {
  readonly nic: Device;
  readonly refused: number;
}

function fromTokens(words: readonly string[], members: Map<string, JsonValue>, context: NicContext): ParsedNic {
  let refused = 0;
  for (const token of words) {
    if (!parameter(token, members, context)) refused += 1;
  }
  return { nic: inOrder(Object.fromEntries(members)), refused };
}

/** The members as libxl prints them. */
export function inOrder(nic: Device): Device {
  const known = order.filter((member) => nic[member] !== undefined).map((member) => [member, nic[member]] as const);
  const others = Object.entries(nic).filter(([member]) => !order.includes(member));
  return Object.fromEntries([...known, ...others]);
}

/** strtok(3) with a comma, then leading blanks dropped: how xl takes its device lists apart. */
export function tokens(spec: string): readonly string[] {
  return spec
    .split(',')
    .filter((token) => token !== '')
    .map((token) => token.replace(/^ +/, ''));
}

function parameter(token: string, members: Map<string, JsonValue>, { source, report }: NicContext): boolean {
  const equals = token.indexOf('=');
  const key = equals < 0 ? token : token.slice(0, equals);
  const value = token.slice(equals + 1);
  if (equals < 0) {
    if (token !== 'trusted' && token !== 'untrusted') return refuse(report, `unrecognized argument \`${token}'`);
    members.set('trusted', (token === 'trusted' ? 'True' : 'False') satisfies DefBool);
    return true;
  }
  const text = texts[key];
  if (text !== undefined) {
    members.set(text, value);
    return true;
  }
  switch (key) {
    case 'type':
      if (value !== 'vif' && value !== 'ioemu') return refuse(report, "Invalid parameter `type'.");
      members.set('nictype', value === 'vif' ? 'vif' : 'vif_ioemu');
      return true;
    case 'mac': {
      const mac = parseMac(value);
      if (mac === undefined) return refuse(report, "Invalid parameter `mac'.");
      members.set('mac', mac);
      return true;
    }
    case 'netdev':
      report('the netdev parameter is deprecated, please use gatewaydev instead');
      members.set('gatewaydev', value);
      return true;
    case 'rate': {
      const rate = parseRate(value, source);
      members.set('rate_bytes_per_interval', rate.bytesPerInterval);
      members.set('rate_interval_usecs', rate.intervalUsecs);
      return true;
    }
    case 'accel':
      report('the accel parameter for vifs is currently not supported');
      return true;
    case 'devid':
    case 'mtu':
      members.set(key, parseUnsigned(value));
      return true;
    default:
      if (key.startsWith('colo_')) {
        members.set(key, value);
        return true;
      }
      return refuse(report, `unrecognized argument \`${token}'`);
  }
}

function refuse(report: (line: string) => void, message: string): false {
  report(message);
  return false;
}

/** Six numbers in base 16 with one character of any kind between them. */
function parseMac(text: string): string | undefined {
  const bytes: string[] = [];
  let at = 0;
  for (let i = 0; i < 6; i++) {
    const read = strtol(text, 16, at);
    if (read.end === at || read.value > 255 || read.value < 0) return undefined;
    bytes.push(read.value.toString(16).padStart(2, '0'));
    at = read.end + 1;
  }
  return bytes.join(':');
}

export function parseUnsigned(text: string): number {
  const read = strtol(text, 10);
  if (read.end === 0 || read.overflow) throw new ConfigError(`xl: failed to convert "${text}" to number`);
  return read.value;
}

const defaultIntervalUsecs = 50_000;
const u32Max = 0xffffffff;

/** `10MB/s`, `500Kb/s@20ms`: bytes for each replenishment interval. */
function parseRate(text: string, source: string): { bytesPerInterval: number; intervalUsecs: number } {
  const at = text.indexOf('@');
  const rate = at < 0 ? text : text.slice(0, at);
  const fail = (message: string, near: string): never => {
    throw new ConfigError(`${source}: config parsing error in vif: ${message} in \`${near}'`);
  };
  if (rate === '') return fail('no rate specified', text);
  const match = /^([0-9]+)([GMK]?)([Bb])\/s$/.exec(rate);
  if (match === null) return fail('invalid rate', rate);
  const number = strtol(match[1] ?? '').value;
  if (number === 0 || number > u32Max) return fail('rate overflow', rate);
  const scale = { G: 1e9, M: 1e6, K: 1e3, '': 1 }[match[2] ?? ''] ?? 1;
  const bytesPerSecond = Math.floor((number * scale) / (match[3] === 'b' ? 8 : 1));
  const intervalUsecs = at < 0 ? defaultIntervalUsecs : parseInterval(text.slice(at + 1), fail);
  return { bytesPerInterval: Math.floor((bytesPerSecond * intervalUsecs) / 1e6), intervalUsecs };
}

function parseInterval(text: string, fail: (message: string, near: string) => never): number {
  const match = /^([0-9]+)([mu]?)s?$/.exec(text);
  if (match === null) return fail('invalid replenishment interval', text);
  const number = strtol(match[1] ?? '').value;
  const usecs = number * (match[2] === 'm' ? 1000 : match[2] === 'u' ? 1 : 1_000_000);
  if (number === 0 || usecs > u32Max) return fail('replenishment interval overflow', text);
  return usecs;
}
