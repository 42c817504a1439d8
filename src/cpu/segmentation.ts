import { Exit, Vector } from './exits.ts';
import type { Processor } from './processor.ts';
import { S } from './state-layout.ts';

/** What a segment exit is about: `detail[0]`; `detail[1]` the selector or the register number. */
export const SegmentOperation = { load: 1, pop: 10, loadFar: 11, farJump: 2, farCall: 3, farReturn: 4, iret: 5, lsl: 6, lar: 7, verr: 8, verw: 9 } as const;
void S;
void Vector;
void Exit;
export function loadSegmentation(_processor: Processor): number {
  return Exit.Exception;
}
