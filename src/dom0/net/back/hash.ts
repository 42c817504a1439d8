/**
 * Which of several queues a frame goes to, as a frontend has set it up through its control ring: a Toeplitz hash and a table of queues. After
 * xen/include/public/io/netif.h, "Hash types", and what Linux' netback takes and refuses (drivers/net/xen-netback/hash.c, interface.c).
 */
import {
  XEN_NETIF_CTRL_HASH_ALGORITHM as Algorithm,
  XEN_NETIF_CTRL_HASH_TYPE as HashType,
  XEN_NETIF_CTRL_STATUS as Status,
} from '../../../abi/io/netif.ts';
import { EtherType, headersOf, IpProtocol } from '../headers.ts';
import { u16 } from '../packet/bytes.ts';
import { flowHash } from './flow-hash.ts';

/** XEN_NETBK_MAX_HASH_KEY_SIZE: what a hash over two IPv6 addresses and two ports uses. */
const KEY_SIZE = 40;
/** XEN_NETBK_MAX_HASH_MAPPING_SIZE */
export const MAX_MAPPING = 128;
const MAX_BYTES = 36;

/** What the frontend is told of a frame's hash. */
export interface FrameHash {
  /** A number of XEN_NETIF_CTRL_HASH_TYPE. */
  readonly type: number;
  readonly value: number;
}

/** Copies from a granted page; false when it is not granted. */
export type CopyFrom = (ref: number, into: Uint8Array) => boolean;

interface Family {
  /** Of the first address, from the network header on. */
  readonly at: number;
  /** Bytes of both addresses. */
  readonly bytes: number;
  readonly ip: number;
  readonly tcp: number;
}

const families = new Map<number, Family>([
  [EtherType.IPv4, { at: 12, bytes: 8, ip: HashType.IPV4, tcp: HashType.IPV4_TCP }],
  [EtherType.IPv6, { at: 8, bytes: 32, ip: HashType.IPV6, tcp: HashType.IPV6_TCP }],
]);
const ALL_FLAGS = Object.values(HashType).reduce<number>((flags, type) => flags | (1 << type), 0);

export class HashSettings {
  #algorithm: number = Algorithm.NONE;
  #flags = 0;
  readonly #key = new Uint8Array(KEY_SIZE);
  #mapping: readonly number[] = [];
  readonly #data = new Uint8Array(MAX_BYTES);

  // --- the control ring's requests; each answers with a status ----------------------------------------------------

  setAlgorithm(algorithm: number): number {
    if (algorithm !== Algorithm.NONE && algorithm !== Algorithm.TOEPLITZ) return Status.INVALID_PARAMETER;
    this.#algorithm = algorithm;
    return Status.SUCCESS;
  }

  /** The flags that may be set; undefined while there is no algorithm. */
  get possibleFlags(): number | undefined {
    return this.#algorithm === Algorithm.NONE ? undefined : ALL_FLAGS;
  }

  setFlags(flags: number): number {
    if ((flags & ~ALL_FLAGS) !== 0 || this.#algorithm === Algorithm.NONE) return Status.INVALID_PARAMETER;
    this.#flags = flags;
    return Status.SUCCESS;
  }

  setKey(ref: number, length: number, copy: CopyFrom): number {
    if (length > KEY_SIZE) return Status.INVALID_PARAMETER;
    const key = new Uint8Array(length);
    if (length > 0 && !copy(ref, key)) return Status.INVALID_PARAMETER;
    this.#key.fill(0);
    this.#key.set(key);
    return Status.SUCCESS;
  }

  setMappingSize(size: number): number {
    if (size > MAX_MAPPING) return Status.INVALID_PARAMETER;
    this.#mapping = new Array<number>(size).fill(0);
    return Status.SUCCESS;
  }

  /** A part of the table, from `offset` on: numbers of queues, of which there are so many. */
  setMapping(ref: number, length: number, offset: number, queues: number, copy: CopyFrom): number {
    if (offset + length > this.#mapping.length) return Status.INVALID_PARAMETER;
    const bytes = new Uint8Array(length * 4);
    if (length > 0 && !copy(ref, bytes)) return Status.INVALID_PARAMETER;
    const view = new DataView(bytes.buffer);
    const part = Array.from({ length }, (_, i) => view.getUint32(i * 4, true));
    if (part.some((queue) => queue >= queues)) return Status.INVALID_PARAMETER;
    this.#mapping = this.#mapping.map((queue, i) => part[i - offset] ?? queue);
    return Status.SUCCESS;
  }

  // --- frames -----------------------------------------------------------------------------------------------------

  /** Undefined: the frontend has asked for none, or for none of this kind of frame. */
  of(head: Uint8Array): FrameHash | undefined {
    // A frame with a VLAN tag is of no such type.
    const family = this.#algorithm === Algorithm.NONE ? undefined : families.get(u16(head, 12));
    if (family === undefined || (this.#flags & ((1 << family.ip) | (1 << family.tcp))) === 0) return undefined;
    const { network, protocol, transport, fragment } = headersOf(head);
    if (protocol === undefined) return undefined;
    const tcp = protocol === IpProtocol.TCP && !fragment && transport + 4 <= head.length;
    const type = tcp && (this.#flags & (1 << family.tcp)) !== 0 ? family.tcp : family.ip;
    if ((this.#flags & (1 << type)) === 0) return undefined;
    const { at, bytes } = family;
    this.#data.set(head.subarray(network + at, network + at + bytes));
    if (type === family.ip) return { type, value: toeplitz(this.#key, this.#data, bytes) };
    this.#data.set(head.subarray(transport, transport + 4), bytes);
    return { type, value: toeplitz(this.#key, this.#data, bytes + 4) };
  }

  /** The number of the queue for a frame with this hash. */
  queueFor(head: Uint8Array, hash: FrameHash | undefined, queues: number): number {
    if (queues === 1) return 0;
    if (this.#algorithm === Algorithm.NONE) return flowHash(head) % queues;
    const value = hash?.value ?? 0;
    const { length } = this.#mapping;
    // The table was checked when it was set; the number of queues does not change while they are connected.
    return length === 0 ? value % queues : (this.#mapping[value % length] ?? 0);
  }
}

/** xen_netif_toeplitz_hash of netif.h: 32 bits of the key, one bit further for each bit of the data. */
export function toeplitz(key: Uint8Array, data: Uint8Array, length: number): number {
  let window = ((key[0] ?? 0) << 24) | ((key[1] ?? 0) << 16) | ((key[2] ?? 0) << 8) | (key[3] ?? 0);
  let hash = 0;
  for (let i = 0; i < length; i++) {
    const byte = data[i] ?? 0;
    const next = key[i + 4] ?? 0;
    for (let bit = 7; bit >= 0; bit--) {
      if ((byte >>> bit) & 1) hash ^= window;
      window = (window << 1) | ((next >>> bit) & 1);
    }
  }
  return hash >>> 0;
}
