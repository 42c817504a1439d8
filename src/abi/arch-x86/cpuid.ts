/** Xen's own CPUID leaves: after xen/include/public/arch-x86/cpuid.h. Offsets from the base leaf. */
export const XEN_CPUID_FIRST_LEAF = 0x40000000;
export const XEN_CPUID_MAX_NUM_LEAVES = 5;

/** "XenVMMXenVMM" in EBX, ECX, EDX. */
export const XEN_CPUID_SIGNATURE = [0x566e6558, 0x65584d4d, 0x4d4d566e] as const;

/** Leaf +2, ECX: this Xen has MMU_PT_UPDATE_PRESERVE_AD. */
export const XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1 << 0;

/** Leaf +3 subleaf 0, EAX. */
export const XEN_CPUID_TSC = { EMULATED: 1 << 0, HOST_RELIABLE: 1 << 1, RDTSCP_INSTR_AVAIL: 1 << 2 } as const;

/** First MSR of Xen's hypercall-page interface, leaf +2 EBX. */
export const XEN_HYPERCALL_PAGE_MSR = 0x40000000;
