/** Whose frames a page-table hypercall is about: get_pg_owner of xen/common/page_alloc.c and the default access rules. */
import { Errno } from '../../abi/errno.ts';
import type { Domain } from '../domain.ts';

export const DOMID_SELF = 0x7ff0;
export const DOMID_IO = 0x7ff1;
export const DOMID_XEN = 0x7ff2;
const DOM0 = 0;

/** 0: the caller's own frames. Otherwise the error that an unprivileged caller gets. */
export function checkOwner(domain: Domain, domid: number): number {
  if (domid === DOMID_SELF) return 0;
  // Naming itself by its number is an error by definition; of the others only domain 0 is known to exist here.
  if (domid === DOM0 || domid === DOMID_XEN || domid === DOMID_IO)
    return domid === domain.domid ? Errno.ESRCH : Errno.EPERM;
  return Errno.ESRCH;
}
