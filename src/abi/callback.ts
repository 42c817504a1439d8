/** HYPERVISOR_callback_op: after xen/include/public/callback.h. */
import { struct, u16, u64lohi } from './struct.ts';

export const CALLBACKOP = { register: 0, unregister: 1 } as const;
export const CALLBACKTYPE = {
  event: 0,
  failsafe: 1,
  syscall: 2,
  sysenter_deprecated: 3,
  nmi: 4,
  sysenter: 5,
  syscall32: 7,
} as const;
export const CALLBACKF_mask_events = 1;

export const CallbackRegister = struct('callback_register', { type: u16, flags: u16, address: u64lohi }, 16);
export const CallbackUnregister = struct('callback_unregister', { type: u16, _unused: u16 }, 4);
