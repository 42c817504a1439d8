/** A guest's network driver, as far as tests need it: rings, pages, and packets in and out. */
import {
  NETIF_RX_SLOT_SIZE,
  NETIF_TX_SLOT_SIZE,
  NETRXF_extra_info,
  NETRXF_more_data,
  NETTXF_csum_blank,
  NETTXF_extra_info,
  NETTXF_more_data,
  NetifExtraGso,
  NetifExtraInfo,
  NetifRxRequest,
  NetifRxResponse,
  NetifTxRequest,
  NetifTxResponse,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE,
} from '../../../abi/io/netif.ts';
import type { FakeDomain } from '../../testing/fake-hypervisor.ts';
import { FrontRing } from '../../testing/front-ring.ts';
import type { Frame } from '../link.ts';

export interface ReceivedPacket {
  readonly bytes: Uint8Array;
  /** NETRXF_* of the first slot. */
  readonly flags: number;
  readonly status: readonly number[];
  readonly gso: { readonly size: number; readonly type: number } | undefined;
  readonly headroom: number | undefined;
  readonly slots: number;
}

export interface TxOptions {
  /** Sizes of the pieces that a packet is sent in; what is left goes into one slot a page. */
  readonly cuts?: readonly number[];
  readonly gso?: { readonly size: number; readonly type: number };
  readonly flags?: number;
}

/** First frames of the domain are the rings. */
const TX_RING = 0;
const RX_RING = 1;
const FIRST_DATA = 2;

export class NetFrontend {
  readonly domain: FakeDomain;
  readonly tx: FrontRing;
  readonly rx: FrontRing;
  readonly txPort: number;
  readonly rxPort: number;
  #nextFrame = FIRST_DATA;
  #nextId = 0;
  /** Pages of receive requests by id. */
  readonly #posted = new Map<number, { readonly mfn: number; readonly ref: number }>();

  constructor(domain: FakeDomain, firstFrame = 0) {
    this.domain = domain;
    this.#nextFrame = firstFrame + FIRST_DATA;
    this.tx = new FrontRing(domain, [firstFrame + TX_RING], NETIF_TX_SLOT_SIZE);
    this.rx = new FrontRing(domain, [firstFrame + RX_RING], NETIF_RX_SLOT_SIZE);
    this.txPort = domain.allocUnbound();
    this.rxPort = domain.allocUnbound();
  }

  /** What Linux' netfront writes. */
  keys(prefix = ''): Record<string, string | number> {
    return {
      [`${prefix}tx-ring-ref`]: this.tx.refs[0] ?? 0,
      [`${prefix}rx-ring-ref`]: this.rx.refs[0] ?? 0,
      [`${prefix}event-channel-tx`]: this.txPort,
      [`${prefix}event-channel-rx`]: this.rxPort,
    };
  }

  static readonly features = {
    'request-rx-copy': 1,
    'feature-rx-notify': 1,
    'feature-sg': 1,
    'feature-gso-tcpv4': 1,
    'feature-gso-tcpv6': 1,
    'feature-ipv6-csum-offload': 1,
  };

  frame(): number {
    return this.#nextFrame++;
  }

  // --- transmit ---------------------------------------------------------------------------------------------------

  /** Puts a packet in; returns its id. */
  put(bytes: Uint8Array, options: TxOptions = {}): number {
    const id = this.#nextId++ & 0xffff;
    const pieces = cut(bytes, options.cuts ?? []);
    pieces.forEach((piece, i) => {
      const mfn = this.frame();
      const offset = Math.min(i * 8, 4096 - piece.length);
      this.domain.frames.view(mfn).set(piece, offset);
      const first = i === 0;
      const flags =
        (i < pieces.length - 1 ? NETTXF_more_data : 0) |
        (first ? (options.flags ?? 0) | (options.gso ? NETTXF_extra_info : 0) : 0);
      const size = first ? bytes.length : piece.length;
      this.putRequest({ gref: this.domain.grant(mfn, true), offset, flags, id, size: size & 0xffff });
      if (first && options.gso) this.putGso(options.gso);
    });
    return id;
  }

