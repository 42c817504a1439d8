/** A set of a disk's sectors, as bits, of which only those regions take memory that have some. */
import { SECTOR_SIZE } from '../disk.ts';

/** Bytes of one region's bits: 32768 sectors, 16 MiB of the disk. */
const REGION_BYTES = 4096;
const REGION_SECTORS = REGION_BYTES * 8;

export class SectorSet {
  readonly #regions = new Map<number, Uint8Array>();

  /** Adds the sectors of the range. Both are multiples of SECTOR_SIZE. */
  add(offset: number, length: number): void {
    let sector = offset / SECTOR_SIZE;
    const end = sector + length / SECTOR_SIZE;
    while (sector < end) {
      const index = Math.floor(sector / REGION_SECTORS);
      const bits = this.#region(index);
      let bit = sector - index * REGION_SECTORS;
      const last = Math.min(REGION_SECTORS, end - index * REGION_SECTORS);
      sector += last - bit;
      while (bit < last) {
        if (bit % 8 === 0 && last - bit >= 8) {
          const whole = (last - bit) >> 3;
          bits.fill(0xff, bit >> 3, (bit >> 3) + whole);
          bit += whole * 8;
        } else {
          bits[bit >> 3] = (bits[bit >> 3] ?? 0) | (1 << (bit & 7));
          bit++;
        }
      }
    }
  }

  has(offset: number): boolean {
    return this.#has(offset / SECTOR_SIZE);
  }

  /** Bytes from `offset` on, `length` at most, that are in the set, or are not, as the first one is. */
  run(offset: number, length: number): number {
    const first = offset / SECTOR_SIZE;
    const end = first + length / SECTOR_SIZE;
    const wanted = this.#has(first);
    const whole = wanted ? 0xff : 0;
    let sector = first + 1;
    while (sector < end) {
      const index = Math.floor(sector / REGION_SECTORS);
      const bits = this.#regions.get(index);
      const bit = sector - index * REGION_SECTORS;
      if (bits === undefined) {
        if (wanted) break;
        sector = (index + 1) * REGION_SECTORS;
      } else if (bit % 8 === 0 && bits[bit >> 3] === whole) sector += 8;
      else if ((((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) === (wanted ? 1 : 0)) sector++;
      else break;
    }
    return (Math.min(sector, end) - first) * SECTOR_SIZE;
  }

  #has(sector: number): boolean {
    const index = Math.floor(sector / REGION_SECTORS);
    const bit = sector - index * REGION_SECTORS;
    return (((this.#regions.get(index)?.[bit >> 3] ?? 0) >> (bit & 7)) & 1) !== 0;
  }

  #region(index: number): Uint8Array {
    let bits = this.#regions.get(index);
    if (bits === undefined) this.#regions.set(index, (bits = new Uint8Array(REGION_BYTES)));
    return bits;
  }
}
