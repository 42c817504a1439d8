/**
 * The processor that guests see: one policy for the plain CPUID instruction and for Xen's forced-emulation form.
 * docs/adr/0004-cpu-model.md says why it is the model it is. It is the same on every host.
 */
import {
  XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD,
  XEN_CPUID_FIRST_LEAF,
  XEN_CPUID_MAX_NUM_LEAVES,
  XEN_CPUID_SIGNATURE,
  XEN_CPUID_TSC,
  XEN_HYPERCALL_PAGE_MSR,
} from '../../abi/arch-x86/cpuid.ts';
import { type FeatureLeaf, type FeatureName, features } from '../../abi/arch-x86/cpufeatureset.ts';

/** EAX, EBX, ECX, EDX. */
export type CpuidLeaf = readonly [eax: number, ebx: number, ecx: number, edx: number];

export interface CpuidQuery {
  readonly vcpu: number;
  readonly vcpus: number;
  /** XENVER_version: major << 16 | minor. */
  readonly xenVersion: number;
  /** Width of the machine addresses in the domain's page tables. */
  readonly addressBits: number;
}

/** The TSC counts nanoseconds. */
export const TSC_KHZ = 1_000_000;
const CRYSTAL_HZ = 25_000_000;

/** Family 6, model 0x1c, stepping 10: an in-order processor without speculative execution, which ours is. */
const SIGNATURE = 0x000106ca;
const VENDOR = 'GenuineIntel';
const BRAND = 'Xenolith Virtual Processor @ 1.00GHz';
const MAX_BASIC = 0x16;
const MAX_EXTENDED = 0x80000008;
const CLFLUSH_QUADWORDS = 8;
const PHYSICAL_BITS = 40;
const LINEAR_BITS = 48;

const none: CpuidLeaf = [0, 0, 0, 0];

const word = (text: string, at: number): number =>
  (text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)) >>>
  0;

/** What a PV guest sees of a processor with these features. */
export class CpuidPolicy {
  readonly #bits: Record<FeatureLeaf, number>;

  /** @param hidden not shown, whoever would provide it */
  constructor(processor: readonly FeatureName[], hidden: readonly FeatureName[] = []) {
    const bits: Record<FeatureLeaf, number> = {
      '1d': 0,
      '1c': 0,
      '7b': 0,
      '7c': 0,
      '7d': 0,
      e1d: 0,
      e1c: 0,
      e7d: 0,
      e8b: 0,
    };
    for (const [name, { leaf, bit, pv }] of Object.entries(features)) {
      if (hidden.includes(name as FeatureName)) continue;
      if (pv === 'xen' || (pv === 'cpu' && processor.includes(name as FeatureName)))
        bits[leaf] = (bits[leaf] | (1 << bit)) >>> 0;
    }
    this.#bits = bits;
  }

