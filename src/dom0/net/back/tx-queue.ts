/**
 * What a guest sends: packets out of the transmit ring, as frames to the link. The frames' data stay where the guest has them; they
 * are mapped for as long as the frame is on its way, which is one call, and answered afterwards.
 */
import { NETTXF_csum_blank, NETTXF_data_validated, NETIF_RSP, XEN_NETIF_GSO_TYPE } from '../../../abi/io/netif.ts';
import { GNTST } from '../../../abi/grant-table.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import type { MappedGrants, Traffic } from '../../backend/index.ts';
import { checksumOffset, EtherType, headersOf, tcpHeaderLength } from '../headers.ts';
import { ethernetHeaderLength, headLength, type Frame, type Segmentation } from '../link.ts';
import { isTcp, pseudoHeaderSum } from '../offload.ts';
import { put16 } from '../packet/bytes.ts';
import { Alarm } from '../timers.ts';
import { answerTx, type QueueState } from './queue-state.ts';
import { takePacket, TxFatal, type GsoInfo, type TxPacket } from './tx-requests.ts';

/** Shorter packets are copied whole: that is quicker than to keep their pages mapped. */
const COPY_WHOLE = 2048;
/** Packets taken in one go before others get their turn. */
const PACKETS_PER_PASS = 128;
/** Packets after which the frontend gets its slots back. */
const PACKETS_PER_PUSH = 32;
/**
 * How long a packet may wait for room at the other end, which keeps a quick sender from losing packets at a slow receiver. A bridge
 * makes the wait shorter, since all that the guest sends to others waits as well; this is for one that does not.
 */
const HOLD_MS = 500;
/**
 * The answer to a single packet is in the ring at once, but the frontend is interrupted for it only after this time: Linux' netfront looks for answers
 * whenever it sends (xennet_start_xmit calls xennet_tx_buf_gc), and who waits for a peer's reply is interrupted by that. A sender of more is not kept
 * waiting, since TCP holds back while two packets are not answered (linux: net/ipv4/tcp_output.c, tcp_small_queue_check).
 */
const LAZY_MS = 5;

export interface TxGlue {
  map(refs: readonly number[]): MappedGrants;
  /** What is sent, which Linux counts as received. */
  readonly statistics: Traffic;
  /** To the link. */
  send(frame: Frame): boolean;
  /** Whether the guest may send that. */
  allows(head: Uint8Array): boolean;
  /** 0, or the milliseconds after which there may be credit for so many bytes. */
  credit(size: number): number;
  joinGroup(address: Uint8Array): boolean;
  leaveGroup(address: Uint8Array): void;
  warn(line: string): void;
  /** The frontend has broken the protocol: the device is to be stopped. */
  fatal(message: string): void;
  /** Runs the task after so many milliseconds; what is returned calls it off. */
  after(milliseconds: number, task: () => void): () => void;
  now(): number;
  defer(task: () => void): void;
}

/** A packet that waits: for credit, or for room. */
interface Waiting {
  readonly packet: TxPacket;
  readonly frame: Frame | undefined;
  readonly grants: MappedGrants | undefined;
}

export class TxQueue {
  readonly #state: QueueState;
  readonly #glue: TxGlue;
  readonly #head = new Uint8Array(COPY_WHOLE);
  #waiting: Waiting | undefined;
  #cancelTimer: (() => void) | undefined;
  /** Waiting was in vain: packets for which there is no room are dropped, until there is some. */
  #impatient = false;
  #running = false;
  #stopped = false;
  /** Tells of an answer that the frontend has not found by itself. */
  readonly #late: Alarm;

  constructor(state: QueueState, glue: TxGlue) {
    this.#state = state;
    this.#glue = glue;
    this.#late = new Alarm(glue, () => this.#tell());
  }

  /** The frontend has put something in, or something that was missing may be there now. */
  run(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    const again = this.#pass();
    this.#running = false;
    this.#push();
    if (again) this.#glue.defer(() => this.run());
  }

