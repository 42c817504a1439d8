/** What a guest may reach: rules as programs give them and as people write them (`egress=` of a vif, `xl network-egress`). */
import { contains, parseIp, parseSubnet, type Subnet } from '../packet/addresses.ts';

/** A port, or a range as `8000-8100`. */
export type PortRange = number | string;

interface Ways {
  /** All of them, and everything without ports, unless some are named. */
  readonly ports?: readonly PortRange[] | undefined;
  /** Both unless one is named. */
  readonly protocol?: 'tcp' | 'udp' | undefined;
}

/** A name, or `*.example.org` for all names below it, or `*` for all; its addresses are open as long as an answer says that it has them. */
export interface DomainRule extends Ways {
  /** A name, `*.` with a name, or `*`. */
  readonly domain: string;
}

/** An address of IPv4 or IPv6, or a network as `10.0.0.0/8`. Guests of the same bridge are reached by this only. */
export interface AddressRule extends Ways {
  /** An address, or a network with its prefix. */
  readonly address: string;
}

/** Something that may be reached: by its name, or by its address. */
export type EgressRule = DomainRule | AddressRule;

/** All that the host reaches, or nothing but what is named. */
export type EgressRules =
  { readonly default: 'allow' } | { readonly default: 'deny'; readonly allow: readonly EgressRule[] };

/** Rules that cannot be. The message is a sentence for a person. */
export class EgressError extends Error {
  override readonly name = 'EgressError';
}

/** Of one interface: each is looked at for each new connection. */
const MOST_RULES = 128;
const MOST_PORTS = 32;
/** What a node of xenstore holds (XENSTORE_PAYLOAD_MAX), without its path. */
const LONGEST_TEXT = 3500;

export interface CompiledRule {
  /** Lower case; for all below it with a dot before. Undefined: addresses. */
  readonly domain: string | undefined;
  readonly subnet: Subnet | undefined;
  readonly ports: readonly (readonly [first: number, last: number])[] | undefined;
  readonly protocol: 'tcp' | 'udp' | undefined;
}

/** Throws EgressError. Undefined: everything is allowed. */
export function compileRules(rules: EgressRules): readonly CompiledRule[] | undefined {
  if (rules.default === 'allow') return undefined;
  if (rules.allow.length > MOST_RULES) throw new EgressError(`more than ${MOST_RULES} rules`);
  return rules.allow.map(compile);
}

function compile(rule: EgressRule): CompiledRule {
  const { ports, protocol } = rule;
  if (protocol !== undefined && protocol !== 'tcp' && protocol !== 'udp')
    throw new EgressError(`"${String(protocol)}" is no protocol: there are tcp and udp`);
  if (ports !== undefined && (ports.length === 0 || ports.length > MOST_PORTS))
    throw new EgressError(`a rule has 1 to ${MOST_PORTS} ports`);
  const ways = { ports: ports?.map(compilePorts), protocol };
  if ('domain' in rule) return { domain: compileDomain(rule.domain), subnet: undefined, ...ways };
  return { domain: undefined, subnet: compileAddress(rule.address), ...ways };
}

function compileAddress(text: string): Subnet {
  const single = parseIp(text);
  const subnet = single === undefined ? parseSubnet(text) : { address: single, prefix: single.length * 8 };
  if (subnet === undefined) throw new EgressError(`"${text}" is neither an address nor a network`);
  return subnet;
}

function compilePorts(range: PortRange): readonly [number, number] {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(range)) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === '' || from < 1 || to > 0xffff || from > to)
    throw new EgressError(`"${range}" is neither a port nor a range of ports`);
  return [from, to];
}

