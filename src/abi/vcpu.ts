/** After xen/include/public/vcpu.h. */
import { guestHandle, gfn, struct, u32, u64 } from './struct.ts';

export const VCPU_SSHOTTMR_future = 1;

export const VcpuSetPeriodicTimer = struct('vcpu_set_periodic_timer', { period_ns: u64 }, 8);
export const VcpuSetSingleshotTimer = struct('vcpu_set_singleshot_timer', { timeout_abs_ns: u64, flags: u32 }, 16);
export const VcpuRegisterVcpuInfo = struct('vcpu_register_vcpu_info', { mfn: gfn, offset: u32, rsvd: u32 }, 16);
/** vcpu_register_runstate_memory_area and vcpu_register_time_memory_area: one guest address. */
export const VcpuRegisterArea = struct('vcpu_register_memory_area', { va: guestHandle }, 8);
