import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { callHelper } from './sse-operands.ts';

const { i32, i64 } = ValType;

/** CRC-32C, bits in reflected order (SDM Vol. 2A, "CRC32"). */
const POLYNOMIAL = 0x82f6_3b78;

/** (crc, data, bytes) → crc. */
const crcHelper: Helper = {
  name: 'crc32c',
  define: (m) =>
    m.function('crc32c', [i64, i64, i32], i64, (c) => {
      // Up to 32 bits the data lie within the remainder; of 64 the upper half enters when the lower one has left.
      const crc = c.variable(i64, c.param(i64, 0).xor(c.param(i64, 1)));
      const n = c.variable(i32, c.param(i32, 2));
      c.loop((_again, againIf) => {
        for (let bit = 0; bit < 8; bit++) crc.set(crc.get.shrU(1).xor(I64.of(0).sub(crc.get.and(1)).and(POLYNOMIAL)));
        n.set(n.get.sub(1));
        againIf(n.get);
      });
      c.return(crc.get);
      c.unreachable();
    }),
};

const instructions: Instruction[] = [
  {
    name: 'CRC32',
    forms: ['F2 0F 38 F0 /r Gd,Eb W0', 'F2 0F 38 F0 /r Gq,Eb W1', 'F2 0F 38 F1 /r Gd,Ev W0', 'F2 0F 38 F1 /r Gq,Eq W1'],
    build(u, dst, src) {
      const data = u.let(u.read(src));
      u.write(dst, callHelper(u, 'crc32c', i64, u.read(dst, 32), data, I32.of(src.bits / 8)));
    },
  },
];

export const crc32: InstructionGroup = { helpers: [crcHelper], instructions };
