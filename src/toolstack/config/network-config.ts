/**
 * The host's network configuration, network.cfg: which bridges there are and where they lead, and port forwards. Its syntax is that of xl.cfg; docs/network.md
 * has all of it. Without a file there is xenbr0 with NAT.
 */
import type { BridgeConfig } from '../../dom0/net/network.ts';
import type { ForwardRule } from '../../dom0/net/nat/forwards.ts';
import type { HostAddress } from '../../dom0/net/nat/host-sockets.ts';
import { contains, formatIp, parseIp, parseSubnet, type Subnet } from '../../dom0/net/packet/addresses.ts';
import { XenError } from '../xen-error.ts';
import { parseGuestPort, parseHostPort, splitPort } from './forward-spec.ts';
import { hostSettings, readHostConfig, wrongSetting as wrong } from './host-config.ts';

export interface NetworkConfig {
  readonly bridges: readonly BridgeConfig[];
  readonly forwards: readonly (ForwardRule & { readonly bridge: string | undefined })[];
}

export const defaultBridge = 'xenbr0';
const defaultMtu = 1500;
/** Linux' IFNAMSIZ with its NUL: the names that a bridge can have. */
const bridgeName = /^[^\s/:]{1,15}$/;
const mtuRange = { least: 1280, most: 9000 } as const;
const DNS_PORT = 53;
/** Room for the gateway, the name server and a few guests. */
const longestPrefix = 27;
const shortestPrefix = 8;

type Keys = Map<string, string[]>;

/** What each key of a bridge takes. */
const bridgeKeys: ReadonlySet<string> = new Set([
  'name',
  'host',
  'nat',
  'subnet',
  'ipv6',
  'subnet6',
  'dhcp',
  'allow_host',
  'restricted',
  'antispoof',
  'resolver',
  'mtu',
]);

/** The file that the daemon reads; undefined when there is none. One that is named has to be there. */
export function readNetworkConfig(env: NodeJS.ProcessEnv = process.env): NetworkConfig {
  const file = readHostConfig('network.cfg', 'XENOLITH_NETWORK_CONFIG', env);
  return parseNetworkConfig(file?.text ?? '', file?.path ?? 'network.cfg');
}

/** Throws XenError with the first thing that is wrong. */
export function parseNetworkConfig(text: string, source: string): NetworkConfig {
  const { settings, lines } = hostSettings(text, source, ['bridge', 'forward']);
  const specs = settings.has('bridge') ? settings.strings('bridge') : [];
  const rules = settings.has('forward') ? settings.strings('forward') : [];
  if (specs === undefined || rules === undefined) throw new XenError(lines.join('\n'));
  const bridges = readBridges(specs, (message) => wrong(settings, 'bridge', message));
  const forwards = rules.map((rule) => readForward(rule, (message) => wrong(settings, 'forward', message)));
  return { bridges, forwards };
}

type Refuse = (message: string) => XenError;

function readBridges(specs: readonly string[], refuse: Refuse): BridgeConfig[] {
  const read = specs.map((spec) => readKeys(spec, refuse));
  if (!read.some((keys) => keys.get('name')?.[0] === defaultBridge)) read.unshift(new Map([['name', [defaultBridge]]]));
  const taken: Subnet[] = read.flatMap((keys) => {
    const subnet = parseSubnet(keys.get('subnet')?.[0] ?? '');
    return subnet ? [subnet] : [];
  });
  const bridges: BridgeConfig[] = [];
  for (const keys of read) {
    const bridge = readBridge(keys, taken, refuse);
    if (bridges.some(({ name }) => name === bridge.name)) throw refuse(`bridge "${bridge.name}" is there twice`);
    bridges.push(bridge);
  }
  return bridges;
}

function readKeys(spec: string, refuse: Refuse): Keys {
  const keys: Keys = new Map();
  for (const token of spec.split(',').map((part) => part.trim())) {
    if (token === '') continue;
    const equals = token.indexOf('=');
    const key = equals < 0 ? token : token.slice(0, equals).trim();
    if (equals < 0 || !bridgeKeys.has(key)) throw refuse(`unknown key "${key}" in bridge "${spec}"`);
    const value = token.slice(equals + 1).trim();
    const values = keys.get(key);
    if (values && key !== 'resolver') throw refuse(`"${key}" is there twice in bridge "${spec}"`);
    keys.set(key, [...(values ?? []), value]);
  }
  return keys;
}

