/** The PV console's page. After xen/include/public/io/console.h. */
import { bytes, struct, u32 } from '../struct.ts';

export const XENCONS_IN_SIZE = 1024;
export const XENCONS_OUT_SIZE = 2048;

/** struct xencons_interface; indices run freely, a byte lies at its index modulo the size of its array. */
export const XenconsInterface = struct(
  'xencons_interface',
  {
    in: bytes(XENCONS_IN_SIZE), // to the guest
    out: bytes(XENCONS_OUT_SIZE), // from the guest
    in_cons: u32,
    in_prod: u32,
    out_cons: u32,
    out_prod: u32,
  },
  3088,
);
