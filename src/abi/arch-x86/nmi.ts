/** HYPERVISOR_nmi_op: after xen/include/public/nmi.h. */
import { guestHandle, struct, u64lohi } from '../struct.ts';

export const XENNMI = { register_callback: 0, unregister_callback: 1 } as const;
export const XennmiCallback = struct('xennmi_callback', { handler_address: u64lohi, pad: guestHandle }, 16);