function readBridge(keys: Keys, taken: Subnet[], refuse: Refuse): BridgeConfig {
  const name = keys.get('name')?.[0] ?? '';
  if (!bridgeName.test(name)) throw refuse(`a bridge needs a name of 1 to 15 characters, not "${name}"`);
  const flag = (key: string, usual: boolean): boolean => {
    const value = keys.get(key)?.[0];
    if (value === undefined) return usual;
    if (value !== '0' && value !== '1') throw refuse(`${key} of bridge "${name}" is 0 or 1, not "${value}"`);
    return value === '1';
  };
  if (flag('host', false)) {
    const other = [...keys.keys()].find((key) => key !== 'name' && key !== 'host');
    if (other) throw refuse(`bridge "${name}" is the host's own, so ${other} means nothing`);
    return { name, antispoof: false, host: true };
  }
  const antispoof = flag('antispoof', false);
  if (!flag('nat', true)) return { name, antispoof };
  const subnet = readSubnet(keys, name, taken, refuse);
  const ipv6 = flag('ipv6', true);
  const mtu = Number(keys.get('mtu')?.[0] ?? defaultMtu);
  if (!Number.isInteger(mtu) || mtu < mtuRange.least || mtu > mtuRange.most)
    throw refuse(`mtu of bridge "${name}" is from ${mtuRange.least} to ${mtuRange.most}`);
  const resolvers = keys.get('resolver')?.map((text) => readResolver(text, name, refuse));
  return {
    name,
    antispoof,
    nat: {
      subnet,
      subnet6: ipv6 ? readSubnet6(keys, name, subnet, refuse) : undefined,
      allowHost: flag('allow_host', false),
      restricted: flag('restricted', false),
      dhcp: flag('dhcp', true),
      resolvers,
      mtu,
    },
  };
}

function readSubnet(keys: Keys, name: string, taken: Subnet[], refuse: Refuse): Subnet {
  const text = keys.get('subnet')?.[0];
  if (text === undefined) {
    // The next of 10.0.2.0/24, 10.0.3.0/24 … that nobody has.
    for (let third = 2; third < 256; third++) {
      const subnet = { address: Uint8Array.of(10, 0, third, 0), prefix: 24 };
      if (taken.some((other) => overlap(other, subnet))) continue;
      taken.push(subnet);
      return subnet;
    }
    throw refuse(`there is no subnet left for bridge "${name}"`);
  }
  const subnet = parseSubnet(text);
  if (subnet?.address.length !== 4 || subnet.prefix < shortestPrefix || subnet.prefix > longestPrefix)
    throw refuse(
      `subnet of bridge "${name}" is like 10.0.2.0/24, with /${shortestPrefix} to /${longestPrefix}, not "${text}"`,
    );
  if (taken.filter((other) => overlap(other, subnet)).length > 1)
    throw refuse(`subnet ${text} of bridge "${name}" is another bridge's too`);
  return subnet;
}

/** A unique local prefix (RFC 4193) that says which IPv4 subnet it goes with. */
function readSubnet6(keys: Keys, name: string, { address }: Subnet, refuse: Refuse): Subnet {
  const text = keys.get('subnet6')?.[0];
  if (text === undefined) {
    const own = new Uint8Array(16);
    own[0] = 0xfd;
    own.set(address, 2);
    return { address: own, prefix: 64 };
  }
  const subnet = parseSubnet(text);
  // Guests make their addresses of 64 bits (RFC 4862).
  if (subnet?.address.length !== 16 || subnet.prefix !== 64)
    throw refuse(`subnet6 of bridge "${name}" is like fd00:1:2:3::/64, not "${text}"`);
  return subnet;
}

function readResolver(text: string, name: string, refuse: Refuse): HostAddress {
  const at = parseIp(text) ? { name: text, port: DNS_PORT } : splitPort(text);
  const address = parseIp(at?.name ?? '');
  if (at === undefined || address === undefined)
    throw refuse(`resolver of bridge "${name}" is an address, or one with a port, not "${text}"`);
  return { address: formatIp(address), port: at.port };
}

function readForward(text: string, refuse: Refuse): ForwardRule & { readonly bridge: string | undefined } {
  const words = text.split(/\s+/).filter((word) => word !== '');
  const [host, guest] = [parseHostPort(words[0] ?? ''), parseGuestPort(words[1] ?? '')];
  const bridge = /^bridge=(.+)$/.exec(words[2] ?? '')?.[1];
  if (!host || !guest || words.length > 3 || (words.length === 3 && bridge === undefined))
    throw refuse(`a forward is like "2222 web:22" or "udp:*:53 10.0.2.15:53 bridge=${defaultBridge}", not "${text}"`);
  return { ...host, ...guest, bridge };
}

function overlap(one: Subnet, two: Subnet): boolean {
  return contains(one, two.address) || contains(two, one.address);
}
