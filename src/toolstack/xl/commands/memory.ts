/** `xl mem-set` and `xl mem-max` */
import { strtol } from '../../config/numbers.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

const kinds = {
  'mem-set': { method: 'setMemory', what: 'dynamic' },
  'mem-max': { method: 'setMaxMemory', what: 'static' },
} as const;

export async function run(invocation: Invocation): Promise<number> {
  const { err, name } = invocation;
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const [domain = '', size = ''] = given;
  const { method, what } = kinds[name === 'mem-max' ? 'mem-max' : 'mem-set'];
  const domid = await findDomain(invocation, domain);
  const kib = readSize(size);
  if (kib === undefined) {
    err(`invalid memory size: ${size}`);
    return 1;
  }
  const client = await invocation.daemon();
  if ((await attempt(invocation, () => client.call(method, { domid, kib }))) === undefined) return 0;
  err(`cannot set domid ${domid} ${what} max memory to : ${size}`);
  return 1;
}

/** Letters after the number, as powers of 1024 of KiB; without one it is MiB. */
const units: Readonly<Record<string, number>> = { '': 1, k: 0, m: 1, g: 2, t: 3, b: -1 };

/** parse_mem_size_kb of xl: in KiB; undefined where the text is no size. */
export function readSize(text: string): number | undefined {
  const { value, end } = strtol(text, 10);
  const power = units[text.slice(end).toLowerCase()];
  if (power === undefined) return undefined;
  const kib = Math.floor(value * 1024 ** power);
  return Number.isSafeInteger(kib) ? kib : undefined;
}
