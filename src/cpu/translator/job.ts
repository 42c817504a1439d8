/**
 * What the translator makes a function of: decoded operations and how control goes between them. It refers to no memory, so it can be handed to another
 * thread.
 */
export interface RegionJob {
  /** For profiles: the linear address it was found at. */
  readonly name: string;
  readonly mode: number;
  /** Operations, `Op.size` bytes each. */
  readonly ops: Uint8Array;
  /** Host address of each operation. */
  readonly addresses: readonly number[];
  /** The interpreter's handler of each operation. */
  readonly handlers: readonly number[];
  readonly instructions: readonly Instruction[];
  /** The first one is where the region is entered. */
  readonly nodes: readonly Node[];
  /** Pages of code beside the entry's: offset from it in bytes, and the host address of the frame that they have to map. */
  readonly pages: readonly { readonly offset: number; readonly host: number }[];
  /** The interpreter's handler of the entry, for when a page is mapped elsewhere. */
  readonly original: number;
}

/** One guest instruction: its own operation, after those that compute an address for it. */
export interface Instruction {
  /** Linear address less that of the entry's page. */
  readonly at: number;
  /** First operation and how many, numbered within the job. */
  readonly first: number;
  readonly count: number;
}

/** Straight-line code. A successor that is missing is outside of the region. */
export interface Node {
  /** Linear address less that of the entry's page. */
  readonly at: number;
  readonly instructions: readonly number[];
  /** Address after the last instruction. */
  readonly end: number;
  /** Where the last instruction's direct branch goes. */
  readonly taken: number | undefined;
  /** What follows when no branch is taken; of a node that ends in a call, nothing. */
  readonly next: number | undefined;
  /** Where its return goes when the caller is the one in the region. */
  readonly returns: number | undefined;
}

/** Page of an address in the region, as an offset from the entry's page. */
export const pageOf = (at: number): number => Math.floor(at / 4096) * 4096;
