/** What the writer of the crash test does, as a function of a seed: who kills it knows what it may have done. */
import { SECTOR_SIZE } from '../../../dom0/disk/index.ts';

export interface CrashStep {
  /** Counts up over all batches and runs; the sectors say which write they are from. */
  readonly version: number;
  readonly kind: 'write' | 'clear';
  readonly sector: number;
  readonly count: number;
}

export const DISK_SECTORS = 16384;
const STEPS = 12;
const LONGEST = 96;

/** Steps of a batch are under way at the same time and do not overlap; after each batch there is a flush. */
export function* crashPlan(seed: number, firstVersion: number): Generator<CrashStep[]> {
  let state = seed | 1;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  let version = firstVersion;
  for (;;) {
    const batch: CrashStep[] = [];
    for (let step = 0; step < STEPS; step++) {
      const kind = random(6) === 0 ? 'clear' : 'write';
      // Clearing whole clusters of every size there is.
      const unit = kind === 'clear' ? 128 : 1;
      const sector = random(DISK_SECTORS / unit) * unit;
      const count = kind === 'clear' ? unit : 1 + random(Math.min(LONGEST, DISK_SECTORS - sector));
      if (batch.every((other) => sector >= other.sector + other.count || other.sector >= sector + count)) {
        batch.push({ version: version++, kind, sector, count });
      }
    }
    yield batch;
  }
}

/** The sectors of a write: each says which one it is, from which write, all over. */
export function crashBytes({ version, sector, count }: CrashStep): Uint8Array {
  const bytes = new Uint8Array(count * SECTOR_SIZE);
  const words = new Uint32Array(bytes.buffer);
  for (let at = 0; at < words.length; at += 2) {
    words[at] = version;
    words[at + 1] = sector + Math.floor((at * 4) / SECTOR_SIZE);
  }
  return bytes;
}

/** Which write a sector is from; 0 when it is empty, undefined when it is not of one write or not this sector's. */
export function versionOf(bytes: Uint8Array, sector: number): number | undefined {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const [version = 0] = words;
  const second = version === 0 ? 0 : sector;
  for (let at = 0; at < words.length; at += 2) {
    if (words[at] !== version || words[at + 1] !== second) return undefined;
  }
  return version;
}
