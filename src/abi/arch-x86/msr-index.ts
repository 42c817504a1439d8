/** Model-specific registers that a PV guest may come upon (SDM Vol. 4, "Architectural MSRs"; AMD APM Vol. 2, "MSR Cross-Reference"). */
export const MSR = {
  P5_MC_ADDR: 0x0,
  P5_MC_TYPE: 0x1,
  IA32_TSC: 0x10,
  IA32_PLATFORM_ID: 0x17,
  IA32_APIC_BASE: 0x1b,
  IA32_FEATURE_CONTROL: 0x3a,
  IA32_TSC_ADJUST: 0x3b,
  IA32_UCODE_WRITE: 0x79,
  IA32_UCODE_REV: 0x8b,
  INTEL_PLATFORM_INFO: 0xce,
  ARCH_CAPABILITIES: 0x10a,
  INTEL_MISC_FEATURES_ENABLES: 0x140,
  IA32_MCG_CAP: 0x179,
  IA32_MCG_STATUS: 0x17a,
  IA32_MCG_CTL: 0x17b,
  IA32_PERF_STATUS: 0x198,
  IA32_PERF_CTL: 0x199,
  IA32_THERM_STATUS: 0x19c,
  IA32_MISC_ENABLE: 0x1a0,
  IA32_CR_PAT: 0x277,
  IA32_MCx_CTL2: 0x280,
  IA32_PERF_CAPABILITIES: 0x345,
  IA32_MCx_CTL: 0x400,
  IA32_MCG_EXT_CTL: 0x4d0,
  EFER: 0xc0000080,
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  SHADOW_GS_BASE: 0xc0000102,
  TSC_AUX: 0xc0000103,
} as const;

/** EFER of a 64-bit PV guest: SCE, LME, LMA, NXE. */
export const GUEST_EFER = 0xd01;
/** Order of the page attributes: WB WT UC- UC WC WP UC UC (XEN_MSR_PAT), low and high half. */
export const XEN_MSR_PAT = { lo: 0x00070406, hi: 0x00000501 } as const;
