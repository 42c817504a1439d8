import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import { S } from '../state-layout.ts';
import { shuffleUnits } from '../wasm/simd.ts';
import { I32, I64, type V128, ValType } from '../wasm/value.ts';
import { packed, scalar, settle } from './sse-exceptions.ts';
import { bothFormats, type FastFormat, formats, SHAPES } from './sse-format.ts';
import { inlinePacked, readScalar } from './sse-inline.ts';
import { inlinePackedRound, inlineRound, type RoundingName } from './sse-inline-convert.ts';
import { begin, callHelper, imm8, readLow, readVector, typed, writeLow } from './sse-operands.ts';

const { i32, i64, v128 } = ValType;

/** Neighbours added or subtracted: those of the destination, then those of the source (SSE3). */
const horizontal = (f: FastFormat, name: string, opcode: string, op: 'add' | 'sub'): Instruction => {
  const size = SHAPES[f.name].packedSize;
  return {
    name: `${name}${size.toUpperCase()}`,
    forms: [`${f.bits === 32 ? 'F2' : '66'} 0F ${opcode} /r V${size},W${size}`],
    build(u, dst, src) {
      begin(u);
      const b = u.let(readVector(u, src));
      const a = u.let(u.readV(dst));
      const units = Array.from({ length: f.lanes }, (_, n) => 2 * n);
      const even = shuffleUnits(f.bits / 8, a, b, units);
      const odd = shuffleUnits(
        f.bits / 8,
        a,
        b,
        units.map((n) => n + 1),
      );
      if (u.inline) u.writeV(dst, inlinePacked(u, f, op, u.let(even), u.let(odd)));
      else u.writeV(dst, packed(u, `${f.vector}.${op}`, even, odd));
    },
  };
};

/** (vcpu, a, b, control) → vector: products that control's high half selects, summed pair by pair, in the lanes that its low half selects. */
const dotHelper = (f: FastFormat): Helper => ({
  name: `${f.vector}.dot`,
  define: (m, { helper }) =>
    m.function(`${f.vector}.dot`, [i32, v128, v128, i32], v128, (c) => {
      const [vcpu, a, b, control] = [c.param(i32, 0), c.param(v128, 1), c.param(v128, 2), c.param(i32, 3)];
      const [mul, add] = [typed(helper(`${f.name}.mul`), i64), typed(helper(`${f.name}.add`), i64)];
      const products = Array.from({ length: f.lanes }, (_, n) => {
        const product = c.variable(i64, I64.of(0));
        c.if(control.shrU(4 + n).and(1), () => product.set(c.call(mul, vcpu, f.lane(a, n), f.lane(b, n))));
        return product.get;
      });
      // An unmasked exception ends it after the step that found it; `settle` in the handler finds it again among MXCSR's flags.
      const endOfStep = (): void =>
        c.if(c.call(typed(helper('sseSettle'), i32), vcpu), () => {
          c.store32(vcpu, vcpu.load32(S.mxcsr).and(0x3f), S.mxcsrPending);
          c.return(a);
        });
      endOfStep();
      let sums: I64[] = products;
      while (sums.length > 1) {
        sums = pairs(sums).map(([x, y]) => c.let(c.call(add, vcpu, x, y)));
        if (sums.length > 1) endOfStep();
      }
      const [sum] = sums;
      if (!sum) throw new Error('no lanes');
      const lanes = products.map((_, n) => control.shrU(n).and(1).select(sum, I64.of(0)));
      c.return(f.collect(lanes));
      c.unreachable();
    }),
});

function pairs(list: readonly I64[]): [I64, I64][] {
  return list.flatMap((x, i) => {
    const y = list[i + 1];
    return i % 2 === 0 && y ? [[x, y] as [I64, I64]] : [];
  });
}

const dot = (f: FastFormat, opcode: string): Instruction => {
  const size = SHAPES[f.name].packedSize;
  return {
    name: `DP${size.toUpperCase()}`,
    forms: [`66 0F 3A ${opcode} /r V${size},W${size},Ib`],
    build(u, dst, src) {
      begin(u);
      const b = readVector(u, src);
      const r = callHelper(u, `${f.vector}.dot`, v128, u.vcpu, u.readV(dst), b, imm8(u));
      settle(u);
      u.writeV(dst, r);
    },
  };
};

/** Bits 1:0 of the immediate, or with bit 2 what MXCSR says. */
const roundingNamed = (control: I32): RoundingName => {
  const known = control.known ?? 4;
  return (known & 4) !== 0 ? 'nearest' : ((['nearest', 'floor', 'ceil', 'trunc'] as const)[known & 3] ?? 'nearest');
};

