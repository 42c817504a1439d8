/** Reading and writing of reference counts of 1 to 64 bits (docs/interop/qcow2.txt, "Refcount blocks"). */

export interface RefcountWidth {
  readonly order: number;
  readonly max: number;
  /** How many counts a block of this many bytes holds. */
  perBlock(clusterSize: number): number;
  get(block: Uint8Array, index: number): number;
  set(block: Uint8Array, index: number, value: number): void;
}

export const MAX_REFCOUNT_ORDER = 6;
export const DEFAULT_REFCOUNT_ORDER = 4;

export function refcountWidth(order: number): RefcountWidth {
  const bits = 2 ** order;
  const shape = {
    order,
    // Counts of 64 bits are bounded by what a number holds exactly; no image has that many references.
    max: order === MAX_REFCOUNT_ORDER ? Number.MAX_SAFE_INTEGER : 2 ** bits - 1,
    perBlock: (clusterSize: number) => (clusterSize * 8) / bits,
  };
  return { ...shape, ...(order < 3 ? subByte(order) : wholeBytes(bits / 8)) };
}

type Access = Pick<RefcountWidth, 'get' | 'set'>;

/** Several counts in a byte, the first in its lowest bits. */
function subByte(order: number): Access {
  const perByte = 3 - order;
  const within = 2 ** perByte - 1;
  const mask = 2 ** (2 ** order) - 1;
  const shiftOf = (index: number): number => (index & within) << order;
  return {
    get: (block, index) => ((block[index >>> perByte] ?? 0) >>> shiftOf(index)) & mask,
    set: (block, index, value) => {
      const at = index >>> perByte;
      block[at] = ((block[at] ?? 0) & ~(mask << shiftOf(index))) | (value << shiftOf(index));
    },
  };
}

function wholeBytes(size: number): Access {
  return {
    get: (block, index) => {
      let value = 0;
      for (let at = index * size; at < (index + 1) * size; at++) value = value * 256 + (block[at] ?? 0);
      return value;
    },
    set: (block, index, value) => {
      let rest = value;
      for (let at = (index + 1) * size - 1; at >= index * size; at--) {
        block[at] = rest % 256;
        rest = Math.floor(rest / 256);
      }
    },
  };
}
