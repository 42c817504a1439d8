import type { InstructionGroup } from '../instruction-set.ts';
import { arithmetic } from './arithmetic.ts';
import { bits } from './bits.ts';
import { controlFlow } from './control-flow.ts';
import { dataTransfer } from './data-transfer.ts';
import { shiftGroup } from './shifts.ts';
import { sse } from './sse.ts';
import { stringGroup } from './strings.ts';
import { system } from './system.ts';
import { x87 } from './x87.ts';

/** Every instruction of the processor, by group. */
export const groups: readonly InstructionGroup[] = [
  arithmetic,
  dataTransfer,
  shiftGroup,
  bits,
  controlFlow,
  stringGroup,
  system,
  x87,
  ...sse,
];