  /** The link takes frames again. */
  room(): void {
    this.#impatient = false;
    if (this.#waiting?.frame !== undefined) this.run();
  }

  /** Nothing is touched any more. What was taken stays to be answered. */
  stop(): void {
    this.#stopped = true;
    this.#late.stop();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#waiting?.grants?.unmap();
    this.#waiting = undefined;
  }

  /** True: there may be more, after others had their turn. */
  #pass(): boolean {
    const { tx, txTaken } = this.#state;
    for (let count = 1; count <= PACKETS_PER_PASS; count++) {
      if (this.#stopped) return false;
      const waiting = this.#waiting;
      if (waiting !== undefined) {
        if (!this.#goOn(waiting)) return false;
      } else {
        if (tx.available === 0) {
          if (tx.broken !== undefined) {
            this.#glue.fatal(tx.broken);
            return false;
          }
          if (!tx.finalCheck()) return false;
        }
        const packet = takePacket(tx, txTaken);
        if (packet instanceof TxFatal) {
          this.#glue.fatal(packet.message);
          return false;
        }
        if (!this.#begin(packet)) return false;
      }
      if (count % PACKETS_PER_PUSH === 0) this.#tell();
    }
    return true;
  }

  #push(): void {
    const { tx } = this.#state;
    tx.publish();
    const { overdue } = tx;
    if (overdue > 1) this.#tell();
    else if (overdue === 1) this.#late.set(this.#glue.now() + LAZY_MS);
  }

  #tell(): void {
    const { tx, txChannel } = this.#state;
    this.#late.set(Infinity);
    if (tx.push()) txChannel.notify();
  }

  /** False: the packet waits. */
  #begin(packet: TxPacket): boolean {
    const { joins, leaves, refused } = packet;
    if (joins !== undefined) {
      answerTx(this.#state, this.#glue.joinGroup(joins) ? NETIF_RSP.OKAY : NETIF_RSP.ERROR);
      return true;
    }
    if (leaves !== undefined) {
      this.#glue.leaveGroup(leaves);
      answerTx(this.#state, NETIF_RSP.OKAY);
      return true;
    }
    if (refused !== undefined) {
      this.#glue.warn(refused);
      answerTx(this.#state, NETIF_RSP.ERROR);
      return true;
    }
    return this.#charge(packet);
  }

  #goOn({ packet, frame, grants }: Waiting): boolean {
    if (frame === undefined) {
      this.#wake();
      return this.#charge(packet);
    }
    if (!this.#glue.send(frame)) return false;
    this.#wake();
    this.#done(grants);
    return true;
  }

  #charge(packet: TxPacket): boolean {
    const milliseconds = this.#glue.credit(packet.size);
    if (milliseconds === 0) return this.#transmit(packet);
    this.#wait({ packet, frame: undefined, grants: undefined }, milliseconds, () => this.run());
    return false;
  }

  #transmit(packet: TxPacket): boolean {
    const { slots } = packet;
    const grants = this.#glue.map(slots.map(({ gref }) => gref));
    if (grants.status !== GNTST.okay) {
      const at = grants.frames.findIndex((mfn) => mfn < 0);
      this.#glue.warn(`grant ${slots[at]?.gref ?? 0} cannot be mapped: ${grants.status}`);
      this.#done(grants, NETIF_RSP.ERROR);
      return true;
    }
    let waits = false;
    try {
      const frame = this.#frame(packet, grants);
      if (frame !== undefined) this.#count(frame);
      // What cannot be sent is lost, as a frame on a bad cable: the guest's slots are in order.
      waits = frame !== undefined && !this.#glue.send(frame) && !this.#impatient;
      if (waits) this.#waitForRoom({ packet, frame, grants });
    } finally {
      if (!waits) grants.unmap();
    }
    if (waits) return false;
    answerTx(this.#state, NETIF_RSP.OKAY);
    return true;
  }

  /** Without the Ethernet header, which Linux has taken off by then (xenvif_tx_submit). */
  #count({ length }: Frame): void {
    const { statistics } = this.#glue;
    statistics.packets++;
    statistics.bytes += Math.max(0, length - ethernetHeaderLength);
  }

  #waitForRoom(waiting: Waiting): void {
    this.#wait(waiting, HOLD_MS, () => {
      this.#impatient = true;
      this.#wake();
      this.#done(waiting.grants);
      this.run();
    });
  }

  #done(grants: MappedGrants | undefined, status: number = NETIF_RSP.OKAY): void {
    grants?.unmap();
    answerTx(this.#state, status);
  }

  #wait(waiting: Waiting, milliseconds: number, task: () => void): void {
    this.#waiting = waiting;
    this.#cancelTimer = this.#glue.after(milliseconds, task);
  }

  #wake(): void {
    this.#waiting = undefined;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #frame(packet: TxPacket, grants: MappedGrants): Frame | undefined {
    const length = packet.size;
    const head = this.#head.subarray(0, length <= COPY_WHOLE ? length : headLength);
    const fragments: Uint8Array[] = [];
    let filled = 0;
    packet.slots.forEach(({ offset, size }, i) => {
      const bytes = grants.bytes((grants.frames[i] ?? -1) * PAGE_SIZE + offset, size);
      const taken = Math.min(size, head.length - filled);
      if (taken > 0) head.set(taken === size ? bytes : bytes.subarray(0, taken), filled);
      filled += taken;
      if (taken < size) fragments.push(taken === 0 ? bytes : bytes.subarray(taken));
    });
    if (!this.#glue.allows(head)) return undefined;
    const frame = withOffload({ head, fragments, length }, packet);
    if (typeof frame !== 'string') return frame;
    this.#glue.fatal(frame);
    return undefined;
  }
}

