/** What only the PV platform needs of xen/include/public/arch-x86/xen.h and xen-x86_64.h; the rest is in ../arch-x86.ts. */
import { struct, u64lohi } from '../struct.ts';

export const FLAT_KERNEL_CS = 0xe033;
export const FLAT_KERNEL_SS = 0xe02b;
export const FLAT_USER_CS32 = 0xe023;
export const FLAT_USER_SS32 = 0xe02b;

/** Pages of the GDT that the guest may give. */
export const FIRST_RESERVED_GDT_PAGE = 14;

/** HYPERVISOR_set_segment_base, `which`. */
export const SEGBASE = { FS: 0, GS_USER: 1, GS_KERNEL: 2, GS_USER_SEL: 3 } as const;

/** trap_info.flags: bits 1:0 are the DPL, bit 2 masks events on entry. */
export const TI_DPL = 3;
export const TI_IF = 4;
export const NR_VECTORS = 256;

/** What HYPERVISOR_iret takes from the guest's stack. */
export const IretContext = struct(
  'iret_context',
  {
    rax: u64lohi,
    r11: u64lohi,
    rcx: u64lohi,
    flags: u64lohi,
    rip: u64lohi,
    cs: u64lohi,
    rflags: u64lohi,
    rsp: u64lohi,
    ss: u64lohi,
  },
  0x48,
);

/** HYPERVISOR_vm_assist. */
export const VMASST_CMD = { enable: 0, disable: 1 } as const;
export const VMASST_TYPE = {
  '4gb_segments': 0,
  '4gb_segments_notify': 1,
  writable_pagetables: 2,
  pae_extended_cr3: 3,
  architectural_iopl: 4,
  runstate_update_flag: 5,
  m2p_strict: 32,
} as const;

/** RFLAGS (SDM Vol. 1, "EFLAGS Register"). */
export const RFLAGS = {
  CF: 0x1,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  IOPL: 0x3000,
  NT: 0x4000,
  RF: 0x10000,
  VM: 0x20000,
  AC: 0x40000,
  VIF: 0x80000,
  VIP: 0x100000,
  ID: 0x200000,
} as const;
