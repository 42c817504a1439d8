/** The processor that a saved guest knows, and whether this one can take its place. */
import { features, type FeatureLeaf } from '../../abi/arch-x86/cpufeatureset.ts';
import { CPUID_NO_SUBLEAF, CpuidLeaf, MsrEntry } from './stream-format.ts';
import { MSR } from '../../abi/arch-x86/msr-index.ts';
import type { DomainControl } from '../../hypervisor/control.ts';
import { StreamError } from './byte-stream.ts';
import { viewOf } from './records.ts';

type Register = 'a' | 'b' | 'c' | 'd';
type Registers = Readonly<Record<Register, number>>;
interface FeatureRegister {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: Register;
}

const where: Readonly<Record<FeatureLeaf, FeatureRegister>> = {
  '1d': { leaf: 1, subleaf: CPUID_NO_SUBLEAF, register: 'd' },
  '1c': { leaf: 1, subleaf: CPUID_NO_SUBLEAF, register: 'c' },
  '7b': { leaf: 7, subleaf: 0, register: 'b' },
  '7c': { leaf: 7, subleaf: 0, register: 'c' },
  '7d': { leaf: 7, subleaf: 0, register: 'd' },
  e1d: { leaf: 0x8000_0001, subleaf: CPUID_NO_SUBLEAF, register: 'd' },
  e1c: { leaf: 0x8000_0001, subleaf: CPUID_NO_SUBLEAF, register: 'c' },
  e7d: { leaf: 0x8000_0007, subleaf: CPUID_NO_SUBLEAF, register: 'd' },
  e8b: { leaf: 0x8000_0008, subleaf: CPUID_NO_SUBLEAF, register: 'b' },
};

const EXTENDED = 0x8000_0000;
/** Leaves with subleaves, and how many of these are told. */
const subleaves: Readonly<Record<number, number>> = { 4: 4, 7: 1, 0xb: 2, 0xd: 2 };
/**
 * The highest leaves that a policy of Xen has (x86_cpuid_copy_from_buffer, x86_cpu_policies_are_compatible): it refuses a guest that knows more. What
 * is beyond here, the frequency of the TSC, a kernel asks for when it boots and not again.
 */
const highest: Readonly<Record<number, number>> = { 0: 0xd, [EXTENDED]: EXTENDED + 0x1c };
const MAX_LEAVES = 256;

export function writeCpuidPolicy(domain: Pick<DomainControl, 'cpuid'>): Uint8Array {
  const leaves = Object.entries(highest).flatMap(([from, limit]) => {
    const first = Number(from);
    const [own] = domain.cpuid(first, 0);
    const last = Math.min(own, limit);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i).flatMap((leaf) => {
      const registers = (subleaf: number): Registers => {
        const [a, b, c, d] = domain.cpuid(leaf, subleaf);
        return { a: leaf === first ? last : a, b, c, d };
      };
      const count = subleaves[leaf];
      if (count === undefined) return [{ leaf, subleaf: CPUID_NO_SUBLEAF, ...registers(0) }];
      return Array.from({ length: count }, (_, subleaf) => ({ leaf, subleaf, ...registers(subleaf) }));
    });
  });
  const body = new Uint8Array(leaves.length * CpuidLeaf.size);
  leaves.forEach((one, i) => CpuidLeaf.write(viewOf(body), i * CpuidLeaf.size, one));
  return body;
}

/** Xen's smallest: one register without a bit in it. */
export function writeMsrPolicy(): Uint8Array {
  const body = new Uint8Array(MsrEntry.size);
  MsrEntry.write(viewOf(body), 0, { idx: MSR.INTEL_PLATFORM_INFO });
  return body;
}

/** Throws StreamError with the features that the guest may use and this processor does not have. */
export function checkCpuidPolicy(body: Uint8Array, domain: Pick<DomainControl, 'cpuid'>): void {
  if (body.length % CpuidLeaf.size !== 0 || body.length > MAX_LEAVES * CpuidLeaf.size)
    throw new StreamError('the saved domain is damaged: its CPUID policy has a length that cannot be');
  const saved = new Map<string, Registers>();
  for (let at = 0; at < body.length; at += CpuidLeaf.size) {
    const { leaf, subleaf, ...registers } = CpuidLeaf.read(viewOf(body), at);
    saved.set(key(leaf, subleaf), registers);
  }
  const missing = Object.entries(features).flatMap(([name, { leaf: id, bit, pv }]) => {
    if (pv === 'never') return [];
    const { leaf, subleaf, register } = where[id];
    const [a, b, c, d] = domain.cpuid(leaf, 0);
    const there = ({ a, b, c, d }[register] >>> bit) & 1;
    const used = ((saved.get(key(leaf, subleaf))?.[register] ?? 0) >>> bit) & 1;
    return used > there ? [name] : [];
  });
  if (missing.length > 0)
    throw new StreamError(
      `the saved domain may use features that this processor does not have: ${missing.join(', ')} (hide them from it before it is saved, with cpuid= in its configuration)`,
    );
}

function key(leaf: number, subleaf: number): string {
  return `${leaf} ${subleaf}`;
}
