import type { Helper, Instruction, InstructionGroup } from '../instruction-set.ts';
import type { Code, Fn } from '../wasm/code.ts';
import { I32, I64, ValType } from '../wasm/value.ts';
import { Exit, Privileged } from '../exits.ts';
import { Flag, truncate } from '../flags.ts';
import { Gpr, type Semantics } from '../semantics.ts';
import { Op, S, Tlb } from '../state-layout.ts';

const { i32, i64 } = ValType;

const forms = (opcode: number): string[] => [
  `${opcode.toString(16).toUpperCase()} Xb`,
  `${(opcode + 1).toString(16).toUpperCase()} Xv`,
];

/** Bytes per element, negative when DF says downwards. */
const stride = (u: Semantics): I64 => {
  const bytes = u.width / 8;
  return u.vcpu.load32(S.flagsRest).and(Flag.DF).select(I64.of(-bytes), I64.of(bytes));
};

/** DS:rSI, or what a segment override says. */
const source = (u: Semantics, offset: I64): I64 => linear(u, offset, u.addressPart(Op.segment));
/** ES:rDI; cannot be overridden. In 64-bit mode ES has base 0. */
const destination = (u: Semantics, offset: I64): I64 =>
  u.addressSize === 64 ? offset : linear(u, offset, u.vcpu.load64(S.segmentBase));
const linear = (u: Semantics, offset: I64, base: I64): I64 =>
  u.addressSize === 64 ? offset.add(base) : truncate(32, offset.add(base));

const advance = (u: Semantics, register: number, by: I64): void =>
  u.setGpr(register, u.gpr(register, u.addressSize).add(by), u.addressSize);

/** Rounds of a repeated instruction before it lets others look: at most a page each, so this is some milliseconds. */
const ROUNDS = 16384;

/**
 * Repeats `body` rCX times. Registers are up to date between elements, RIP stays at the instruction: a fault or a requested exit in the middle leaves
 * a state from which the instruction resumes (SDM Vol. 2B, "REP/REPE/REPZ/REPNE/REPNZ").
 * @param body executes at least one element and gives how many; `stop` is tested after it
 */
function repeat(u: Semantics, body: (left: I64) => I64, stop?: () => I32): void {
  if (u.rep === 'none') {
    body(I64.of(1));
    return;
  }
  const bits = u.addressSize;
  const rounds = u.code.variable(i32, I32.of(ROUNDS));
  u.code.block((_leave, leaveIf) => {
    u.code.loop((again) => {
      const left = u.let(u.gpr(Gpr.rcx, bits));
      leaveIf(left.eqz());
      const done = u.let(body(left));
      u.setGpr(Gpr.rcx, left.sub(done), bits);
      if (stop) leaveIf(stop());
      leaveIf(left.eq(done));
      u.code.if(u.vcpu.load32(S.exitRequest), () => u.exit(Exit.Interrupt, u.rip()));
      // As an interrupt would: a count of 2^64 must keep neither the vCPU's timers nor a single step waiting.
      rounds.set(rounds.get.sub(1));
      u.code.if(rounds.get.eqz(), () => u.exit(Exit.Budget, u.rip()));
      again();
    });
  });
}

/** Host address of `va` from the TLB tag at `tag`, or 0: no walk, no fault. */
const quickHost = (c: Code, vcpu: I32, va: I64, tag: number): I32 => {
  const entry = c.let(
    vcpu.load32(S.tlb).add(
      va
        .shrU(7)
        .wrap()
        .and((Tlb.entries - 1) << 5),
    ),
  );
  return c.let(
    entry
      .load64(tag)
      .eq(va.and(~0xfffn))
      .select(va.wrap().add(entry.load32(Tlb.addend)), I32.of(0)),
  );
};

const leftInPage = (va: I64): I32 => I32.of(4096).sub(va.wrap().and(0xfff));
const smaller = (c: Code, a: I32, b: I32): I32 => {
  const x = c.let(a);
  const y = c.let(b);
  return c.let(x.ltU(y).select(x, y));
};

