/**
 * Serves one ring: takes requests, has the disk do them, answers in whatever order they end. After Linux' drivers/block/xen-blkback/
 * blkback.c, whose answers to wrong requests these are.
 *
 *   pump: ring → #handlers → extents → disk        #end: pages given back → response → notify
 *
 * What the disk can do without waiting (readNow, writeNow) is done within the pump, and answered together; that is most of what a host has in its
 * page cache. A guest that gets its answer while it still runs need not sleep for it, which costs it more than the request.
 *
 * What was taken is in `ring.open` until it is answered; a queue that takes the place of one that has failed begins with that.
 */
import {
  BLKIF_OP,
  BLKIF_RSP,
  BLKIF_SECTOR,
  BlkifRequestSegment,
  SECTORS_PER_PAGE,
  SEGMENTS_PER_INDIRECT_FRAME,
  type BlkifStatus,
} from '../../abi/io/blkif.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import { DiskError, type Disk } from '../disk/index.ts';
import type { DeviceGlue } from '../backend/index.ts';
import { microtasks, type Scheduler } from '../scheduler.ts';
import { BlockRequest, readSegment, segmentLimit, type Segment } from './block-request.ts';
import { Extent, memoryOf, type Transfer } from './extents.ts';
import { GrantPool } from './grant-pool.ts';
import type { VbdRing } from './vbd-connection.ts';

/** Requests taken in one go before others get their turn. */
const REQUESTS_PER_PASS = 128;
/** What is copied at once between two looks at the ring; more than that is better done by other threads. */
const AT_ONCE_BYTES = 1024 * 1024;

export interface QueueGlue {
  readonly device: Pick<DeviceGlue, 'failed' | 'guard' | 'statistics' | 'warn'>;
  readonly disk: Disk;
  readonly readOnly: boolean;
  readonly discard: boolean;
  readonly scheduler: Scheduler;
  /** Something on the disk has changed, and is perhaps not safe yet. */
  readonly onWritten: () => void;
}

/** A request, and its pages if it has any. */
interface Taken {
  readonly request: BlockRequest;
  readonly lease: Transfer['lease'] | undefined;
}

type Handler = (request: BlockRequest) => BlkifStatus | undefined;

export class RequestQueue {
  readonly #ring: VbdRing;
  readonly #glue: QueueGlue;
  readonly #grants: GrantPool;
  readonly #words: Int32Array;
  readonly #response: Int32Array;
  readonly #responseView: DataView;
  readonly #handlers: ReadonlyMap<number, Handler>;
  /** Taken by a queue before this one, and still to be done. */
  #backlog: BlockRequest[];
  #extents: Extent[] = [];
  #underWay = 0;
  /** It begins when all requests before it have ended, and until it has ended itself nothing is taken. */
  #barrier: { readonly begin: () => void; begun: boolean } | undefined;
  #pumping = false;
  #pushing = false;
  #stopped = false;
  #onIdle: (() => void) | undefined;

