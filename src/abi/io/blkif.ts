/** The block device's ring. After xen/include/public/io/blkif.h; the 32-bit forms after Linux' drivers/block/xen-blkback/common.h. */
import { array, bytes, grantRef, s16, struct, u16, u64, u8 } from '../struct.ts';

/** Operations of a request. */
export const BLKIF_OP = {
  READ: 0,
  WRITE: 1,
  WRITE_BARRIER: 2,
  FLUSH_DISKCACHE: 3,
  RESERVED_1: 4,
  DISCARD: 5,
  INDIRECT: 6,
} as const;

/** Status of a response. */
export const BLKIF_RSP = { OKAY: 0, ERROR: -1, EOPNOTSUPP: -2 } as const;
export type BlkifStatus = (typeof BLKIF_RSP)[keyof typeof BLKIF_RSP];

export const BLKIF_MAX_SEGMENTS_PER_REQUEST = 11;
export const BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST = 8;
/** What sectors and segments count in, whatever `sector-size` says. */
export const BLKIF_SECTOR = 512;
export const SECTORS_PER_PAGE = 4096 / BLKIF_SECTOR;
/** struct blkif_request_segment in an indirect page. */
export const SEGMENTS_PER_INDIRECT_FRAME = 4096 / 8;

/** Bits of the `info` node. */
export const VDISK = { CDROM: 1, REMOVABLE: 2, READONLY: 4 } as const;

/** struct blkif_request_segment: the sectors `first_sect` to `last_sect` of a granted frame. */
export const BlkifRequestSegment = struct(
  'blkif_request_segment',
  { gref: grantRef, first_sect: u8, last_sect: u8, pad: u16 },
  8,
);

const segments = array(BlkifRequestSegment, BLKIF_MAX_SEGMENTS_PER_REQUEST);
const indirect = array(grantRef, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST);
const head = { operation: u8, nr_segments: u8, handle: u16 };
const discardHead = { operation: u8, flag: u8, handle: u16 };
const indirectHead = { operation: u8, indirect_op: u8, nr_segments: u16 };
const packed = { packed: true };

/** `x86_64-abi`, the native one. */
export const BlkifRequest = struct('blkif_request', { ...head, id: u64, sector_number: u64, seg: segments }, 112);
export const BlkifRequestDiscard = struct(
  'blkif_request_discard',
  { ...discardHead, id: u64, sector_number: u64, nr_sectors: u64 },
  32,
);
export const BlkifRequestIndirect = struct(
  'blkif_request_indirect',
  { ...indirectHead, id: u64, sector_number: u64, handle: u16, pad: u16, indirect_grefs: indirect },
  64,
);
export const BlkifResponse = struct('blkif_response', { id: u64, operation: u8, status: s16 }, 16);

/** `x86_32-abi`: 64-bit members are aligned to 4 bytes. */
export const BlkifX8632Request = struct(
  'blkif_x86_32_request',
  { ...head, id: u64, sector_number: u64, seg: segments },
  108,
  packed,
);
export const BlkifX8632RequestDiscard = struct(
  'blkif_x86_32_request_discard',
  { ...discardHead, id: u64, sector_number: u64, nr_sectors: u64 },
  28,
  packed,
);
export const BlkifX8632RequestIndirect = struct(
  'blkif_x86_32_request_indirect',
  { ...indirectHead, id: u64, sector_number: u64, handle: u16, pad: u16, indirect_grefs: indirect },
  56,
  packed,
);
export const BlkifX8632Response = struct(
  'blkif_x86_32_response',
  { id: u64, operation: u8, pad: bytes(1), status: s16 },
  12,
  packed,
);

/** The layouts a frontend may name in its `protocol` node. */
export const blkifProtocols = {
  'x86_64-abi': {
    slotSize: BlkifRequest.size,
    request: BlkifRequest.at,
    discard: BlkifRequestDiscard.at,
    indirect: BlkifRequestIndirect.at,
    response: BlkifResponse.at,
    responseSize: BlkifResponse.size,
  },
  'x86_32-abi': {
    slotSize: BlkifX8632Request.size,
    request: BlkifX8632Request.at,
    discard: BlkifX8632RequestDiscard.at,
    indirect: BlkifX8632RequestIndirect.at,
    response: BlkifX8632Response.at,
    responseSize: BlkifX8632Response.size,
  },
} as const;
export type BlkifProtocolName = keyof typeof blkifProtocols;
export type BlkifProtocol = (typeof blkifProtocols)[BlkifProtocolName];