/** (vcpu, from, to, bytes wanted, mask of whole elements) → bytes copied at once: inside one page each, pages in the TLB, upwards, and not overlapping in the way that repeats a pattern. */
const copyRun: Helper = {
  name: 'copyRun',
  define: (m) =>
    m.function('copyRun', [i32, i64, i64, i32, i32], i32, (c) => {
      const vcpu = c.param(i32, 0);
      const from = c.param(i64, 1);
      const to = c.param(i64, 2);
      const a = quickHost(c, vcpu, from, Tlb.read);
      const b = quickHost(c, vcpu, to, Tlb.write);
      c.if(a.eqz().or(b.eqz()), () => c.return(I32.of(0)));
      const n = c.let(smaller(c, smaller(c, leftInPage(from), leftInPage(to)), c.param(i32, 3)).and(c.param(i32, 4)));
      c.if(b.sub(a).ltU(n), () => c.return(I32.of(0)));
      c.memoryCopy(b, a, n);
      c.return(n);
      c.unreachable();
    }),
};

/** (vcpu, to, byte, bytes wanted, mask of whole elements) → bytes filled at once. */
const fillRun: Helper = {
  name: 'fillRun',
  define: (m) =>
    m.function('fillRun', [i32, i64, i32, i32, i32], i32, (c) => {
      const to = c.param(i64, 1);
      const host = quickHost(c, c.param(i32, 0), to, Tlb.write);
      c.if(host.eqz(), () => c.return(I32.of(0)));
      const n = c.let(smaller(c, leftInPage(to), c.param(i32, 3)).and(c.param(i32, 4)));
      c.memoryFill(host, c.param(i32, 2), n);
      c.return(n);
      c.unreachable();
    }),
};

/** Elements that `run` did in one go, or one done by `single`. `run` gets the bytes that are wanted. */
function bulk(
  u: Semantics,
  left: I64,
  possible: I32,
  run: (bytes: I32) => I32,
  single: () => void,
  moved: (bytes: I64) => void,
): I64 {
  const shift = Math.log2(u.width / 8);
  const done = u.code.variable(i64, I64.of(0));
  u.code.if(possible, () => {
    // A run stays in a page, so more than that need not be asked for.
    const wanted = u.let(left.gtU(4096).select(I64.of(4096), left).shl(shift).wrap());
    const bytes = u.let(run(wanted).extendU());
    // Registers stay as they are when nothing was done: 32-bit ones would lose their upper halves.
    u.code.if(bytes.ne(0), () => {
      done.set(bytes.shrU(shift));
      moved(bytes);
    });
  });
  u.code.if(done.get.eqz(), () => {
    single();
    done.set(I64.of(1));
  });
  return done.get;
}

