/**
 * How a saved domain is written down: the header of xl's files (xen/tools/xl/xl.h), around libxl's stream
 * (docs/specs/libxl-migration-stream), around libxc's (docs/specs/libxc-migration-stream, version 3).
 */
import { bytes, s64, struct, u16, u32, u64, u8 } from '../../abi/struct.ts';

/** A record of libxl or libxc: this, then `length` bytes of body, then zeroes up to a multiple of `RECORD_ALIGN`. */
export const RecordHeader = struct('record_header', { type: u32, length: u32 }, 8);
export const RECORD_ALIGN = 8;
/** A record of a type that has this bit may be left out by who does not know it. */
export const RECORD_OPTIONAL = 0x8000_0000;

// --- xl ---------------------------------------------------------------------------------------------------------------

export const XL_MAGIC = 'Xen saved domain, xl format\n \0 \r';
export const XL_BYTE_ORDER = 0x01020304;
/** Bits of mandatory_flags: the configuration is JSON, and libxl's stream is of version 2. */
export const XL_MANDATORY_FLAG = { JSON: 1, STREAM_V2: 2 } as const;
/** `optional_data_len` bytes follow: the configuration's length in 32 bits, and the configuration. */
export const XlSaveHeader = struct(
  'save_file_header',
  { magic: bytes(32), byteorder: u32, mandatory_flags: u32, optional_flags: u32, optional_data_len: u32 },
  48,
);

// --- libxl ------------------------------------------------------------------------------------------------------------

/** All in big-endian order, as is libxc's image header. */
export const LIBXL_HEADER = { ident: 'LibxlFmt', version: 2, size: 16, bigEndian: 1, legacy: 2 } as const;
export const LIBXL_RECORD = {
  END: 0,
  LIBXC_CONTEXT: 1,
  EMULATOR_XENSTORE_DATA: 2,
  EMULATOR_CONTEXT: 3,
  CHECKPOINT_END: 4,
  CHECKPOINT_STATE: 5,
} as const;

// --- libxc ------------------------------------------------------------------------------------------------------------

/** marker ~0 (8 bytes), id (4), version (4), options (2), reserved (6). */
export const LIBXC_HEADER = { id: 0x58454e46, versions: [2, 3], version: 3, size: 24, bigEndian: 1 } as const;
export const DomainHeader = struct(
  'domain_header',
  { type: u32, page_shift: u16, reserved: u16, xen_major: u32, xen_minor: u32 },
  16,
);
export const DOMAIN_TYPE = { x86_pv: 1, x86_hvm: 2 } as const;

export const LIBXC_RECORD = {
  END: 0,
  PAGE_DATA: 1,
  X86_PV_INFO: 2,
  X86_PV_P2M_FRAMES: 3,
  X86_PV_VCPU_BASIC: 4,
  X86_PV_VCPU_EXTENDED: 5,
  X86_PV_VCPU_XSAVE: 6,
  SHARED_INFO: 7,
  X86_TSC_INFO: 8,
  HVM_CONTEXT: 9,
  HVM_PARAMS: 0xa,
  TOOLSTACK: 0xb,
  X86_PV_VCPU_MSRS: 0xc,
  VERIFY: 0xd,
  CHECKPOINT: 0xe,
  CHECKPOINT_DIRTY_PFN_LIST: 0xf,
  STATIC_DATA_END: 0x10,
  X86_CPUID_POLICY: 0x11,
  X86_MSR_POLICY: 0x12,
  /** Ours, of zeroes: what comes after it begins where it can be mapped. */
  PADDING: 0x8058_4e50,
} as const;
/** What libxc accepts (REC_LENGTH_MAX), and how many pages it sends at a time (MAX_BATCH_SIZE). */
export const RECORD_LENGTH_MAX = 8 << 20;
export const PAGES_PER_RECORD = 1024;

/** Then `count` × u64, each a PFN with its type in bits 63:60, then the pages that have data. */
export const PageDataHeader = struct('page_data_header', { count: u32, reserved: u32 }, 8);
/** XEN_DOMCTL_PFINFO_* of xen/include/public/domctl.h, in bits 31:28 of an entry's upper half. */
export const PAGE_TYPE = { NOTAB: 0, L1TAB: 1, L4TAB: 4, PINNED: 8, BROKEN: 0xd, XALLOC: 0xe, XTAB: 0xf } as const;
export const PAGE_TYPE_SHIFT = 28;
/** Of the upper half: PFN bits 51:32. */
export const PAGE_PFN_HI = 0x000f_ffff;

export const PvInfo = struct('x86_pv_info', { guest_width: u8, pt_levels: u8, reserved: bytes(6) }, 8);
/** Then u64 PFNs: the frames of the guest's P2M table that hold the entries from `start_pfn` to `end_pfn`. */
export const P2mFramesHeader = struct('x86_pv_p2m_frames', { start_pfn: u32, end_pfn: u32 }, 8);
export const VcpuHeader = struct('x86_pv_vcpu_header', { vcpu_id: u32, reserved: u32 }, 8);
export const TscInfo = struct('x86_tsc_info', { mode: u32, khz: u32, nsec: u64, incarnation: u32, reserved: u32 }, 24);

/** xen_domctl_ext_vcpucontext, x86. */
export const ExtVcpuContext = struct(
  'ext_vcpucontext',
  {
    vcpu: u32,
    size: u32,
    // Addresses of a kernel, thus signed numbers here.
    syscall32_callback_eip: s64,
    sysenter_callback_eip: s64,
    syscall32_callback_cs: u16,
    sysenter_callback_cs: u16,
    syscall32_disables_events: u8,
    sysenter_disables_events: u8,
    reserved: u16,
    vmce: bytes(32),
  },
  64,
);
/** xen_domctl_vcpu_msr */
export const VcpuMsr = struct('vcpu_msr', { index: u32, reserved: u32, value: u64 }, 16);
/** xen_cpuid_leaf_t */
export const CpuidLeaf = struct('xen_cpuid_leaf', { leaf: u32, subleaf: u32, a: u32, b: u32, c: u32, d: u32 }, 24);
export const CPUID_NO_SUBLEAF = 0xffff_ffff;
/** xen_msr_entry_t */
export const MsrEntry = struct('xen_msr_entry', { idx: u32, flags: u32, val: u64 }, 16);
