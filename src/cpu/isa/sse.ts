import type { InstructionGroup } from '../instruction-set.ts';
import { aes } from './aes.ts';
import { crc32 } from './crc32.ts';
import { pclmul } from './pclmul.ts';
import { shaGroup } from './sha.ts';
import { sseArithmetic } from './sse-arithmetic.ts';
import { sseCompare } from './sse-compare.ts';
import { sseConvert } from './sse-convert.ts';
import { sseHorizontal } from './sse-horizontal.ts';
import { sseInteger } from './sse-integer.ts';
import { sseMove } from './sse-move.ts';
import { sseShift } from './sse-shift.ts';
import { sseShuffle } from './sse-shuffle.ts';
import { sseState } from './sse-state.ts';
import { sse41 } from './sse41.ts';
import { strings42 } from './strings42.ts';

/** MMX, SSE to SSE4.2, AES-NI, PCLMULQDQ and SHA. */
export const sse: readonly InstructionGroup[] = [
  sseMove,
  sseInteger,
  sseShift,
  sseShuffle,
  sseState,
  sseArithmetic,
  sseCompare,
  sseConvert,
  sseHorizontal,
  sse41,
  strings42,
  crc32,
  aes,
  pclmul,
  shaGroup,
];
