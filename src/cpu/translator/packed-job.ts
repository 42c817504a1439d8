import { Op } from '../state-layout.ts';
import type { Instruction, Node, RegionJob } from './job.ts';

const OP_WORDS = Op.size / 4;

/** A job as one array of numbers and its name: cheap to hand to another thread. */
export interface PackedJob {
  readonly name: string;
  readonly words: Int32Array<ArrayBuffer>;
}

export function packJob(job: RegionJob): PackedJob {
  const { ops, addresses, handlers, instructions, nodes, pages } = job;
  const nodeWords = nodes.reduce((sum, node) => sum + 6 + node.instructions.length, 0);
  const words = new Int32Array(
    6 + handlers.length * (2 + OP_WORDS) + instructions.length * 3 + pages.length * 2 + nodeWords,
  );
  let to = 0;
  const put = (...values: readonly number[]): void => {
    for (const value of values) words[to++] = value;
  };
  put(job.mode, job.original, handlers.length, instructions.length, pages.length, nodes.length);
  words.set(new Int32Array(ops.buffer, ops.byteOffset, handlers.length * OP_WORDS), to);
  to += handlers.length * OP_WORDS;
  for (const [i, handler] of handlers.entries()) put(addresses[i] ?? 0, handler);
  for (const { at, first, count } of instructions) put(at, first, count);
  for (const { offset, host } of pages) put(offset, host);
  // Nodes are numbered from 1: 0 is none.
  const number = (node: number | undefined): number => (node === undefined ? 0 : node + 1);
  for (const node of nodes) {
    put(node.at, node.end, number(node.taken), number(node.next), number(node.returns), node.instructions.length);
    words.set(node.instructions, to);
    to += node.instructions.length;
  }
  return { name: job.name, words };
}

export function unpackJob({ name, words }: PackedJob): RegionJob {
  let from = 0;
  const take = (): number => words[from++] ?? 0;
  const many = <T>(count: number, one: () => T): T[] => Array.from({ length: count }, one);
  const [mode, original, operations, instructions, pages, nodes] = [take(), take(), take(), take(), take(), take()];
  const ops = new Uint8Array(words.buffer, words.byteOffset + from * 4, operations * Op.size);
  from += operations * OP_WORDS;
  const addresses: number[] = [];
  const handlers: number[] = [];
  for (let i = 0; i < operations; i++) {
    addresses.push(take());
    handlers.push(take());
  }
  const number = (packed: number): number | undefined => (packed === 0 ? undefined : packed - 1);
  return {
    name,
    mode,
    original,
    ops,
    addresses,
    handlers,
    instructions: many(instructions, (): Instruction => ({ at: take(), first: take(), count: take() })),
    pages: many(pages, () => ({ offset: take(), host: take() >>> 0 })),
    nodes: many(nodes, (): Node => {
      const [at, end, taken, next, returns, count] = [take(), take(), take(), take(), take(), take()];
      return {
        at,
        end,
        taken: number(taken),
        next: number(next),
        returns: number(returns),
        instructions: many(count, take),
      };
    }),
  };
}
