/** Tells a person what a check found. */
import type { InstructionSet } from '../instruction-set.ts';
import { Op } from '../state-layout.ts';
import type { CheckFailure } from './check.ts';
import { RegionGenerator } from './generate.ts';

/** What is asked of the processor that stopped. */
interface Guest {
  copyFromGuest(va: number, length: number): Uint8Array | undefined;
}

export interface CheckReport {
  readonly text: string;
  /** The region's function alone, as a module. */
  readonly module: Uint8Array<ArrayBuffer>;
}

export function checkReport({ gate, entry, lines }: CheckFailure, set: InstructionSet, guest: Guest): CheckReport {
  const { job } = gate;
  const page = Number(entry & ~0xfffn);
  const ops = new DataView(job.ops.buffer, job.ops.byteOffset, job.ops.byteLength);
  const code = [...job.instructions]
    .sort((a, b) => a.at - b.at)
    .map(({ at, first, count }) => {
      const own = first + count - 1;
      const length = ops.getUint8(own * Op.size + Op.len);
      const bytes = guest.copyFromGuest(page + at, length);
      const names = job.handlers.slice(first, own + 1).map((handler) => set.handlerNames[handler] ?? '?');
      return `  ${hex(page + at)}  ${bytes ? bytesOf(bytes) : '(not mapped)'}  ${names.join(' ')}`;
    });
  const text = [
    `The region at 0x${hex(Number(entry))}, in check ${gate.checks}, does not do what the interpreter does.`,
    '',
    'Differences:',
    ...lines.map((line) => `  ${line}`),
    '',
    'Code, and the operations that it was decoded to:',
    ...code,
    '',
  ].join('\n');
  return { text, module: new RegionGenerator(set).generate([job]) };
}

const hex = (va: number): string => BigInt.asUintN(64, BigInt(va)).toString(16);
const bytesOf = (bytes: Uint8Array): string =>
  [...bytes]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(' ')
    .padEnd(15 * 3);
