/**
 * What this processor implements, by CPUID feature name (the manuals' names in lower case). The platform that a guest runs on tells CPUID from it: what is
 * listed works, what is not listed raises #UD or #GP. The TSC is invariant and counts nanoseconds by definition.
 */
export const cpuFeatures = [
  'fpu', 'tsc', 'cx8', 'cmov', 'clflush', 'mmx', 'fxsr', 'sse', 'sse2',
  'sse3', 'pclmulqdq', 'ssse3', 'cx16', 'sse4_1', 'sse4_2', 'movbe', 'popcnt', 'aes', 'rdrand',
  'fsgsbase', 'bmi1', 'bmi2', 'erms', 'rdseed', 'adx', 'clflushopt', 'sha', 'fsrm',
  'syscall', 'nx', 'rdtscp', 'lm', 'lahf_lm', 'lzcnt', 'prefetchw', 'itsc',
] as const;
export type CpuFeature = (typeof cpuFeatures)[number];
