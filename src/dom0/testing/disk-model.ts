/** A disk as the simplest program would have it, and random requests to compare another with it. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Disk, SECTOR_SIZE } from '../disk/index.ts';

export interface DiskRequest {
  readonly kind: 'write' | 'read' | 'writeZeroes' | 'discard' | 'flush';
  /** In sectors. */
  readonly at: number;
  readonly count: number;
  readonly fill: number;
}

/** Batches of requests; those of one batch are under way at the same time. */
export function diskRequests(sectors: number, longest = 64): fc.Arbitrary<DiskRequest[][]> {
  const request = fc
    .record({
      kind: fc.constantFrom<DiskRequest['kind']>('write', 'write', 'write', 'read', 'writeZeroes', 'discard', 'flush'),
      at: fc.nat(sectors - 1),
      count: fc.integer({ min: 1, max: longest }),
      fill: fc.integer({ min: 1, max: 255 }),
    })
    .map((one) => ({ ...one, count: Math.min(one.count, sectors - one.at) }));
  return fc.array(fc.array(request, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 12 });
}

export class DiskModel {
  bytes: Uint8Array;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** Does the batch on the disk and here, and compares what is read. Requests that overlap an earlier one of the batch are left out. */
  async run(disk: Disk, batch: readonly DiskRequest[]): Promise<void> {
    const taken: DiskRequest[] = [];
    const discarded: DiskRequest[] = [];
    const work: Promise<void>[] = [];
    for (const request of batch) {
      if (taken.some(({ at, count }) => request.at < at + count && at < request.at + request.count)) continue;
      if (request.kind !== 'flush') taken.push(request);
      if (request.kind === 'discard') discarded.push(request);
      work.push(this.#one(disk, request));
    }
    await Promise.all(work);
    for (const request of discarded) await this.#adopt(disk, request);
  }

  async compare(disk: Disk): Promise<void> {
    const all = new Uint8Array(this.bytes.length).fill(0xee);
    await disk.read(0, [all]);
    assert.equal(firstDifference(all, this.bytes), undefined);
  }

  #one(disk: Disk, { kind, at, count, fill }: DiskRequest): Promise<void> {
    const offset = at * SECTOR_SIZE;
    const length = count * SECTOR_SIZE;
    const ours = this.bytes.subarray(offset, offset + length);
    switch (kind) {
      case 'write': {
        const from = new Uint8Array(length);
        for (let step = 0; step < count; step++) from.fill(fill + step, step * SECTOR_SIZE, (step + 1) * SECTOR_SIZE);
        ours.set(from);
        const pieces = cut(from, fill);
        return disk.writeNow?.(offset, pieces) === true ? Promise.resolve() : disk.write(offset, pieces);
      }
      case 'read': {
        const into = new Uint8Array(length).fill(0xee);
        const pieces = cut(into, fill);
        if (disk.readNow?.(offset, pieces) !== true)
          return disk.read(offset, pieces).then(() => assert.equal(firstDifference(into, ours), undefined));
        assert.equal(firstDifference(into, ours), undefined);
        return Promise.resolve();
      }
      case 'writeZeroes':
        ours.fill(0);
        return disk.writeZeroes(offset, length);
      case 'discard':
        return disk.discard(offset, length);
      case 'flush':
        return disk.flush();
    }
  }

  /** Each discarded sector reads as zeroes or as before, and from then on so. */
  async #adopt(disk: Disk, { at, count }: DiskRequest): Promise<void> {
    const into = new Uint8Array(count * SECTOR_SIZE);
    await disk.read(at * SECTOR_SIZE, [into]);
    for (let sector = 0; sector < count; sector++) {
      const is = into.subarray(sector * SECTOR_SIZE, (sector + 1) * SECTOR_SIZE);
      const was = this.bytes.subarray((at + sector) * SECTOR_SIZE, (at + sector + 1) * SECTOR_SIZE);
      assert.ok(
        firstDifference(is, was) === undefined || is.every((byte) => byte === 0),
        'a discarded sector reads as something else',
      );
      was.set(is);
    }
  }
}

/** Two segments, cut somewhere that is no sector's edge. */
function cut(bytes: Uint8Array, fill: number): Uint8Array[] {
  const at = Math.min(bytes.length, fill * 3);
  return [bytes.subarray(0, at), bytes.subarray(at)];
}

export function firstDifference(one: Uint8Array, other: Uint8Array): number | undefined {
  if (Buffer.compare(one, other) === 0) return undefined;
  const at = one.findIndex((byte, index) => byte !== other[index]);
  return at < 0 ? one.length : at;
}

/** Turns of the event loop in an order that depends on nothing but the seed: operations overtake each other, the same way each time. */
export function seededDelay(seed: number): () => Promise<void> {
  let state = seed | 1;
  return async () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    for (let turns = (state >>> 0) % 12; turns > 0; turns--) await Promise.resolve();
  };
}

/** True every so often, in no order. */
export function seededCoin(seed: number): () => boolean {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state % 3 !== 0;
  };
}
