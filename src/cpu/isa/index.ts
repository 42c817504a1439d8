import type { InstructionGroup } from '../instruction-set.ts';
import { arithmetic } from './arithmetic.ts';

/** Every instruction of the processor, by group. */
export const groups: readonly InstructionGroup[] = [arithmetic];
