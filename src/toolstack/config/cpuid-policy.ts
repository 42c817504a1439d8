/** `cpuid=`: the list form with 32 characters for each register, and the string form `host,name=value,…` (xl.cfg(5), "cpuid"). */
import { cpuidFlags } from './cpuid-flags.ts';
import type { JsonObject } from './json.ts';
import { strtol } from './numbers.ts';

export type CpuidPolicy = { readonly cpuid: readonly JsonObject[]; readonly msr: readonly JsonObject[] };

const registers = ['eax', 'ebx', 'ecx', 'edx'] as const;
export type CpuidRegister = (typeof registers)[number];

interface Entry {
  readonly leaf: number;
  readonly subleaf: number | undefined;
  readonly policy: Partial<Record<CpuidRegister, string>>;
}

export class CpuidPolicyBuilder {
  readonly #entries: Entry[] = [];
  /** libxl allocates the policy with the first entry, right or wrong. */
  #touched = false;

  result(): CpuidPolicy | undefined {
    if (!this.#touched) return undefined;
    const cpuid = this.#entries.map(({ leaf, subleaf, policy }): JsonObject => {
      const inOrder = registers.flatMap((name) => (policy[name] === undefined ? [] : [[name, policy[name]] as const]));
      return { leaf, ...(subleaf === undefined ? {} : { subleaf }), ...Object.fromEntries(inOrder) };
    });
    return { cpuid, msr: [] };
  }

  /** One member of the list form; the number and text of the error, or undefined. */
  addLine(text: string): { code: number; why: string } | undefined {
    const leaf = strtol(text);
    if (leaf.end === 0) return { code: 1, why: 'illegal leaf number' };
    let at = leaf.end;
    let subleaf: number | undefined;
    if (text[at] === ',') {
      const read = strtol(text, 0, at + 1);
      if (read.end === at + 1) return { code: 2, why: 'illegal subleaf number' };
      subleaf = read.value >>> 0;
      at = read.end;
    }
    if (text[at] !== ':') return { code: 3, why: 'missing colon' };
    const entry = this.#entry(leaf.value >>> 0, subleaf);
    for (let rest = text.slice(at + 1); rest !== '';) {
      const name = registers.find((register) => rest[0] === 'e' && rest[2] === 'x' && rest[1] === register[1]);
      const equals = rest.indexOf('=');
      if (name === undefined || equals < 0) return { code: 4, why: 'invalid register name (must be e[abcd]x)' };
      const comma = rest.indexOf(',', equals);
      const value = rest.slice(equals + 1, comma < 0 ? undefined : comma);
      if (value.length !== 32) return { code: 5, why: 'policy string must be exactly 32 characters long' };
      entry.policy[name] = value;
      rest = comma < 0 ? '' : rest.slice(comma + 1).replace(/^[ \n]+/, '');
    }
    return undefined;
  }

  /** One `name=value` of the string form. */
  addFlag(text: string): { code: number; why: string } | undefined {
    const equals = text.indexOf('=');
    if (equals < 0) return { code: 1, why: 'missing "=" in key=value' };
    const name = text.slice(0, equals);
    const flag = cpuidFlags.get(name);
    if (flag === undefined) return { code: 2, why: 'unknown CPUID flag name' };
    const entry = this.#entry(flag.leaf, flag.subleaf);
    const bits = flagBits(text.slice(equals + 1), flag.length);
    if (bits === undefined) return { code: 3, why: 'illegal CPUID value (must be: [0|1|x|k|s])' };
    const policy = entry.policy[flag.register] ?? 'x'.repeat(32);
    entry.policy[flag.register] =
      name === 'family'
        ? setFamily(policy, bits)
        : name === 'model'
          ? setModel(policy, bits)
          : put(policy, flag.bit, bits.text);
    return undefined;
  }

  #entry(leaf: number, subleaf: number | undefined): Entry {
    this.#touched = true;
    const found = this.#entries.find((entry) => entry.leaf === leaf && entry.subleaf === subleaf);
    if (found !== undefined) return found;
    const entry: Entry = { leaf, subleaf, policy: {} };
    this.#entries.push(entry);
    return entry;
  }
}

interface FlagBits {
  readonly text: string;
  readonly number: number;
}

function flagBits(value: string, length: number): FlagBits | undefined {
  const read = strtol(value);
  if (read.end > 0)
    return { text: (read.value >>> 0).toString(2).padStart(length, '0').slice(-length), number: read.value };
  const letter = value.charAt(0);
  return letter !== '' && 'xks'.includes(letter) ? { text: letter.repeat(length), number: 0 } : undefined;
}

/** Puts `text` so that its last character stands for bit `bit`. */
function put(policy: string, bit: number, text: string): string {
  const start = 32 - bit - text.length;
  return policy.slice(0, start) + text + policy.slice(start + text.length);
}

/** SDM Vol. 2A, "CPUID", leaf 1: families from 15 on need the extended field in bits 20 to 27. */
function setFamily(policy: string, { text, number }: FlagBits): string {
  if (number < 16) return put(put(policy, 8, text.slice(4)), 20, '00000000');
  return put(put(policy, 8, '1111'), 20, ((number - 15) & 0xff).toString(2).padStart(8, '0'));
}

/** The model's high four bits are in bits 16 to 19. */
function setModel(policy: string, { text }: FlagBits): string {
  return put(put(policy, 16, text.slice(0, 4)), 4, text.slice(4));
}