  /** As the guest's network stack would send it: with what is left to be done told in flags and extra infos. */
  send(frame: Frame, options: Pick<TxOptions, 'cuts'> = {}): number {
    const { segmentation } = frame;
    const id = this.put(frame.head, {
      ...options,
      flags: frame.checksum ? NETTXF_csum_blank : 0,
      ...(segmentation ? { gso: { size: segmentation.size, type: segmentation.type === 'tcpv4' ? 1 : 2 } } : {}),
    });
    this.kickTx();
    return id;
  }

  putRequest(request: Parameters<typeof NetifTxRequest.write>[2]): void {
    this.tx.put(encode(NetifTxRequest, request));
  }

  putGso({ size, type }: { readonly size: number; readonly type: number }): void {
    const data = encode(NetifExtraGso, { size, type });
    this.tx.put(encode(NetifExtraInfo, { type: XEN_NETIF_EXTRA_TYPE.GSO, data }));
  }

  kickTx(): void {
    if (this.tx.push()) this.domain.send(this.txPort);
  }

  /** Status by id, in the order of the answers. */
  txAnswers(): { readonly id: number; readonly status: number }[] {
    const answers = [];
    for (let bytes = this.tx.take(4); bytes; bytes = this.tx.take(4))
      answers.push(NetifTxResponse.read(viewOf(bytes), 0));
    return answers;
  }

  // --- receive ----------------------------------------------------------------------------------------------------

  /** Grants so many pages, and tells if the backend wants to know. */
  post(count: number): void {
    for (let i = 0; i < count; i++) {
      const mfn = this.frame();
      const ref = this.domain.grant(mfn);
      const id = this.#nextId++ & 0xffff;
      this.#posted.set(id, { mfn, ref });
      this.rx.put(encode(NetifRxRequest, { id, gref: ref }));
    }
    if (this.rx.push()) this.domain.send(this.rxPort);
  }

  received(): ReceivedPacket[] {
    const packets: ReceivedPacket[] = [];
    for (let first = this.#takeRx(); first; first = this.#takeRx()) {
      let { flags } = first;
      let gso: ReceivedPacket['gso'];
      let headroom: number | undefined;
      let slots = 1;
      for (let more = (flags & NETRXF_extra_info) !== 0; more; slots++) {
        const extra = NetifExtraInfo.read(viewOf(this.#takeSlot() ?? new Uint8Array(8)), 0);
        if (extra.type === XEN_NETIF_EXTRA_TYPE.GSO) gso = NetifExtraGso.read(viewOf(extra.data), 0);
        if (extra.type === XEN_NETIF_EXTRA_TYPE.XDP) headroom = (extra.data[0] ?? 0) | ((extra.data[1] ?? 0) << 8);
        more = (extra.flags & XEN_NETIF_EXTRA_FLAG_MORE) !== 0;
      }
      const parts = [first];
      for (; (flags & NETRXF_more_data) !== 0; slots++) {
        const next = this.#takeRx();
        if (!next) throw new Error('the packet has no end');
        flags = next.flags;
        parts.push(next);
      }
      const bytes = Uint8Array.from(parts.flatMap((part) => [...part.bytes]));
      packets.push({ bytes, flags: first.flags, status: parts.map(({ status }) => status), gso, headroom, slots });
    }
    return packets;
  }

  #takeRx(): { readonly flags: number; readonly status: number; readonly bytes: Uint8Array } | undefined {
    const slot = this.#takeSlot();
    if (!slot) return undefined;
    const { id, offset, flags, status } = NetifRxResponse.read(viewOf(slot), 0);
    const page = this.#posted.get(id);
    if (!page) throw new Error(`an answer to ${id}, which was not asked`);
    this.#posted.delete(id);
    if (!this.domain.endGrant(page.ref)) throw new Error(`the page of ${id} is still mapped`);
    const bytes = this.domain.frames.view(page.mfn).slice(offset, offset + Math.max(status, 0));
    return { flags, status, bytes };
  }

  #takeSlot(): Uint8Array | undefined {
    return this.rx.take(NETIF_RX_SLOT_SIZE);
  }
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  for (; at < bytes.length; at += 4096) pieces.push(bytes.subarray(at, at + 4096));
  return pieces;
}

interface Layout<V> {
  readonly size: number;
  write(view: DataView, at: number, value: V): void;
}

export function encode<V>(layout: Layout<V>, value: V): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  layout.write(viewOf(bytes), 0, value);
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
