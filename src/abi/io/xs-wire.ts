/** Xenstore's wire format and ring page. After xen/include/public/io/xs_wire.h. */
import { bytes, struct, u32 } from '../struct.ts';

/** enum xsd_sockmsg_type */
export const XsMessage = {
  XS_CONTROL: 0,
  XS_DIRECTORY: 1,
  XS_READ: 2,
  XS_GET_PERMS: 3,
  XS_WATCH: 4,
  XS_UNWATCH: 5,
  XS_TRANSACTION_START: 6,
  XS_TRANSACTION_END: 7,
  XS_INTRODUCE: 8,
  XS_RELEASE: 9,
  XS_GET_DOMAIN_PATH: 10,
  XS_WRITE: 11,
  XS_MKDIR: 12,
  XS_RM: 13,
  XS_SET_PERMS: 14,
  XS_WATCH_EVENT: 15,
  XS_ERROR: 16,
  XS_IS_DOMAIN_INTRODUCED: 17,
  XS_RESUME: 18,
  XS_SET_TARGET: 19,
  /* 20 was XS_RESTRICT */
  XS_RESET_WATCHES: 21,
  XS_DIRECTORY_PART: 22,
} as const;

/** struct xsd_sockmsg: what precedes every payload, both ways. */
export const XsdSockmsg = struct('xsd_sockmsg', { type: u32, req_id: u32, tx_id: u32, len: u32 }, 16);

/** Longer payloads end the connection. */
export const XENSTORE_PAYLOAD_MAX = 4096;
/** Longer paths are answered with EINVAL; no daemon allows one as long as the first. */
export const XENSTORE_ABS_PATH_MAX = 3072;
export const XENSTORE_REL_PATH_MAX = 2048;

export const XENSTORE_RING_SIZE = 1024;

/** struct xenstore_domain_interface; indices run freely, a byte lies at its index modulo XENSTORE_RING_SIZE. */
export const XenstoreDomainInterface = struct(
  'xenstore_domain_interface',
  {
    req: bytes(XENSTORE_RING_SIZE), // requests to the store
    rsp: bytes(XENSTORE_RING_SIZE), // replies and watch events
    req_cons: u32,
    req_prod: u32,
    rsp_cons: u32,
    rsp_prod: u32,
    server_features: u32,
    connection: u32,
    error: u32,
  },
  2076,
);

/** Bits of server_features. */
export const XENSTORE_SERVER_FEATURE_RECONNECTION = 1;
export const XENSTORE_SERVER_FEATURE_ERROR = 2;
/** In docs/misc/xenstore-ring.txt of 4.17; later headers have the constant. */
export const XENSTORE_SERVER_FEATURE_WATCHDEPTH = 4;

/** Values of `connection`. */
export const XENSTORE_CONNECTED = 0;
export const XENSTORE_RECONNECT = 1;

/** Values of `error`. */
export const XENSTORE_ERROR_NONE = 0;
export const XENSTORE_ERROR_COMM = 1;
export const XENSTORE_ERROR_RINGIDX = 2;
export const XENSTORE_ERROR_PROTO = 3;

/** Errors travel by name. */
export const xsErrors = [
  'EINVAL',
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ENOENT',
  'ENOMEM',
  'ENOSPC',
  'EIO',
  'ENOTEMPTY',
  'ENOSYS',
  'EROFS',
  'EBUSY',
  'EAGAIN',
  'EISCONN',
  'E2BIG',
  'EPERM',
] as const;
export type XsError = (typeof xsErrors)[number];
