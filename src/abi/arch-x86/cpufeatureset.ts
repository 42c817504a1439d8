/**
 * CPUID feature bits, named as Linux prints them in /proc/cpuinfo (the manuals' names in lower case), with what a PV
 * guest may see of them. After xen/include/public/arch-x86/cpufeatureset.h and the SDM, Vol. 2A, "CPUID".
 *
 * `pv` says who decides for a PV guest: `cpu`: shown when the processor has it · `xen`: shown always, since the PV
 * platform provides it · `never`: privileged machinery that a PV guest cannot use and that kernels would try to use.
 */
export type FeatureLeaf = '1d' | '1c' | '7b' | '7c' | '7d' | 'e1d' | 'e1c' | 'e7d' | 'e8b';
export interface Feature {
  readonly leaf: FeatureLeaf;
  readonly bit: number;
  readonly pv: 'cpu' | 'xen' | 'never';
}

const f = (leaf: FeatureLeaf, bit: number, pv: Feature['pv']): Feature => ({ leaf, bit, pv });

export const features = {
  // leaf 1, EDX
  fpu: f('1d', 0, 'cpu'),
  vme: f('1d', 1, 'never'),
  de: f('1d', 2, 'xen'),
  pse: f('1d', 3, 'never'),
  tsc: f('1d', 4, 'cpu'),
  msr: f('1d', 5, 'xen'),
  pae: f('1d', 6, 'xen'),
  mce: f('1d', 7, 'xen'),
  cx8: f('1d', 8, 'cpu'),
  apic: f('1d', 9, 'xen'),
  sep: f('1d', 11, 'xen'),
  mtrr: f('1d', 12, 'never'),
  pge: f('1d', 13, 'never'),
  mca: f('1d', 14, 'xen'),
  cmov: f('1d', 15, 'cpu'),
  pat: f('1d', 16, 'xen'),
  pse36: f('1d', 17, 'never'),
  clflush: f('1d', 19, 'cpu'),
  ds: f('1d', 21, 'never'),
  acpi: f('1d', 22, 'never'),
  mmx: f('1d', 23, 'cpu'),
  fxsr: f('1d', 24, 'cpu'),
  sse: f('1d', 25, 'cpu'),
  sse2: f('1d', 26, 'cpu'),
  ss: f('1d', 27, 'xen'),
  tm1: f('1d', 29, 'never'),
  // leaf 1, ECX
  sse3: f('1c', 0, 'cpu'),
  pclmulqdq: f('1c', 1, 'cpu'),
  dtes64: f('1c', 2, 'never'),
  monitor: f('1c', 3, 'never'),
  vmx: f('1c', 5, 'never'),
  ssse3: f('1c', 9, 'cpu'),
  fma: f('1c', 12, 'cpu'),
  cx16: f('1c', 13, 'cpu'),
  pdcm: f('1c', 15, 'never'),
  pcid: f('1c', 17, 'never'),
  dca: f('1c', 18, 'never'),
  sse4_1: f('1c', 19, 'cpu'),
  sse4_2: f('1c', 20, 'cpu'),
  x2apic: f('1c', 21, 'never'),
  movbe: f('1c', 22, 'cpu'),
  popcnt: f('1c', 23, 'cpu'),
  tsc_deadline: f('1c', 24, 'never'),
  aes: f('1c', 25, 'cpu'),
  xsave: f('1c', 26, 'cpu'),
  avx: f('1c', 28, 'cpu'),
  f16c: f('1c', 29, 'cpu'),
  rdrand: f('1c', 30, 'cpu'),
  hypervisor: f('1c', 31, 'xen'),
  // leaf 7 subleaf 0, EBX
  fsgsbase: f('7b', 0, 'cpu'),
  // Xen hides this one; see docs/adr/0004-cpu-model.md.
  tsc_adjust: f('7b', 1, 'xen'),
  bmi1: f('7b', 3, 'cpu'),
  avx2: f('7b', 5, 'cpu'),
  smep: f('7b', 7, 'never'),
  bmi2: f('7b', 8, 'cpu'),
  erms: f('7b', 9, 'cpu'),
  invpcid: f('7b', 10, 'never'),
  rdseed: f('7b', 18, 'cpu'),
  adx: f('7b', 19, 'cpu'),
  smap: f('7b', 20, 'never'),
  clflushopt: f('7b', 23, 'cpu'),
  clwb: f('7b', 24, 'cpu'),
  sha: f('7b', 29, 'cpu'),
  // leaf 7 subleaf 0, ECX
  umip: f('7c', 2, 'never'),
  pku: f('7c', 3, 'never'),
  la57: f('7c', 16, 'never'),
  rdpid: f('7c', 22, 'cpu'),
  // leaf 7 subleaf 0, EDX
  fsrm: f('7d', 4, 'cpu'),
  serialize: f('7d', 14, 'cpu'),
  // leaf 0x80000001, EDX
  syscall: f('e1d', 11, 'cpu'),
  nx: f('e1d', 20, 'cpu'),
  page1gb: f('e1d', 26, 'never'),
  rdtscp: f('e1d', 27, 'cpu'),
  lm: f('e1d', 29, 'cpu'),
  // leaf 0x80000001, ECX
  lahf_lm: f('e1c', 0, 'cpu'),
  svm: f('e1c', 2, 'never'),
  lzcnt: f('e1c', 5, 'cpu'),
  prefetchw: f('e1c', 8, 'cpu'),
  topoext: f('e1c', 22, 'never'),
  // leaf 0x80000007, EDX
  itsc: f('e7d', 8, 'cpu'),
} as const satisfies Record<string, Feature>;
export type FeatureName = keyof typeof features;
