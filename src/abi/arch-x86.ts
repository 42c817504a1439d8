/** After xen/include/public/arch-x86/xen.h and xen-x86_64.h. */
import { array, bytes, guestHandle, s8, struct, u16, u32, u64, u64lohi, u8 } from './struct.ts';

export const HYPERVISOR_VIRT_START = -0x8000_0000_0000; // 0xffff800000000000
export const HYPERVISOR_VIRT_END = -0x7800_0000_0000; // 0xffff880000000000
export const MACH2PHYS_VIRT_START = HYPERVISOR_VIRT_START;
export const MACH2PHYS_VIRT_END = -0x7fc0_0000_0000; // 0xffff804000000000

export const FLAT_RING3_CS32 = 0xe023;
export const FLAT_RING3_DS32 = 0xe02b;
export const FLAT_RING3_SS64 = 0xe02b;
export const FLAT_RING3_CS64 = 0xe033;
export const FIRST_RESERVED_GDT_ENTRY = 14 * 512;

/** VGCF_* of vcpu_guest_context.flags. */
export const VGCF_I387_VALID = 1;
export const VGCF_in_kernel = 4;
export const VGCF_failsafe_disables_events = 8;
export const VGCF_syscall_disables_events = 0x10;
export const VGCF_online = 0x20;
/** Flag of the iret hypercall's frame: RCX and R11 are not taken from it. */
export const VGCF_in_syscall = 0x100;

export const VcpuTimeInfo = struct(
  'vcpu_time_info',
  {
    version: u32,
    pad0: u32,
    tsc_timestamp: u64,
    system_time: u64,
    tsc_to_system_mul: u32,
    tsc_shift: s8,
    flags: u8,
    pad1: bytes(2),
  },
  32,
);
export const XEN_PVCLOCK_TSC_STABLE_BIT = 1;
export const XEN_PVCLOCK_GUEST_STOPPED = 2;

export const VcpuInfo = struct(
  'vcpu_info',
  {
    evtchn_upcall_pending: u8,
    evtchn_upcall_mask: u8,
    pad0: bytes(6),
    evtchn_pending_sel: u64lohi,
    cr2: guestHandle,
    pad1: u64lohi,
    time: VcpuTimeInfo,
  },
  64,
);

export const XEN_LEGACY_MAX_VCPUS = 32;

export const SharedInfo = struct(
  'shared_info',
  {
    vcpu_info: array(VcpuInfo, XEN_LEGACY_MAX_VCPUS),
    evtchn_pending: bytes(512),
    evtchn_mask: bytes(512),
    wc_version: u32,
    wc_sec: u32,
    wc_nsec: u32,
    wc_sec_hi: u32,
    max_pfn: u64,
    pfn_to_mfn_frame_list_list: u64,
    nmi_reason: u64,
    p2m_cr3: u64,
    p2m_vaddr: guestHandle,
    p2m_generation: u64,
  },
  0xc40,
);

export const TrapInfo = struct('trap_info', { vector: u8, flags: u8, cs: u16, address: guestHandle }, 16);

export const CpuUserRegs = struct(
  'cpu_user_regs',
  {
    r15: u64lohi,
    r14: u64lohi,
    r13: u64lohi,
    r12: u64lohi,
    rbp: u64lohi,
    rbx: u64lohi,
    r11: u64lohi,
    r10: u64lohi,
    r9: u64lohi,
    r8: u64lohi,
    rax: u64lohi,
    rcx: u64lohi,
    rdx: u64lohi,
    rsi: u64lohi,
    rdi: u64lohi,
    error_code: u32,
    entry_vector: u32,
    rip: guestHandle,
    cs: u16,
    pad0: u16,
    saved_upcall_mask: u8,
    pad1: bytes(3),
    rflags: u64lohi,
    rsp: guestHandle,
    ss: u16,
    pad2: bytes(6),
    es: u16,
    pad3: bytes(6),
    ds: u16,
    pad4: bytes(6),
    fs: u16,
    pad5: bytes(6),
    gs: u16,
    pad6: bytes(6),
  },
  0xc8,
);

export const VcpuGuestContext = struct(
  'vcpu_guest_context',
  {
    fpu_ctxt: bytes(512),
    flags: u64,
    user_regs: CpuUserRegs,
    trap_ctxt: array(TrapInfo, 256),
    ldt_base: guestHandle,
    ldt_ents: u64,
    gdt_frames: array(u64, 16),
    gdt_ents: u64,
    kernel_ss: u64,
    kernel_sp: guestHandle,
    ctrlreg: array(u64lohi, 8),
    debugreg: array(u64lohi, 8),
    event_callback_eip: guestHandle,
    failsafe_callback_eip: guestHandle,
    syscall_callback_eip: guestHandle,
    vm_assist: u64,
    fs_base: guestHandle,
    gs_base_kernel: guestHandle,
    gs_base_user: guestHandle,
  },
  0x1430,
);