/** RFC 1035 names without their last dot, in letters as they are on the wire. */
function compileDomain(text: string): string {
  if (text === '*') return '.';
  const below = text.startsWith('*.');
  const name = normalName(below ? text.slice(2) : text);
  const isName =
    name.length > 0 && name.length <= 253 && name.split('.').every((label) => /^[a-z0-9_-]{1,63}$/.test(label));
  if (!isName || /^[0-9.]+$/.test(name))
    throw new EgressError(
      `"${text}" is no domain name${/[^ -~]/.test(text) ? '; write it as it is on the wire, with xn--' : ''}`,
    );
  return below ? `.${name}` : name;
}

/** Without regard to case, and to a dot at the end. */
export function normalName(name: string): string {
  return name.replace(/\.$/, '').toLowerCase();
}

/** Whether the rule is for this name, which is normal. */
export function matchesName({ domain }: CompiledRule, name: string): boolean {
  if (domain === undefined) return false;
  return domain.startsWith('.')
    ? domain === '.' || (name.length > domain.length && name.endsWith(domain))
    : name === domain;
}

export function matchesAddress({ subnet }: CompiledRule, address: Uint8Array): boolean {
  return subnet !== undefined && contains(subnet, address);
}

/** Undefined port: a packet that has none, such as ICMP, or none that can be seen. */
export function matchesWay(rule: CompiledRule, protocol: 'tcp' | 'udp' | 'other', port: number | undefined): boolean {
  if (rule.protocol !== undefined && rule.protocol !== protocol) return false;
  if (rule.ports === undefined) return true;
  return port !== undefined && rule.ports.some(([first, last]) => port >= first && port <= last);
}

/**
 * Rules as a person writes them: `all`, `none`, or what is allowed, with blanks between: `deb.debian.org:80`, `*.example.org:443+8443`, `10.0.0.0/8`,
 * `udp:192.0.2.1:53`, `[2001:db8::/32]:443`. Throws EgressError.
 */
export function parseEgress(text: string): EgressRules {
  if (text.length > LONGEST_TEXT) throw new EgressError(`rules of more than ${LONGEST_TEXT} letters`);
  const words = text.split(/\s+/).filter((word) => word !== '');
  const [only, second] = words;
  if (only === undefined) throw new EgressError('no rules; "none" allows nothing, "all" everything');
  if (second === undefined && only === 'all') return { default: 'allow' };
  const rules: EgressRules = {
    default: 'deny',
    allow: second === undefined && only === 'none' ? [] : words.map(parseRule),
  };
  compileRules(rules);
  return rules;
}

function parseRule(word: string): EgressRule {
  const [, protocol, bracketed, plain = '', portText] =
    /^(?:(tcp|udp):)?(?:\[([^\]]*)\]|([^:[\]]*))(?::([0-9+-]+))?$/.exec(word) ?? /^()()(.*)()$/.exec(word) ?? [];
  const ways: Ways = {
    ...(protocol === 'tcp' || protocol === 'udp' ? { protocol } : {}),
    ...(portText === undefined || portText === '' ? {} : { ports: portText.split('+').map(plainPort) }),
  };
  const target = bracketed === undefined || bracketed === '' ? plain : bracketed;
  const isAddress = bracketed ? true : /^[0-9.]+(\/|$)/.test(target) || target.includes(':');
  return isAddress ? { address: target, ...ways } : { domain: target, ...ways };
}

function plainPort(text: string): PortRange {
  return text.includes('-') ? text : Number(text);
}

/** As `parseEgress` reads it. */
export function formatEgress(rules: EgressRules): string {
  if (rules.default === 'allow') return 'all';
  return rules.allow.length === 0 ? 'none' : rules.allow.map(formatRule).join(' ');
}

export function formatRule(rule: EgressRule): string {
  const isBracketed = 'address' in rule && rule.address.includes(':');
  const plain = 'domain' in rule ? rule.domain : rule.address;
  const target = isBracketed ? `[${plain}]` : plain;
  const ports = rule.ports === undefined ? '' : `:${rule.ports.join('+')}`;
  return `${rule.protocol === undefined ? '' : `${rule.protocol}:`}${target}${ports}`;
}
