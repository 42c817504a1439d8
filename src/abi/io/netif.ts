/** The split network device: ring entries and constants. After xen/include/public/io/netif.h. */
import { bytes, grantRef, s16, struct, u16, u32, u8 } from '../struct.ts';

/** Slots that a frontend may use for one packet and every backend takes; with more, a packet may be dropped or the device stopped. */
export const XEN_NETIF_NR_SLOTS_MIN = 18;
/** Sizes have 16 bits. */
export const XEN_NETIF_MAX_TX_SIZE = 0xffff;

/**
 * A slot of the transmit ring. `size`: of the whole packet in its first slot, of this fragment in the others. Extra infos stand
 * between the first slot and the second.
 */
export const NetifTxRequest = struct(
  'netif_tx_request',
  { gref: grantRef, offset: u16, flags: u16, id: u16, size: u16 },
  12,
);
export const NetifTxResponse = struct('netif_tx_response', { id: u16, status: s16 }, 4);

/** A whole page for the backend to fill. */
export const NetifRxRequest = struct('netif_rx_request', { id: u16, pad: u16, gref: grantRef }, 8);
/** `status`: bytes in the slot, or an error. */
export const NetifRxResponse = struct('netif_rx_response', { id: u16, offset: u16, flags: u16, status: s16 }, 8);

/** A slot of either ring that tells more of the packet before it. `data` by type: `NetifExtraGso`, an ethernet address, … */
export const NetifExtraInfo = struct('netif_extra_info', { type: u8, flags: u8, data: bytes(6) }, 8);
/** u.gso, at `data`. */
export const NetifExtraGso = struct('netif_extra_info.gso', { size: u16, type: u8, pad: u8, features: u16 }, 6);
/** u.hash, at `data`. */
export const NetifExtraHash = struct('netif_extra_info.hash', { type: u8, algorithm: u8, value: bytes(4) }, 6);
/** u.xdp, at `data`. */
export const NetifExtraXdp = struct('netif_extra_info.xdp', { headroom: u16, pad: bytes(4) }, 6);

/** What a slot of each ring takes: the larger of request and response. */
export const NETIF_TX_SLOT_SIZE = NetifTxRequest.size;
export const NETIF_RX_SLOT_SIZE = NetifRxRequest.size;

export const NETTXF_csum_blank = 1;
export const NETTXF_data_validated = 2;
export const NETTXF_more_data = 4;
export const NETTXF_extra_info = 8;

export const NETRXF_data_validated = 1;
export const NETRXF_csum_blank = 2;
export const NETRXF_more_data = 4;
export const NETRXF_extra_info = 8;
export const NETRXF_gso_prefix = 16;

export const XEN_NETIF_EXTRA_TYPE = { NONE: 0, GSO: 1, MCAST_ADD: 2, MCAST_DEL: 3, HASH: 4, XDP: 5 } as const;
/** The first type that means nothing. */
export const XEN_NETIF_EXTRA_TYPE_MAX = 6;
export const XEN_NETIF_EXTRA_FLAG_MORE = 1;

export const XEN_NETIF_GSO_TYPE = { NONE: 0, TCPV4: 1, TCPV6: 2 } as const;

export const NETIF_RSP = { DROPPED: -2, ERROR: -1, OKAY: 0, NULL: 1 } as const;

// --- the control ring -------------------------------------------------------------------------------------------------

export const NetifCtrlRequest = struct(
  'xen_netif_ctrl_request',
  { id: u16, type: u16, data0: u32, data1: u32, data2: u32 },
  16,
);
export const NetifCtrlResponse = struct('xen_netif_ctrl_response', { id: u16, type: u16, status: u32, data: u32 }, 12);
export const NETIF_CTRL_SLOT_SIZE = NetifCtrlRequest.size;

export const XEN_NETIF_CTRL_TYPE = {
  INVALID: 0,
  GET_HASH_FLAGS: 1,
  SET_HASH_FLAGS: 2,
  SET_HASH_KEY: 3,
  GET_HASH_MAPPING_SIZE: 4,
  SET_HASH_MAPPING_SIZE: 5,
  SET_HASH_MAPPING: 6,
  SET_HASH_ALGORITHM: 7,
} as const;
export const XEN_NETIF_CTRL_STATUS = {
  SUCCESS: 0,
  NOT_SUPPORTED: 1,
  INVALID_PARAMETER: 2,
  BUFFER_OVERFLOW: 3,
} as const;
export const XEN_NETIF_CTRL_HASH_ALGORITHM = { NONE: 0, TOEPLITZ: 1 } as const;
/** Bit numbers; a flag is 1 << type. */
export const XEN_NETIF_CTRL_HASH_TYPE = { IPV4: 0, IPV4_TCP: 1, IPV6: 2, IPV6_TCP: 3 } as const;
