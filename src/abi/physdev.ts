/** After xen/include/public/physdev.h. */
import { gfn, guestHandle, struct, u32 } from './struct.ts';

export const PhysdevSetIopl = struct('physdev_set_iopl', { iopl: u32 }, 4);
export const PhysdevSetIobitmap = struct('physdev_set_iobitmap', { bitmap: guestHandle, nr_ports: u32 }, 16);
export const PhysdevPirqEoiGmfn = struct('physdev_pirq_eoi_gmfn', { gmfn: gfn }, 8);
export const PhysdevIrqStatusQuery = struct('physdev_irq_status_query', { irq: u32, flags: u32 }, 8);
