import type { Handler } from '../instruction-set.ts';
import { Op } from '../state-layout.ts';

/** Limits of a region: beyond them a function takes longer to compile than it saves. */
const MAX_BLOCKS = 24;
const MAX_OPERATIONS = 400;
const PAGE = 4096;

/** Straight-line operations from a branch target to the branch that leaves it. */
export interface RegionBlock {
  readonly start: number;
  /** Offset of its first instruction in the page. */
  readonly off: number;
  readonly operations: readonly { readonly at: number; readonly handler: Handler }[];
}

/** Blocks of one page that reach each other by direct branches; the first is the entry. */
export interface Region {
  readonly blocks: readonly RegionBlock[];
}

/**
 * Follows the links of direct branches from an operation.
 * @param handlerAt the interpreter's handler of an operation; undefined for one that is stale
 */
export function discover(
  memory: DataView,
  entry: number,
  handlerAt: (op: number) => Handler | undefined,
): Region | undefined {
  const blocks = new Map<number, RegionBlock>();
  const waiting = [entry];
  let count = 0;
  for (let start = waiting.shift(); start !== undefined; start = waiting.shift()) {
    if (blocks.has(start)) continue;
    if (blocks.size === MAX_BLOCKS || count > MAX_OPERATIONS) break;
    const operations: { at: number; handler: Handler }[] = [];
    for (let at = start; ; at += Op.size) {
      const handler = handlerAt(at);
      if (!handler) {
        operations.length = 0;
        break;
      }
      operations.push({ at, handler });
      const { instruction } = handler;
      if (isDirectBranch(handler)) {
        const link = memory.getUint32(at + Op.disp, true);
        if (link !== 0 && memory.getInt32(at + Op.imm + 4, true) === 0 && memory.getUint32(at + Op.imm, true) < PAGE)
          waiting.push(link);
      }
      if (instruction.ends || instruction.name === '(next)' || instruction.name === '(invalid)') break;
    }
    count += operations.length;
    if (operations.length > 0) blocks.set(start, { start, off: memory.getUint16(start + Op.off, true), operations });
    else if (start === entry) return undefined;
  }
  return { blocks: [...blocks.values()] };
}

/** Branches whose target is in the operation: those with a J operand, and the end of a block that is no branch. */
export const isDirectBranch = ({ instruction }: Handler): boolean =>
  instruction.name === '(next)' || instruction.forms.some((form) => / J[bz]/.test(form));
