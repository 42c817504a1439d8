/** After xen/include/public/grant_table.h. */
import { domid, grantRef, guestHandle, s16, struct, u16, u32, u64 } from './struct.ts';

export const GTF_invalid = 0;
export const GTF_permit_access = 1;
export const GTF_accept_transfer = 2;
export const GTF_transitive = 3;
export const GTF_type_mask = 3;
export const GTF_readonly = 4;
export const GTF_reading = 8;
export const GTF_writing = 16;
export const GTF_sub_page = 0x100;

/** GNTST_*: results of one element of an operation. */
export const GNTST = {
  okay: 0,
  general_error: -1,
  bad_domain: -2,
  bad_gntref: -3,
  bad_handle: -4,
  bad_virt_addr: -5,
  bad_dev_addr: -6,
  no_device_space: -7,
  permission_denied: -8,
  bad_page: -9,
  bad_copy_arg: -10,
  address_too_big: -11,
  eagain: -12,
  no_space: -13,
} as const;

export const GrantEntryV1 = struct('grant_entry_v1', { flags: u16, domid, frame: u32 }, 8);
/** The full_page form; a sub_page one has page_off and length where `pad0` is, a transitive one trans_domid and gref. */
export const GrantEntryV2 = struct('grant_entry_v2', { flags: u16, domid, page_off: u16, length: u16, frame: u64 }, 16);

export const GnttabMapGrantRef = struct(
  'gnttab_map_grant_ref',
  { host_addr: u64, flags: u32, ref: grantRef, dom: domid, status: s16, handle: u32, dev_bus_addr: u64 },
  32,
);
export const GnttabUnmapGrantRef = struct(
  'gnttab_unmap_grant_ref',
  { host_addr: u64, dev_bus_addr: u64, handle: u32, status: s16 },
  24,
);
export const GnttabUnmapAndReplace = struct(
  'gnttab_unmap_and_replace',
  { host_addr: u64, new_addr: u64, handle: u32, status: s16 },
  24,
);
export const GnttabSetupTable = struct(
  'gnttab_setup_table',
  { dom: domid, nr_frames: u32, status: s16, frame_list: guestHandle },
  24,
);
export const GnttabTransfer = struct('gnttab_transfer', { mfn: u64, domid, ref: grantRef, status: s16 }, 24);
/** source and dest: a grant reference or a frame number in `u`. */
export const GnttabCopy = struct(
  'gnttab_copy',
  {
    source_u: u64,
    source_domid: domid,
    source_offset: u16,
    dest_u: u64,
    dest_domid: domid,
    dest_offset: u16,
    len: u16,
    flags: u16,
    status: s16,
  },
  40,
);
export const GNTCOPY_source_gref = 1;
export const GNTCOPY_dest_gref = 2;
export const GnttabQuerySize = struct(
  'gnttab_query_size',
  { dom: domid, nr_frames: u32, max_nr_frames: u32, status: s16 },
  16,
);
export const GnttabSetVersion = struct('gnttab_set_version', { version: u32 }, 4);
export const GnttabGetStatusFrames = struct(
  'gnttab_get_status_frames',
  { nr_frames: u32, dom: domid, status: s16, frame_list: guestHandle },
  16,
);
export const GnttabGetVersion = struct('gnttab_get_version', { dom: domid, pad: u16, version: u32 }, 8);
export const GnttabSwapGrantRef = struct(
  'gnttab_swap_grant_ref',
  { ref_a: grantRef, ref_b: grantRef, status: s16 },
  12,
);

/** References 0 … 7 belong to the toolstack. */
export const GNTTAB_NR_RESERVED_ENTRIES = 8;
export const GNTTAB_RESERVED_CONSOLE = 0;
export const GNTTAB_RESERVED_XENSTORE = 1;
