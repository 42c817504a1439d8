/** Port forwards as a person writes them: `2222 web:22`, `udp:0.0.0.0:5353 10.0.2.15:53`, `[::1]:8080 [fd00:a00:200::15]:80`. */
import { isIPv4, isIPv6 } from 'node:net';
import type { ForwardRule } from '../../dom0/net/nat/forwards.ts';

/** Only the host itself reaches a forward, unless it is said otherwise. */
const defaultHost = '127.0.0.1';
const everywhere = '0.0.0.0';

/** Where the host listens: `[tcp:|udp:][ADDRESS:]PORT`; `*` is every address. Undefined when it is none. */
export function parseHostPort(text: string): Pick<ForwardRule, 'protocol' | 'host'> | undefined {
  const [, protocol, rest = ''] = /^(?:(tcp|udp):)?(.*)$/.exec(text) ?? [];
  const at = splitPort(rest.includes(':') ? rest : `${defaultHost}:${rest}`);
  if (at === undefined) return undefined;
  const address = at.name === '*' ? everywhere : at.name;
  if (!isIPv4(address) && !isIPv6(address)) return undefined;
  return { protocol: protocol === 'udp' ? 'udp' : 'tcp', host: { address, port: at.port } };
}

/** `GUEST:PORT`, a guest being an address or the name of a domain. */
export function parseGuestPort(text: string): Pick<ForwardRule, 'guest' | 'guestPort'> | undefined {
  const at = splitPort(text);
  return at && at.name !== '' && at.port !== 0 ? { guest: at.name, guestPort: at.port } : undefined;
}

/** An IPv6 address stands in brackets. */
export function splitPort(text: string): { readonly name: string; readonly port: number } | undefined {
  const [, six, other, portText = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text) ?? [];
  const port = Number(portText);
  const name = six ?? other;
  if (name === undefined || portText === '' || port > 0xffff || (six !== undefined && !isIPv6(six))) return undefined;
  return { name, port };
}

export function formatHostPort({ protocol, host }: Pick<ForwardRule, 'protocol' | 'host'>): string {
  return `${protocol}:${bracketed(host.address)}:${host.port}`;
}

export function formatGuestPort({ guest, guestPort }: Pick<ForwardRule, 'guest' | 'guestPort'>): string {
  return `${bracketed(guest)}:${guestPort}`;
}

function bracketed(name: string): string {
  return name.includes(':') ? `[${name}]` : name;
}