const strings: Instruction[] = [
  {
    name: 'MOVS',
    forms: forms(0xa4),
    perAddress: true,
    rep: 'count',
    build(u) {
      const by = u.let(stride(u));
      const single = (): void => {
        const from = u.let(u.gpr(Gpr.rsi, u.addressSize));
        const to = u.let(u.gpr(Gpr.rdi, u.addressSize));
        u.store(u.width, destination(u, to), u.load(u.width, source(u, from)));
        advance(u, Gpr.rsi, by);
        advance(u, Gpr.rdi, by);
      };
      repeat(u, (left) => {
        if (u.rep === 'none') {
          single();
          return I64.of(1);
        }
        return bulk(
          u,
          left,
          by.gtS(0),
          (bytes) =>
            u.code.call(
              u.helper('copyRun') as Fn<typeof i32>,
              u.vcpu,
              source(u, u.gpr(Gpr.rsi, u.addressSize)),
              destination(u, u.gpr(Gpr.rdi, u.addressSize)),
              bytes,
              I32.of(-(u.width / 8)),
            ),
          single,
          (bytes) => {
            advance(u, Gpr.rsi, bytes);
            advance(u, Gpr.rdi, bytes);
          },
        );
      });
    },
  },
  {
    name: 'STOS',
    forms: forms(0xaa),
    perAddress: true,
    rep: 'count',
    build(u) {
      const by = u.let(stride(u));
      const value = u.let(u.gpr(Gpr.rax, u.width));
      const single = (): void => {
        u.store(u.width, destination(u, u.gpr(Gpr.rdi, u.addressSize)), value);
        advance(u, Gpr.rdi, by);
      };
      // A value of equal bytes is a fill.
      const byte = u.let(value.and(0xff));
      const same = u.let(value.eq(truncate(u.width, byte.mul(0x0101_0101_0101_0101n))).and(by.gtS(0)));
      repeat(u, (left) => {
        if (u.rep === 'none') {
          single();
          return I64.of(1);
        }
        return bulk(
          u,
          left,
          same,
          (bytes) =>
            u.code.call(
              u.helper('fillRun') as Fn<typeof i32>,
              u.vcpu,
              destination(u, u.gpr(Gpr.rdi, u.addressSize)),
              byte.wrap(),
              bytes,
              I32.of(-(u.width / 8)),
            ),
          single,
          (bytes) => advance(u, Gpr.rdi, bytes),
        );
      });
    },
  },
  {
    name: 'LODS',
    forms: forms(0xac),
    perAddress: true,
    rep: 'count',
    build(u) {
      const by = u.let(stride(u));
      repeat(u, () => {
        u.setGpr(Gpr.rax, u.load(u.width, source(u, u.gpr(Gpr.rsi, u.addressSize))), u.width);
        advance(u, Gpr.rsi, by);
        return I64.of(1);
      });
    },
  },
  {
    name: 'SCAS',
    forms: forms(0xae),
    perAddress: true,
    rep: 'compare',
    flagsInLoop: true,
    build(u) {
      const by = u.let(stride(u));
      const a = u.let(u.gpr(Gpr.rax, u.width));
      repeat(
        u,
        () => {
          const b = u.load(u.width, destination(u, u.gpr(Gpr.rdi, u.addressSize)));
          u.flags.sub(u.width, a, b, u.let(truncate(u.width, a.sub(b))));
          advance(u, Gpr.rdi, by);
          return I64.of(1);
        },
        () => (u.rep === 'rep' ? u.flags.zero().eqz() : u.flags.zero()),
      );
    },
  },
  {
    name: 'CMPS',
    forms: forms(0xa6),
    perAddress: true,
    rep: 'compare',
    flagsInLoop: true,
    build(u) {
      const by = u.let(stride(u));
      repeat(
        u,
        () => {
          const b = u.load(u.width, destination(u, u.gpr(Gpr.rdi, u.addressSize)));
          const a = u.load(u.width, source(u, u.gpr(Gpr.rsi, u.addressSize)));
          u.flags.sub(u.width, a, b, u.let(truncate(u.width, a.sub(b))));
          advance(u, Gpr.rsi, by);
          advance(u, Gpr.rdi, by);
          return I64.of(1);
        },
        () => (u.rep === 'rep' ? u.flags.zero().eqz() : u.flags.zero()),
      );
    },
  },
  // INS and OUTS: details are bits, repeat (0 or 1) and address size; the hypervisor does one element and comes back.
  ...(['ins', 'outs'] as const).map((name): Instruction => ({
    name: name.toUpperCase(),
    forms: name === 'ins' ? forms(0x6c) : forms(0x6e),
    perAddress: true,
    rep: 'count',
    ends: true,
    build: (u) => u.privileged(Privileged[name], Math.min(u.width, 32), u.rep === 'none' ? 0 : 1, u.addressSize),
  })),
];

export const stringGroup: InstructionGroup = { instructions: strings, helpers: [copyRun, fillRun] };