const gsoTypes = new Map<number, { readonly type: Segmentation['type']; readonly etherType: number }>([
  [XEN_NETIF_GSO_TYPE.TCPV4, { type: 'tcpv4', etherType: EtherType.IPv4 }],
  [XEN_NETIF_GSO_TYPE.TCPV6, { type: 'tcpv6', etherType: EtherType.IPv6 }],
]);

/**
 * What is left to be done, as the guest says, if the frame's headers agree: the checksum of a TCP or UDP packet, cutting a TCP segment
 * (xenvif_set_skb_gso, checksum_setup). Undefined for a frame that cannot be sent; a text says why the device has to be stopped.
 */
function withOffload({ head, fragments, length }: Frame, { flags, gso }: TxPacket): Frame | string | undefined {
  const segmentation = gso === undefined ? undefined : segmentationOf(gso);
  if (typeof segmentation === 'string') return segmentation;
  const blank = (flags & NETTXF_csum_blank) !== 0;
  if (!blank && segmentation === undefined)
    return { head, fragments, length, verified: (flags & NETTXF_data_validated) !== 0 };

  const headers = headersOf(head);
  const offset = checksumOffset(head, headers);
  if (offset === undefined) return undefined;
  const start = headers.transport;
  if (segmentation !== undefined) {
    const { etherType } = gsoTypes.get(gso?.type ?? 0) ?? {};
    const tcpLength = tcpHeaderLength(head, start);
    if (!isTcp(headers) || headers.etherType !== etherType || tcpLength === undefined) return undefined;
    // Frontends that forget the flag have a finished checksum there, of a packet that will never be sent (rx_gso_checksum_fixup).
    if (!blank) put16(head, start + offset, pseudoHeaderSum(head, headers, length - start));
    const fits = length - start - tcpLength <= segmentation.size;
    if (!fits) return { head, fragments, length, checksum: { start, offset }, segmentation };
  }
  return { head, fragments, length, checksum: { start, offset } };
}

function segmentationOf({ type, size }: GsoInfo): Segmentation | string {
  const known = gsoTypes.get(type);
  if (size === 0) return 'GSO size must not be zero.';
  return known === undefined ? `Bad GSO type ${type}.` : { type: known.type, size };
}
