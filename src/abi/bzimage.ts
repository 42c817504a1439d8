/** The real-mode header of a bzImage, as far as a loader of its payload needs it. After linux: Documentation/x86/boot.rst. */
import { struct, u16, u32, u8, bytes, u64 } from './struct.ts';

/** File offset of the header. */
export const SETUP_HEADER_AT = 0x1f1;
export const HDRS_MAGIC = 0x53726448; // "HdrS"
/** The first boot protocol with `payload_offset`. */
export const VERSION_WITH_PAYLOAD = 0x0208;
/** What `setup_sects` 0 means. */
export const DEFAULT_SETUP_SECTS = 4;
export const SECTOR_SIZE = 512;

export const SetupHeader = struct(
  'setup_header',
  {
    setup_sects: u8,
    root_flags: u16,
    syssize: u32,
    ram_size: u16,
    vid_mode: u16,
    root_dev: u16,
    boot_flag: u16,
    jump: u16,
    header: u32,
    version: u16,
    realmode_swtch: u32,
    start_sys_seg: u16,
    kernel_version: u16,
    type_of_loader: u8,
    loadflags: u8,
    setup_move_size: u16,
    code32_start: u32,
    ramdisk_image: u32,
    ramdisk_size: u32,
    bootsect_kludge: u32,
    heap_end_ptr: u16,
    ext_loader_ver: u8,
    ext_loader_type: u8,
    cmd_line_ptr: u32,
    initrd_addr_max: u32,
    kernel_alignment: u32,
    relocatable_kernel: u8,
    min_alignment: u8,
    xloadflags: u16,
    cmdline_size: u32,
    hardware_subarch: u32,
    hardware_subarch_data: bytes(8),
    payload_offset: u32, // from the start of the protected-mode part
    payload_length: u32,
    setup_data: bytes(8),
    pref_address: u64,
    init_size: u32,
  },
  0x264 - SETUP_HEADER_AT,
  { packed: true },
);
