/** struct start_info of xen/include/public/xen.h: the page that a PV guest finds in RSI. */
import { bytes, evtchnPort, gfn, guestHandle, struct, u32, u64 } from './struct.ts';

export const MAX_GUEST_CMDLINE = 1024;

export const SIF_PRIVILEGED = 1 << 0;
export const SIF_INITDOMAIN = 1 << 1;
export const SIF_MULTIBOOT_MOD = 1 << 2;
export const SIF_MOD_START_PFN = 1 << 3;
export const SIF_VIRT_P2M_4TOOLS = 1 << 4;

/** The console member is a union; a domU sees `console.domU`, whose fields are spelled out here. */
export const StartInfo = struct(
  'start_info',
  {
    magic: bytes(32),
    nr_pages: u64,
    shared_info: u64, // machine address, not a frame number
    flags: u32,
    store_mfn: gfn,
    store_evtchn: evtchnPort,
    console_mfn: gfn,
    console_evtchn: evtchnPort,
    pt_base: guestHandle,
    nr_pt_frames: u64,
    mfn_list: guestHandle,
    mod_start: guestHandle, // a PFN when SIF_MOD_START_PFN is set
    mod_len: u64,
    cmd_line: bytes(MAX_GUEST_CMDLINE),
    first_p2m_pfn: gfn,
    nr_p2m_frames: u64,
  },
  0x490,
);
