/** DNS messages as guests and resolvers write them, for tests. */
import { parseIp } from '../packet/addresses.ts';
import { put16, put32 } from '../packet/bytes.ts';

export const TYPES = { A: 1, CNAME: 5, AAAA: 28, TXT: 16 } as const;

export function nameBytes(name: string): number[] {
  return [...name.split('.').flatMap((label) => [label.length, ...new TextEncoder().encode(label)]), 0];
}

export function question(name: string, type: number = TYPES.A, id = 7): Uint8Array {
  return Uint8Array.of(0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...nameBytes(name), 0, type, 0, 1);
}

/** A record: whose, an address or the name that it is another name of, and for how many seconds. */
export type Answer = readonly [owner: string, value: string, ttl: number];

/** To that question. */
export function answer(asked: Uint8Array, answers: readonly Answer[]): Uint8Array {
  const records = answers.flatMap(([owner, value, ttl]) => {
    const address = parseIp(value);
    const data = address === undefined ? nameBytes(value) : [...address];
    const type = address === undefined ? TYPES.CNAME : address.length === 4 ? TYPES.A : TYPES.AAAA;
    const fixed = new Uint8Array(10);
    put16(fixed, 0, type);
    put16(fixed, 2, 1);
    put32(fixed, 4, ttl);
    put16(fixed, 8, data.length);
    return [...nameBytes(owner), ...fixed, ...data];
  });
  const bytes = Uint8Array.from([...asked, ...records]);
  bytes.set([0x81, 0x80], 2);
  put16(bytes, 6, answers.length);
  put16(bytes, 10, 0);
  return bytes;
}