const round = (f: FastFormat, packedOpcode: string, scalarOpcode: string): Instruction[] => {
  const { packedSize, scalarSize } = SHAPES[f.name];
  return [
    {
      name: `ROUND${packedSize.toUpperCase()}`,
      forms: [`66 0F 3A ${packedOpcode} /r V${packedSize},W${packedSize},Ib`],
      build(u, dst, src) {
        begin(u);
        const v = u.let(readVector(u, src));
        const control = u.let(imm8(u));
        const round = (): V128 => {
          const lanes = Array.from({ length: f.lanes }, (_, n) =>
            callHelper(u, `${f.name}.integral`, i64, u.vcpu, f.lane(v, n), control),
          );
          return f.collect(lanes);
        };
        if (u.inline) {
          u.writeV(dst, inlinePackedRound(u, f, roundingNamed(control), v, round));
          return;
        }
        const r = round();
        settle(u);
        u.writeV(dst, r);
      },
    },
    {
      name: `ROUND${scalarSize.toUpperCase()}`,
      forms: [`66 0F 3A ${scalarOpcode} /r V${scalarSize},W${scalarSize},Ib`],
      build(u, dst, src) {
        begin(u);
        const control = imm8(u);
        if (u.inline) u.writeFloat(dst, inlineRound(u, f, roundingNamed(control), readScalar(u, f, src), control));
        else writeLow(u, dst, f.bits, scalar(u, `${f.name}.integral`, readLow(u, src, f.bits), control));
      },
    },
  ];
};

/**
 * RCPSS and RSQRTSS: 1 / x and 1 / √x rounded to 12 bits of fraction, so the relative error is below 2^-13; processors differ, the bound is 1.5 × 2^-12 (SDM
 * Vol. 2B, "RCPPS"). Denormals count as zero, denormal results become zero, no flag is set.
 */
const approximation = (name: 'rcp' | 'rsqrt'): Helper => ({
  name: `f32.${name}`,
  define: (m) =>
    m.function(`f32.${name}`, [i64], i64, (c) => {
      const x = c.variable(i32, c.param(i64, 0).wrap());
      const magnitude = (): I32 => x.get.and(0x7fff_ffff);
      const sign = (): I32 => x.get.and(1 << 31);
      c.if(magnitude().gtU(0x7f80_0000), () => c.return(x.get.or(0x0040_0000).extendU()));
      c.if(magnitude().ltU(0x0080_0000), () => c.return(sign().or(0x7f80_0000).extendU()));
      if (name === 'rsqrt') c.if(sign(), () => c.return(I64.of(0xffc0_0000)));
      c.if(magnitude().eq(0x7f80_0000), () => c.return(sign().extendU()));
      const value = x.get.asF32();
      const one = I32.of(0x3f80_0000).asF32();
      const exact = c.let(one.div(name === 'rcp' ? value : value.sqrt()).asI32());
      // Half of the last kept bit; a carry moves to the next power of two, as it should.
      x.set(exact.add(1 << 10).and(~0x7ff));
      c.return(magnitude().ltU(0x0080_0000).select(sign(), x.get).extendU());
      c.unreachable();
    }),
});

const approximations = (['rcp', 'rsqrt'] as const).flatMap((helper, i): Instruction[] => {
  const opcode = i === 0 ? '53' : '52';
  const name = helper.toUpperCase();
  return [
    {
      name: `${name}PS`,
      forms: [`NP 0F ${opcode} /r Vps,Wps`],
      build(u, dst, src) {
        begin(u);
        const v = u.let(readVector(u, src));
        const lane = (n: number): I64 => callHelper(u, `f32.${helper}`, i64, formats.f32.lane(v, n));
        u.writeV(dst, formats.f32.collect([lane(0), lane(1), lane(2), lane(3)]));
      },
    },
    {
      name: `${name}SS`,
      forms: [`F3 0F ${opcode} /r Vss,Wss`],
      build(u, dst, src) {
        begin(u);
        writeLow(u, dst, 32, callHelper(u, `f32.${helper}`, i64, readLow(u, src, 32)));
      },
    },
  ];
});
export const sseHorizontal: InstructionGroup = {
  helpers: [...bothFormats.map(dotHelper), approximation('rcp'), approximation('rsqrt')],
  instructions: bothFormats
    .flatMap((f) => [
      horizontal(f, 'HADD', '7C', 'add'),
      horizontal(f, 'HSUB', '7D', 'sub'),
      dot(f, f.bits === 32 ? '40' : '41'),
      ...(f.bits === 32 ? round(f, '08', '0A') : round(f, '09', '0B')),
    ])
    .concat(approximations),
};
