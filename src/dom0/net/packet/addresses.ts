/** Ethernet, IPv4 and IPv6 addresses: as text, as bytes, and what kind they are. */
import { equalBytes } from './bytes.ts';

export const broadcastMac = new Uint8Array(6).fill(0xff);

/** `00:16:3e:01:02:03` */
export function formatMac(bytes: Uint8Array, at = 0): string {
  let text = '';
  for (let i = 0; i < 6; i++) text += `${i ? ':' : ''}${(bytes[at + i] ?? 0).toString(16).padStart(2, '0')}`;
  return text;
}

export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (byte) => parseInt(byte, 16));
}

/** As one number that a Map takes: 48 bits are exact. */
export function macKey(bytes: Uint8Array, at = 0): number {
  let key = 0;
  for (let i = 0; i < 6; i++) key = key * 256 + (bytes[at + i] ?? 0);
  return key;
}

export function isGroup(bytes: Uint8Array, at = 0): boolean {
  return ((bytes[at] ?? 0) & 1) !== 0;
}

export function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return Uint8Array.from(parts, Number);
}

/** RFC 4291, section 2.2, without zones. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2 || text.length > 45) return undefined;
  const [front, back] = halves.map(groups);
  if (front === undefined || (halves.length === 2 && back === undefined)) return undefined;
  const missing = 16 - front.length - (back?.length ?? 0);
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...front, ...new Array<number>(missing).fill(0), ...(back ?? [])]);
}

function groups(text: string): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    const dotted = i === parts.length - 1 && part.includes('.') ? parseIpv4(part) : undefined;
    if (dotted) bytes.push(...dotted);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) bytes.push(parseInt(part, 16) >> 8, parseInt(part, 16) & 0xff);
    else return undefined;
  }
  return bytes;
}

export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** IPv6 as RFC 5952 wants it. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  let [best, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end += 1;
    if (end - i > length) [best, length] = [i, end - i];
    if (end > i) i = end;
  }
  const hex = (some: readonly number[]): string => some.map((word) => word.toString(16)).join(':');
  return best < 0 ? hex(words) : `${hex(words.slice(0, best))}::${hex(words.slice(best + length))}`;
}

/** Address and prefix length, `10.0.2.0/24`. Bits beyond the prefix must be zero. */
export interface Subnet {
  readonly address: Uint8Array;
  readonly prefix: number;
}

export function parseSubnet(text: string): Subnet | undefined {
  const [, addressText = '', prefixText = ''] = /^([^/]+)\/([0-9]{1,3})$/.exec(text) ?? [];
  const address = parseIp(addressText);
  const prefix = Number(prefixText);
  if (address === undefined || prefix > address.length * 8) return undefined;
  const subnet = { address, prefix };
  return equalBytes(masked(address, prefix), address) ? subnet : undefined;
}

export function contains({ address, prefix }: Subnet, other: Uint8Array): boolean {
  if (other.length !== address.length) return false;
  const whole = prefix >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== other[i]) return false;
  const mask = (0xff00 >> (prefix & 7)) & 0xff;
  return ((address[whole] ?? 0) & mask) === ((other[whole] ?? 0) & mask);
}

function masked(address: Uint8Array, prefix: number): Uint8Array {
  return address.map((byte, i) => byte & ((0xff00 >> Math.min(Math.max(prefix - 8 * i, 0), 8)) & 0xff));
}

/** The address of a subnet with this number, counted from its first. */
export function hostAddress({ address }: Subnet, number: number): Uint8Array {
  const result = Uint8Array.from(address);
  let carry = number;
  for (let i = result.length - 1; i >= 0 && carry > 0; i--) {
    carry += result[i] ?? 0;
    result[i] = carry & 0xff;
    carry = Math.floor(carry / 256);
  }
  return result;
}
