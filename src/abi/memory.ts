/** After xen/include/public/memory.h. */
import { domid, guestHandle, struct, u32, u64 } from './struct.ts';

export const XenMemoryReservation = struct(
  'xen_memory_reservation',
  { extent_start: guestHandle, nr_extents: u64, extent_order: u32, mem_flags: u32, domid },
  32,
);
export const XenMachphysMapping = struct(
  'xen_machphys_mapping',
  { v_start: guestHandle, v_end: guestHandle, max_mfn: u64 },
  24,
);
export const XenMachphysMfnList = struct(
  'xen_machphys_mfn_list',
  { max_extents: u32, extent_start: guestHandle, nr_extents: u32 },
  24,
);
export const XenMemoryMap = struct('xen_memory_map', { nr_entries: u32, buffer: guestHandle }, 16);
export const XenDomainId = struct('domid_t', { domid }, 2);

/** struct e820entry of arch-x86: 20 bytes, packed. */
export const E820Entry = struct('e820entry', { addr: u64, size: u64, type: u32 }, 20, { packed: true });
export const E820_RAM = 1;

/** memory_op's command carries where to go on above bit 6. */
export const MEMOP_EXTENT_SHIFT = 6;
