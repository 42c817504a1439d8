/**
 * RDMSR and WRMSR of a PV guest's kernel, one row per register or range. After read_msr and write_msr in
 * xen/arch/x86/pv/emul-priv-op.c, guest_rdmsr and guest_wrmsr in xen/arch/x86/msr.c. What has no row gives #GP.
 */
import { GUEST_EFER, MSR, XEN_MSR_PAT } from '../../abi/arch-x86/msr-index.ts';
import { isCanonical } from '../../abi/arch-x86/page-table.ts';
import { hiOf, loOf, signedOf } from '../../abi/numbers.ts';
import type { PvVcpu } from './pv-vcpu.ts';

/** The value that a row's `read` leaves. */
export interface MsrValue {
  lo: number;
  hi: number;
}

interface MsrRow {
  readonly first: number;
  readonly last?: number;
  readonly name: string;
  /** Absent: reading gives #GP. */
  readonly read?: (pv: PvVcpu, value: MsrValue, msr: number) => void;
  /** False, or absent: #GP. */
  readonly write?: (pv: PvVcpu, lo: number, hi: number, msr: number) => boolean;
}

const constant =
  (lo: number, hi = 0) =>
  (_: PvVcpu, value: MsrValue): void => {
    value.lo = lo;
    value.hi = hi;
  };
const address = (va: number, value: MsrValue): void => {
  value.lo = loOf(va);
  value.hi = hiOf(va);
};
const zero = constant(0);
const ignored = (): boolean => true;
const onlyZero = (_: PvVcpu, lo: number, hi: number): boolean => lo === 0 && hi === 0;

const APIC_BASE = 0xfee00000;
const APIC_BASE_ENABLE = 0x800;
const APIC_BASE_BSP = 0x100;
/** FAST_STRING; BTS, PEBS unavailable; XTPR disable. Without the first Linux turns its string instructions off. */
const MISC_ENABLE = 0x1 | 0x800 | 0x1000 | 0x800000;
const MCE_BANKS = 2;

export const msrs: readonly MsrRow[] = [
  { first: MSR.P5_MC_ADDR, last: MSR.P5_MC_TYPE, name: 'P5_MC', read: zero },
  { first: MSR.IA32_TSC, name: 'TSC', read: (pv, value) => address(pv.vcpu.now(), value) },
  { first: MSR.IA32_PLATFORM_ID, name: 'PLATFORM_ID', read: zero },
  {
    first: MSR.IA32_APIC_BASE,
    name: 'APIC_BASE',
    read(pv, value) {
      value.lo = (APIC_BASE | APIC_BASE_ENABLE | (pv.vcpu.id === 0 ? APIC_BASE_BSP : 0)) >>> 0;
      value.hi = 0;
    },
  },
  { first: MSR.IA32_FEATURE_CONTROL, name: 'FEATURE_CONTROL', read: constant(1) },
  // The TSC is one clock for all vCPUs, and nobody adjusts it.
  { first: MSR.IA32_TSC_ADJUST, name: 'TSC_ADJUST', read: zero, write: onlyZero },
  // Intel's way to ask for the revision is to write 0 first; the revision itself is in the upper half.
  { first: MSR.IA32_UCODE_REV, name: 'UCODE_REV', read: constant(0, 0x107), write: onlyZero },
  { first: MSR.INTEL_PLATFORM_INFO, name: 'PLATFORM_INFO', read: zero },
  { first: MSR.INTEL_MISC_FEATURES_ENABLES, name: 'MISC_FEATURES_ENABLES', read: zero, write: onlyZero },
  { first: MSR.IA32_MCG_CAP, name: 'MCG_CAP', read: constant(MCE_BANKS) },
  { first: MSR.IA32_MCG_STATUS, last: MSR.IA32_MCG_CTL, name: 'MCG_STATUS, MCG_CTL', read: zero, write: ignored },
  {
    first: MSR.IA32_PERF_STATUS,
    last: MSR.IA32_PERF_CTL,
    name: 'PERF_STATUS, PERF_CTL',
    read: zero,
    write: (_, __, ___, msr) => msr === MSR.IA32_PERF_CTL,
  },
  { first: MSR.IA32_THERM_STATUS, name: 'THERM_STATUS', read: zero },
  { first: MSR.IA32_MISC_ENABLE, name: 'MISC_ENABLE', read: constant(MISC_ENABLE), write: ignored },
  { first: MSR.IA32_CR_PAT, name: 'PAT', read: constant(XEN_MSR_PAT.lo, XEN_MSR_PAT.hi) },
  { first: MSR.IA32_MCx_CTL2, last: MSR.IA32_MCx_CTL2 + 31, name: 'MCi_CTL2', read: zero, write: ignored },
  { first: MSR.IA32_PERF_CAPABILITIES, name: 'PERF_CAPABILITIES', read: zero },
  {
    first: MSR.IA32_MCx_CTL,
    last: MSR.IA32_MCx_CTL + 127,
    name: 'MCi_CTL, STATUS, ADDR, MISC',
    read: zero,
    write: ignored,
  },
  {
    first: MSR.EFER,
    name: 'EFER',
    read: constant(GUEST_EFER),
    write: (_, lo, hi) => lo === GUEST_EFER && hi === 0,
  },
  {
    first: MSR.FS_BASE,
    name: 'FS_BASE',
    read: (pv, value) => address(pv.cpu.fsBase, value),
    write: base((pv, va) => {
      pv.cpu.fsBase = va;
    }),
  },
  {
    first: MSR.GS_BASE,
    name: 'GS_BASE',
    read: (pv, value) => address(pv.cpu.gsBase, value),
    write: base((pv, va) => {
      pv.cpu.gsBase = va;
    }),
  },
  {
    first: MSR.SHADOW_GS_BASE,
    name: 'KERNEL_GS_BASE',
    read: (pv, value) => address(pv.state.address('gsInactive'), value),
    write: base((pv, va) => pv.state.setAddress('gsInactive', va)),
  },
  {
    first: MSR.TSC_AUX,
    name: 'TSC_AUX',
    read: (pv, value) => address(pv.state.word('tscAux'), value),
    write(pv, lo, hi) {
      if (hi !== 0) return false;
      pv.state.setWord('tscAux', lo);
      pv.cpu.tscAux = lo;
      return true;
    },
  },
];

function base(set: (pv: PvVcpu, va: number) => void): NonNullable<MsrRow['write']> {
  return (pv, lo, hi) => {
    const va = signedOf(lo, hi);
    if (!isCanonical(va)) return false;
    set(pv, va);
    return true;
  };
}

const byIndex: ReadonlyMap<number, MsrRow> = new Map(
  msrs.flatMap((row) =>
    Array.from({ length: (row.last ?? row.first) - row.first + 1 }, (_, i) => [row.first + i, row] as const),
  ),
);

/** False: #GP. */
export function readMsr(pv: PvVcpu, msr: number, value: MsrValue): boolean {
  const row = byIndex.get(msr);
  if (row?.read === undefined) return false;
  row.read(pv, value, msr);
  return true;
}

export function writeMsr(pv: PvVcpu, msr: number, lo: number, hi: number): boolean {
  return byIndex.get(msr)?.write?.(pv, lo, hi, msr) ?? false;
}