  has(name: FeatureName): boolean {
    const { leaf, bit } = features[name];
    return ((this.#bits[leaf] >>> bit) & 1) !== 0;
  }

  query(leaf: number, subleaf: number, q: CpuidQuery): CpuidLeaf {
    if (leaf >= XEN_CPUID_FIRST_LEAF && leaf < XEN_CPUID_FIRST_LEAF + 0x100)
      return xenLeaf(leaf - XEN_CPUID_FIRST_LEAF, subleaf, q);
    const bits = this.#bits;
    switch (leaf) {
      case 0x0:
        return [MAX_BASIC, word(VENDOR, 0), word(VENDOR, 8), word(VENDOR, 4)];
      case 0x1: {
        const cores = addressable(q.vcpus);
        const htt = q.vcpus > 1 ? 1 << 28 : 0;
        return [
          SIGNATURE,
          ((q.vcpu << 24) | (cores << 16) | (CLFLUSH_QUADWORDS << 8)) >>> 0,
          bits['1c'],
          (bits['1d'] | htt) >>> 0,
        ];
      }
      case 0x2: // TLBs of 64 and 256 entries for 4 KiB pages; caches: see leaf 4. Bit 31 of a register would void it.
        return [0x00b4b201, 0x0000f0ff, 0, 0];
      case 0x4:
        return cacheLeaf(subleaf, addressable(q.vcpus));
      case 0x7:
        return subleaf === 0 ? [0, bits['7b'], bits['7c'], bits['7d']] : none;
      case 0xb:
        return topologyLeaf(subleaf, q);
      case 0x15:
        return [1, (TSC_KHZ * 1000) / CRYSTAL_HZ, CRYSTAL_HZ, 0];
      case 0x16:
        return [TSC_KHZ / 1000, TSC_KHZ / 1000, 100, 0];
      case 0x80000000:
        return [MAX_EXTENDED, 0, 0, 0];
      case 0x80000001:
        return [0, 0, bits.e1c, bits.e1d];
      case 0x80000002:
      case 0x80000003:
      case 0x80000004: {
        const text = BRAND.padEnd(48, '\0').slice((leaf - 0x80000002) * 16);
        return [word(text, 0), word(text, 4), word(text, 8), word(text, 12)];
      }
      case 0x80000006: // second-level cache: 512 KiB, 8-way, 64-byte lines
        return [0, 0, 0x02006040, 0];
      case 0x80000007:
        return [0, 0, 0, bits.e7d];
      case 0x80000008:
        return [PHYSICAL_BITS | (LINEAR_BITS << 8), bits.e8b, 0, 0];
      default:
        return none;
    }
  }
}

/** APIC ids set aside for so many vCPUs: a power of two. */
function addressable(vcpus: number): number {
  return 2 ** shiftOf(vcpus);
}

function shiftOf(vcpus: number): number {
  return Math.ceil(Math.log2(Math.max(1, vcpus)));
}

const caches = [
  { type: 1, level: 1, ways: 8, sets: 64 }, // data, 32 KiB
  { type: 2, level: 1, ways: 8, sets: 64 }, // instructions, 32 KiB
  { type: 3, level: 2, ways: 8, sets: 1024 }, // unified, 512 KiB
] as const;

/** SDM Vol. 2A, "CPUID", deterministic cache parameters. Every core has its own caches. */
function cacheLeaf(subleaf: number, cores: number): CpuidLeaf {
  const cache = caches[subleaf];
  if (cache === undefined) return none;
  return [
    (cache.type | (cache.level << 5) | (1 << 8) | ((cores - 1) << 26)) >>> 0,
    (((cache.ways - 1) << 22) | (64 - 1)) >>> 0,
    cache.sets - 1,
    0,
  ];
}

/** One thread a core, all cores in one package. */
function topologyLeaf(subleaf: number, q: CpuidQuery): CpuidLeaf {
  if (subleaf === 0) return [0, 1, 1 << 8, q.vcpu];
  if (subleaf === 1) return [shiftOf(q.vcpus), q.vcpus, (2 << 8) | 1, q.vcpu];
  return [0, 0, subleaf & 0xff, q.vcpu];
}

/** cpuid_hypervisor_leaves in xen/arch/x86/traps.c. */
function xenLeaf(leaf: number, subleaf: number, q: CpuidQuery): CpuidLeaf {
  switch (leaf) {
    case 0:
      return [XEN_CPUID_FIRST_LEAF + XEN_CPUID_MAX_NUM_LEAVES, ...XEN_CPUID_SIGNATURE];
    case 1:
      return [q.xenVersion, 0, 0, 0];
    case 2:
      return [1, XEN_HYPERCALL_PAGE_MSR, XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD, 0];
    case 3:
      if (subleaf === 0) return [XEN_CPUID_TSC.HOST_RELIABLE | XEN_CPUID_TSC.RDTSCP_INSTR_AVAIL, 0, TSC_KHZ, 0];
      // ns = tsc << 1 * 2^31 / 2^32
      if (subleaf === 1) return [0, 0, 0x80000000, 1];
      return subleaf === 2 ? [TSC_KHZ, 0, 0, 0] : none;
    case 5:
      return subleaf === 0 ? [0, q.addressBits, 0, 0] : none;
    default:
      return none;
  }
}