  constructor(ring: VbdRing, glue: QueueGlue) {
    this.#ring = ring;
    this.#glue = glue;
    this.#grants = new GrantPool(ring.link, ring.persistent);
    this.#words = new Int32Array(ring.protocol.slotSize / 4);
    this.#response = new Int32Array(ring.protocol.responseSize / 4);
    this.#responseView = new DataView(this.#response.buffer);
    this.#backlog = [...ring.open];
    this.#handlers = new Map<number, Handler>([
      [BLKIF_OP.READ, (request) => this.#transfer(request)],
      [BLKIF_OP.WRITE, (request) => this.#transfer(request)],
      [BLKIF_OP.INDIRECT, (request) => this.#indirect(request)],
      [BLKIF_OP.FLUSH_DISKCACHE, (request) => this.#flush(request)],
      [BLKIF_OP.WRITE_BARRIER, (request) => this.#writeBarrier(request)],
      [BLKIF_OP.DISCARD, (request) => this.#discard(request)],
    ]);
  }

  start(): void {
    this.#ring.channel.listen(() => this.#glue.device.guard(() => this.#pump()));
    this.#glue.device.guard(() => this.#pump());
  }

  /** Takes nothing more and answers nothing more; resolves when the disk has done what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#push();
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    this.#grants.clear();
  }

  // --- taking -----------------------------------------------------------------------------------------------------

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      this.#takeAll();
    } finally {
      this.#pumping = false;
    }
  }

  #takeAll(): void {
    const { ring } = this.#ring;
    let taken = 0;
    while (!this.#stopped && this.#barrier === undefined) {
      if (taken++ === REQUESTS_PER_PASS) {
        this.#glue.scheduler.defer(() => this.#glue.device.guard(() => this.#pump()));
        break;
      }
      const request = this.#next();
      if (request === undefined) {
        // What is here goes to the disk before anybody looks again.
        this.#submit();
        if (!ring.finalCheck()) break;
        continue;
      }
      const handler = this.#handlers.get(request.operation);
      // Linux: dispatch_other_io
      const status = handler === undefined ? BLKIF_RSP.EOPNOTSUPP : handler(request);
      if (status !== undefined) this.#answer(request, status);
    }
    this.#submit();
    if (ring.broken !== undefined) this.#glue.device.warn(`${ring.broken}. Halting ring processing`);
  }

  #next(): BlockRequest | undefined {
    const again = this.#backlog.shift();
    if (again !== undefined) return again;
    if (!this.#ring.ring.take(this.#words)) return undefined;
    const request = new BlockRequest(this.#words.slice(), this.#ring.protocol);
    this.#ring.open.add(request);
    this.#count(request.effective);
    return request;
  }

  // --- the operations; a status is an answer at once --------------------------------------------------------------

  #transfer(request: BlockRequest): BlkifStatus | undefined {
    const count = request.segmentCount;
    if (count === 0 || count > segmentLimit(request))
      return this.#refuse(`Bad number of segments in request (${count})`);
    const transfer = this.#prepare(request, request.operation === BLKIF_OP.WRITE, segmentsOf(request, count));
    if (typeof transfer === 'number') return transfer;
    this.#queue(transfer);
    return undefined;
  }

  #indirect(request: BlockRequest): BlkifStatus | undefined {
    const { effective, segmentCount: count } = request;
    if (effective !== BLKIF_OP.READ && effective !== BLKIF_OP.WRITE)
      return this.#refuse(`Invalid indirect operation (${effective})`);
    if (count === 0 || count > segmentLimit(request))
      return this.#refuse(`Bad number of segments in request (${count})`);
    const segments: Segment[] = [];
    for (let frame = 0; segments.length < count; frame++) {
      const lease = this.#grants.lease([request.indirectFrame(frame)], true);
      if (typeof lease === 'number') return this.#refuse('invalid indirect page -- could not map it');
      const bytes = lease.bytes((lease.frames[0] ?? 0) * PAGE_SIZE, PAGE_SIZE);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let i = 0; i < SEGMENTS_PER_INDIRECT_FRAME && segments.length < count; i++)
        segments.push(readSegment(view, i * BlkifRequestSegment.size));
      lease.release();
    }
    const transfer = this.#prepare(request, effective === BLKIF_OP.WRITE, segments);
    if (typeof transfer === 'number') return transfer;
    this.#queue(transfer);
    return undefined;
  }

  /** What was written before is on the disk first; then what comes with it, if anything, is written. */
  #flush(request: BlockRequest): BlkifStatus | undefined {
    const transfer = this.#optionalWrite(request);
    if (typeof transfer === 'number') return transfer;
    this.#submit();
    const { disk } = this.#glue;
    this.#run({ request, lease: transfer?.lease }, async () => {
      await disk.flush();
      if (transfer !== undefined) await disk.write(transfer.offset, transfer.memory);
    });
    return undefined;
  }

  /** All before it is on the disk, then it is, then what comes after begins. */
  #writeBarrier(request: BlockRequest): BlkifStatus | undefined {
    const transfer = this.#optionalWrite(request);
    if (typeof transfer === 'number') return transfer;
    this.#submit();
    const { disk } = this.#glue;
    const begin = (): void =>
      this.#run({ request, lease: transfer?.lease }, async () => {
        await disk.flush();
        if (transfer === undefined) return;
        await disk.write(transfer.offset, transfer.memory);
        await disk.flush();
      });
    this.#barrier = { begin, begun: false };
    this.#rest();
    return undefined;
  }

  #discard(request: BlockRequest): BlkifStatus | undefined {
    const { disk, discard, onWritten } = this.#glue;
    const { sector, sectorCount } = request;
    const refused = this.#outside('discard', sector, sectorCount);
    if (refused !== undefined) return refused;
    if (!discard) return BLKIF_RSP.EOPNOTSUPP;
    this.#submit();
    this.#run({ request, lease: undefined }, async () => {
      await disk.discard(sector * BLKIF_SECTOR, sectorCount * BLKIF_SECTOR);
      onWritten();
    });
    return undefined;
  }

  #optionalWrite(request: BlockRequest): Transfer | BlkifStatus | undefined {
    const count = request.segmentCount;
    if (count > segmentLimit(request)) return this.#refuse(`Bad number of segments in request (${count})`);
    if (count > 0) return this.#prepare(request, true, segmentsOf(request, count));
    return this.#glue.readOnly ? this.#refuse('flush of a read-only disk') : undefined;
  }

  #count(operation: number): void {
    const { block } = this.#glue.device.statistics;
    if (operation === BLKIF_OP.WRITE) block.writeRequests++;
    else if (operation === BLKIF_OP.READ) block.readRequests++;
  }

  // --- checks -----------------------------------------------------------------------------------------------------

  /** Checks all of a request before anything of it is mapped, then maps what it names. */
  #prepare(request: BlockRequest, write: boolean, segments: readonly Segment[]): Transfer | BlkifStatus {
    let sectors = 0;
    for (const { first, last } of segments) {
      if (last >= SECTORS_PER_PAGE || last < first) return this.#refuse(`bad segment: sectors ${first} to ${last}`);
      sectors += last - first + 1;
    }
    const refused = this.#outside(write ? 'write' : 'read', request.sector, sectors);
    if (refused !== undefined) return refused;
    const refs = segments.map(({ gref }) => gref);
    const lease = this.#grants.lease(refs, write);
    if (typeof lease === 'number') return this.#refuse(`invalid buffer -- could not map grant ${lease}`);
    const { block } = this.#glue.device.statistics;
    if (write) block.writeSectors += sectors;
    else block.readSectors += sectors;
    const memory = memoryOf(segments, lease);
    return { request, write, offset: request.sector * BLKIF_SECTOR, length: sectors * BLKIF_SECTOR, memory, lease };
  }

  /** Linux: xen_vbd_translate */
  #outside(what: 'read' | 'write' | 'discard', sector: number, count: number): BlkifStatus | undefined {
    const { readOnly, disk } = this.#glue;
    if (!(readOnly && what !== 'read') && sector + count <= disk.size / BLKIF_SECTOR) return undefined;
    return this.#refuse(`access denied: ${what} of [${sector},${sector + count}]`);
  }

  #refuse(why: string): BlkifStatus {
    this.#glue.device.warn(why);
    return BLKIF_RSP.ERROR;
  }

  // --- doing ------------------------------------------------------------------------------------------------------

  #queue(transfer: Transfer): void {
    if (this.#extents.at(-1)?.append(transfer) !== true) this.#extents.push(new Extent(transfer));
  }

  #submit(): void {
    if (this.#extents.length === 0) return;
    const extents = this.#extents;
    this.#extents = [];
    let atOnce = 0;
    for (const extent of extents) {
      if (atOnce + extent.length <= AT_ONCE_BYTES && this.#doNow(extent)) atOnce += extent.length;
      else this.#do(extent);
    }
  }

  #doNow({ write, offset, memory, transfers }: Extent): boolean {
    const { disk } = this.#glue;
    const isDone = write ? disk.writeNow?.(offset, memory) : disk.readNow?.(offset, memory);
    if (isDone !== true) return false;
    if (write) this.#glue.onWritten();
    this.#answerAll(transfers, BLKIF_RSP.OKAY);
    return true;
  }

  #do(extent: Extent): void {
    const { disk } = this.#glue;
    const { write, offset, memory, transfers } = extent;
    const done = write ? disk.write(offset, memory) : disk.read(offset, memory);
    this.#underWay++;
    done.then(
      () => {
        if (write) this.#glue.onWritten();
        this.#end(transfers, BLKIF_RSP.OKAY);
      },
      (error: unknown) => {
        if (transfers.length === 1 || !(error instanceof DiskError)) return this.#end(transfers, error);
        // One of them is the reason; each gets an answer of its own.
        for (const transfer of transfers) this.#do(new Extent(transfer));
        this.#end([], BLKIF_RSP.OKAY);
      },
    );
  }

  #run(taken: Taken, body: () => Promise<void>): void {
    const done = body();
    this.#underWay++;
    done.then(
      () => this.#end([taken], BLKIF_RSP.OKAY),
      (error: unknown) => this.#end([taken], error),
    );
  }

  /** `outcome`: a status, or what the disk has thrown. */
  #end(taken: readonly Taken[], outcome: unknown): void {
    this.#underWay--;
    this.#glue.device.guard(() => {
      if (typeof outcome === 'number') {
        this.#answerAll(taken, outcome);
      } else if (outcome instanceof DiskError) {
        this.#glue.device.warn(outcome.message);
        this.#answerAll(taken, outcome.code === 'ENOTSUP' ? BLKIF_RSP.EOPNOTSUPP : BLKIF_RSP.ERROR);
      } else {
        for (const { lease } of taken) lease?.release();
        this.#glue.device.failed(outcome);
      }
    });
    this.#glue.device.guard(() => this.#rest());
  }

  /** Something has ended; perhaps it was the last. */
  #rest(): void {
    if (this.#underWay > 0) return;
    this.#onIdle?.();
    const barrier = this.#barrier;
    if (barrier === undefined || this.#stopped) return;
    if (barrier.begun) {
      this.#barrier = undefined;
      this.#pump();
    } else {
      barrier.begun = true;
      barrier.begin();
    }
  }

  // --- answering --------------------------------------------------------------------------------------------------

  /** Their pages are let go first. */
  #answerAll(taken: readonly Taken[], status: number): void {
    for (const { lease } of taken) lease?.release();
    for (const { request } of taken) this.#answer(request, status);
  }

  #answer(request: BlockRequest, status: number): void {
    // One that is not answered here is done again by the next queue.
    if (this.#stopped || !this.#ring.open.delete(request)) return;
    request.response(status, this.#responseView);
    this.#ring.ring.respond(this.#response);
    if (this.#pushing) return;
    this.#pushing = true;
    // Answers that come together are told together.
    microtasks.defer(() => this.#glue.device.guard(() => this.#push()));
  }

  #push(): void {
    this.#pushing = false;
    if (this.#ring.ring.push()) this.#ring.channel.notify();
  }
}

function segmentsOf(request: BlockRequest, count: number): Segment[] {
  return Array.from({ length: count }, (_, index) => request.segment(index));
}
