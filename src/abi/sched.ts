/** After xen/include/public/sched.h. */
import { guestHandle, struct, u32, u64 } from './struct.ts';

export const SchedShutdown = struct('sched_shutdown', { reason: u32 }, 4);
export const SchedPoll = struct('sched_poll', { ports: guestHandle, nr_ports: u32, timeout: u64 }, 24);
export const SchedWatchdog = struct('sched_watchdog', { id: u32, timeout: u32 }, 8);
export const MAX_POLL_PORTS = 128;
