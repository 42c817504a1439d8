/** After xen/include/public/event_channel.h. */
import { array, domid, evtchnPort, gfn, struct, u32, u8, vcpuId } from './struct.ts';
import type { Port } from './numbers.ts';

export const EVTCHN_2L_NR_CHANNELS = 4096;
export const EVTCHN_FIFO_NR_CHANNELS = 131072;

export const EvtchnBindInterdomain = struct(
  'evtchn_bind_interdomain',
  { remote_dom: domid, remote_port: evtchnPort, local_port: evtchnPort },
  12,
);
export const EvtchnBindVirq = struct('evtchn_bind_virq', { virq: u32, vcpu: vcpuId, port: evtchnPort }, 12);
export const EvtchnBindPirq = struct('evtchn_bind_pirq', { pirq: u32, flags: u32, port: evtchnPort }, 12);
export const EvtchnClose = struct('evtchn_close', { port: evtchnPort }, 4);
export const EvtchnSend = struct('evtchn_send', { port: evtchnPort }, 4);
export const EvtchnStatus = struct(
  'evtchn_status',
  {
    dom: domid,
    port: evtchnPort,
    status: u32,
    vcpu: vcpuId,
    /** The union: unbound.dom and interdomain.dom (16 bits), pirq, virq. */
    u: u32,
    interdomain_port: evtchnPort,
  },
  24,
);
export const EvtchnAllocUnbound = struct(
  'evtchn_alloc_unbound',
  { dom: domid, remote_dom: domid, port: evtchnPort },
  8,
);
export const EvtchnBindIpi = struct('evtchn_bind_ipi', { vcpu: vcpuId, port: evtchnPort }, 8);
export const EvtchnBindVcpu = struct('evtchn_bind_vcpu', { port: evtchnPort, vcpu: vcpuId }, 8);
export const EvtchnUnmask = struct('evtchn_unmask', { port: evtchnPort }, 4);
export const EvtchnReset = struct('evtchn_reset', { dom: domid }, 2);
export const EvtchnInitControl = struct(
  'evtchn_init_control',
  { control_gfn: gfn, offset: u32, vcpu: vcpuId, link_bits: u8, pad: array(u8, 7) },
  24,
);
export const EvtchnExpandArray = struct('evtchn_expand_array', { array_gfn: gfn }, 8);
export const EvtchnSetPriority = struct('evtchn_set_priority', { port: evtchnPort, priority: u32 }, 8);

/** EVTCHNSTAT_* */
export const EVTCHNSTAT = { closed: 0, unbound: 1, interdomain: 2, pirq: 3, virq: 4, ipi: 5 } as const;

/** FIFO event words and control blocks. */
export const EVTCHN_FIFO_PENDING = 0x8000_0000;
export const EVTCHN_FIFO_MASKED = 0x4000_0000;
export const EVTCHN_FIFO_LINKED = 0x2000_0000;
export const EVTCHN_FIFO_BUSY = 0x1000_0000;
export const EVTCHN_FIFO_LINK_BITS = 17;
export const EVTCHN_FIFO_LINK_MASK = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
export const EVTCHN_FIFO_PRIORITY_MAX = 0;
export const EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
export const EVTCHN_FIFO_PRIORITY_MIN = 15;
export const EVTCHN_FIFO_MAX_QUEUES = 16;
export const EvtchnFifoControlBlock = struct(
  'evtchn_fifo_control_block',
  { ready: u32, rsvd: u32, head: array(u32, EVTCHN_FIFO_MAX_QUEUES) },
  72,
);

/** Limits the values of a port to what any ABI can name. */
export const isPortNumber = (port: Port): boolean => port > 0 && port < EVTCHN_FIFO_NR_CHANNELS;
