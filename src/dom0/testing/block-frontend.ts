/** The guest's half of the block ring: writes requests of every kind, right and wrong ones, and collects the answers. */
import {
  BLKIF_OP,
  blkifProtocols,
  BlkifRequestSegment,
  type BlkifProtocol,
  type BlkifProtocolName,
} from '../../abi/io/blkif.ts';
import { FrontRing } from './front-ring.ts';
import type { FakeDevice } from './backend-host.ts';
import type { FakeDomain } from './fake-hypervisor.ts';

export interface SegmentOf {
  readonly gref: number;
  readonly first?: number;
  readonly last?: number;
}

export interface Answer {
  readonly id: number;
  readonly operation: number;
  readonly status: number;
}

export class BlockFrontend {
  readonly domain: FakeDomain;
  readonly protocol: BlkifProtocol;
  readonly rings: readonly FrontRing[];
  readonly ports: readonly number[];
  readonly #name: BlkifProtocolName;
  #nextId = 0;

  /** Frames from `firstMfn` on are used for the rings. */
  constructor(
    domain: FakeDomain,
    options: { protocol?: BlkifProtocolName; queues?: number; pages?: number; firstMfn?: number } = {},
  ) {
    const { protocol = 'x86_64-abi', queues = 1, pages = 1, firstMfn = 1 } = options;
    this.domain = domain;
    this.#name = protocol;
    this.protocol = blkifProtocols[protocol];
    this.rings = Array.from({ length: queues }, (_, queue) => {
      // Backwards, so that the pages do not follow each other in memory.
      const mfns = Array.from({ length: pages }, (_, page) => firstMfn + queue * pages + (pages - 1 - page));
      return new FrontRing(domain, mfns, this.protocol.slotSize);
    });
    this.ports = this.rings.map(() => domain.allocUnbound());
  }

  /** What blkfront writes before it says Initialised. */
  offer(device: FakeDevice, extra: Readonly<Record<string, string | number>> = {}): void {
    const keys: Record<string, string | number> = { protocol: this.#name, ...extra };
    if (this.rings.length > 1) keys['multi-queue-num-queues'] = this.rings.length;
    this.rings.forEach(({ refs }, queue) => {
      const prefix = this.rings.length > 1 ? `queue-${queue}/` : '';
      if (refs.length === 1) keys[`${prefix}ring-ref`] = refs[0] ?? 0;
      else refs.forEach((ref, page) => (keys[`${prefix}ring-ref${page}`] = ref));
      if (refs.length > 1) keys['ring-page-order'] = Math.log2(refs.length);
      keys[`${prefix}event-channel`] = this.ports[queue] ?? 0;
    });
    device.write(keys);
    device.setState('Initialised');
  }

  /** Bytes of a request, for `send` or to be spoiled first. */
  request(operation: number, sector: number, segments: readonly SegmentOf[] = [], nr = segments.length): Uint8Array {
    const { request } = this.protocol;
    const { bytes, view } = this.#blank(operation, sector);
    view.setUint8(request.nr_segments, nr);
    segments
      .slice(0, 11)
      .forEach((segment, i) => writeSegment(view, request.seg + i * BlkifRequestSegment.size, segment));
    return bytes;
  }

  /** `frame` is used for the list of segments. */
  indirect(
    operation: number,
    sector: number,
    segments: readonly SegmentOf[],
    frame: number,
    nr = segments.length,
  ): Uint8Array {
    const { indirect } = this.protocol;
    const page = this.domain.frames.view(frame);
    const list = new DataView(page.buffer, page.byteOffset, page.byteLength);
    segments.forEach((segment, i) => writeSegment(list, i * BlkifRequestSegment.size, segment));
    const { bytes, view } = this.#blank(BLKIF_OP.INDIRECT, sector);
    view.setUint8(indirect.indirect_op, operation);
    view.setUint16(indirect.nr_segments, nr, true);
    view.setUint32(indirect.indirect_grefs, this.domain.grant(frame, true), true);
    return bytes;
  }

  discard(sector: number, sectors: number): Uint8Array {
    const { bytes, view } = this.#blank(BLKIF_OP.DISCARD, sector);
    view.setUint32(this.protocol.discard.nr_sectors, sectors, true);
    return bytes;
  }

  /** Puts requests in and tells the backend of them, if it wants to know. */
  send(...requests: readonly Uint8Array[]): void {
    this.sendTo(0, ...requests);
  }

  sendTo(queue: number, ...requests: readonly Uint8Array[]): void {
    const ring = this.rings[queue];
    if (ring === undefined) throw new Error(`no queue ${queue}`);
    for (const request of requests) ring.put(request);
    if (ring.push()) this.domain.send(this.ports[queue] ?? 0);
  }

  answers(queue = 0): Answer[] {
    const { response, responseSize } = this.protocol;
    const answers: Answer[] = [];
    const ring = this.rings[queue];
    for (let bytes = ring?.take(responseSize); bytes; bytes = ring?.take(responseSize)) {
      const view = new DataView(bytes.buffer);
      answers.push({
        id: view.getUint32(response.id, true),
        operation: view.getUint8(response.operation),
        status: view.getInt16(response.status, true),
      });
    }
    return answers;
  }

  #blank(operation: number, sector: number): { bytes: Uint8Array; view: DataView } {
    const { request, slotSize } = this.protocol;
    const bytes = new Uint8Array(slotSize);
    const view = new DataView(bytes.buffer);
    view.setUint8(request.operation, operation);
    view.setUint32(request.id, this.#nextId++, true);
    view.setUint32(request.sector_number, sector >>> 0, true);
    view.setUint32(request.sector_number + 4, Math.floor(sector / 2 ** 32), true);
    return { bytes, view };
  }
}

function writeSegment(view: DataView, base: number, { gref, first = 0, last = 7 }: SegmentOf): void {
  BlkifRequestSegment.write(view, base, { gref, first_sect: first, last_sect: last });
}
