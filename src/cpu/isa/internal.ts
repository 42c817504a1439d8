import type { Fn } from '../wasm/code.ts';
import { ValType } from '../wasm/value.ts';
import { Exit, Vector } from '../exits.ts';
import { writeCarryOf, writeSyncFlags } from '../flag-kinds.ts';
import { Flags, truncate } from '../flags.ts';
import type { InstructionGroup } from '../instruction-set.ts';
import { Access } from '../paging.ts';
import type { Semantics } from '../semantics.ts';
import { Op, S } from '../state-layout.ts';
import { I32 } from '../wasm/value.ts';

const { i32, i64 } = ValType;

/** base + index << scale + disp of an address computed ahead of its instruction. */
const sum = (u: Semantics) =>
  u
    .addressPart(Op.base)
    .add(u.addressPart(Op.index).shl(u.op.load64From8U(Op.scale)))
    .add(u.op.load64From32S(Op.disp));
const segmentBase = (u: Semantics) => u.addressPart(Op.segment);

/** Operations that no instruction stands for. */
export const internal: InstructionGroup = {
  instructions: [
    {
      name: '(invalid)',
      forms: [],
      build: (u) => {
        u.raise(Vector.UD);
        u.end();
      },
    },
    // More than 15 bytes (SDM Vol. 2A, "Instruction Format").
    {
      name: '(too long)',
      forms: [],
      build: (u) => {
        u.raise(Vector.GP, 0);
        u.end();
      },
    },
    // The block goes on elsewhere: in another block of the page, or in the next page.
    {
      name: '(next)',
      forms: [],
      build: (u) => {
        u.branch();
        u.end();
      },
    },
    // The bytes that this operation came from were overwritten.
    {
      name: '(stale)',
      forms: [],
      build: (u) => {
        u.code.returnCall(u.dispatch.jumpSlow, u.vcpu, u.rip());
        u.end();
      },
    },
    // Single step: stop before this operation.
    {
      name: '(stop)',
      forms: [],
      build: (u) => {
        u.exit(Exit.Budget, u.rip());
        u.end();
      },
    },
    {
      // In front of an instruction that lies in two pages: is the second one still where it was when it was decoded?
      name: '(cross)',
      forms: [],
      build: (u) => {
        const second = u.let(
          u.code.call(u.paging.translate, u.vcpu, u.vcpu.load64(S.pageVa).add(4096), I32.of(Access.execute)),
        );
        u.code.if(second.eqz(), () => u.code.returnCall(u.dispatch.raise, u.vcpu, u.op));
        u.code.if(second.ne(u.op.load32(Op.imm)), () => u.exit(Exit.Decode, u.rip()));
      },
    },
    // Addresses that do not fit the general rule, computed ahead of their instruction.
    {
      name: '(ea rip)',
      forms: [],
      build: (u) =>
        u.code.store64(
          u.vcpu,
          u.rip().add(u.op.load64From8U(Op.len)).add(u.op.load64From32S(Op.disp)).add(segmentBase(u)),
          S.ea,
        ),
    },
    {
      name: '(ea rip 32)',
      forms: [],
      build: (u) => {
        const sum = u.rip().add(u.op.load64From8U(Op.len)).add(u.op.load64From32S(Op.disp));
        u.code.store64(u.vcpu, truncate(32, sum).add(segmentBase(u)), S.ea);
      },
    },
    {
      name: '(ea absolute)',
      forms: [],
      build: (u) => u.code.store64(u.vcpu, u.op.load64(Op.imm).add(segmentBase(u)), S.ea),
    },
    {
      name: '(ea 32)',
      forms: [],
      build: (u) => u.code.store64(u.vcpu, truncate(32, truncate(32, sum(u)).add(segmentBase(u))), S.ea),
    },
    {
      name: '(ea 32 long)',
      forms: [],
      build: (u) => u.code.store64(u.vcpu, truncate(32, sum(u)).add(segmentBase(u)), S.ea),
    },
    {
      name: '(ea 16)',
      forms: [],
      build: (u) => u.code.store64(u.vcpu, truncate(32, truncate(16, sum(u)).add(segmentBase(u))), S.ea),
    },
  ],
  helpers: [
    {
      name: 'readFlags',
      define: (m) =>
        m.function('readFlags', [i32], i32, (c) => {
          c.return(new Flags(c, c.param(i32, 0)).image());
          c.unreachable();
        }),
    },
    {
      name: 'carryOf',
      define: (m) => m.function('carryOf', [i32, i32, i64, i64], i32, writeCarryOf),
    },
    {
      name: 'syncFlags',
      define: (m, { helper }) =>
        m.function('syncFlags', [i32, i32, i64, i64, i32, i64, i64], undefined, (c) =>
          writeSyncFlags(c, helper('carryOf') as Fn<typeof i32>),
        ),
    },
    {
      name: 'writeFlags',
      define: (m) =>
        m.function('writeFlags', [i32, i32], undefined, (c) => {
          const vcpu = c.param(i32, 0);
          const image = c.param(i32, 1);
          new Flags(c, vcpu).setStatus(image);
          c.store32(vcpu, image.and(~0x8d5 & ~2), S.flagsRest);
        }),
    },
  ],
};
