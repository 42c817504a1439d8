import type { Code, Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, ValType } from '../wasm/value.ts';
import { S } from '../state-layout.ts';
import { EXCEPTIONS, MAX_EXPONENT, Status } from './float80.ts';
import { Register } from './x87-stack.ts';

const { i32 } = ValType;

/** Control word: bit 6 reads as 1, what is reserved as 0. */
const CONTROL_BITS = 0x1f3f;
const CONTROL_ALWAYS = 0x40;
const CONTROL_INITIAL = 0x37f;
const TOP_SHIFT = 11;

/** Bytes of the environment and of all registers after it (SDM Vol. 1, "Protected Mode x87 FPU State Image in Memory, 32-Bit Format" and "16-Bit"). */
export const ENVIRONMENT = { 32: 28, 16: 14 } as const;
export const REGISTERS = 80;

export interface X87Environment {
  /** (vcpu) → status word with TOP */
  readonly status: Fn<typeof i32>;
  /** (vcpu, control word): what is unmasked now becomes pending. */
  readonly setControl: Fn<undefined>;
  readonly initialize: Fn<undefined>;
  readonly clearExceptions: Fn<undefined>;
  /** (vcpu, host): writes or reads an environment. */
  readonly storeEnvironment: { readonly 16: Fn<undefined>; readonly 32: Fn<undefined> };
  readonly loadEnvironment: { readonly 16: Fn<undefined>; readonly 32: Fn<undefined> };
  /** (vcpu, host): the eight registers, ST(0) first. */
  readonly storeRegisters: Fn<undefined>;
  readonly loadRegisters: Fn<undefined>;
}

export function defineX87Environment(m: ModuleBuilder): X87Environment {
  const status = m.function('x87StatusWord', [i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    c.return(vcpu.load32(S.x87Status).or(vcpu.load32(S.x87Top).shl(TOP_SHIFT)));
    c.unreachable();
  });

  const setControl = m.function('x87SetControl', [i32, i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const control = c.let(c.param(i32, 1).and(CONTROL_BITS).or(CONTROL_ALWAYS));
    c.store32(vcpu, control, S.x87Control);
    const status = c.let(vcpu.load32(S.x87Status).and(~(Status.ES | Status.B)));
    const pending = status.and(control.not()).and(EXCEPTIONS).ne(0);
    c.store32(vcpu, status.or(pending.select(I32.of(Status.ES | Status.B), I32.of(0))), S.x87Status);
  });

  const initialize = m.function('x87Initialize', [i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    c.store32(vcpu, I32.of(CONTROL_INITIAL), S.x87Control);
    for (const at of [S.x87Status, S.x87Top, S.x87Tags, S.x87Opcode]) c.store32(vcpu, I32.of(0), at);
    for (const at of [S.x87Ip, S.x87Dp]) c.store64(vcpu, I32.of(0).extendU(), at);
  });

  const clearExceptions = m.function('x87ClearExceptions', [i32], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    const cleared = EXCEPTIONS | Status.SF | Status.ES | Status.B;
    c.store32(vcpu, vcpu.load32(S.x87Status).and(~cleared), S.x87Status);
  });

  /** The full tag word: 0 valid, 1 zero, 2 special, 3 empty, two bits for each physical register. */
  const tagWord = m.function('x87TagWord', [i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const tags = c.variable(i32, I32.of(0));
    const n = c.variable(i32, I32.of(7));
    c.loop((_again, againIf) => {
      const at = c.let(vcpu.add(n.get.shl(4)));
      const sig = c.let(at.load64(S.x87));
      const exp = c.let(at.load16U(S.x87 + 8).and(MAX_EXPONENT));
      const zero = exp.or(sig.ne(0)).eqz();
      const special = exp.eqz().or(exp.eq(MAX_EXPONENT)).or(sig.geS(0));
      const kind = zero.select(I32.of(1), special.shl(1));
      const full = vcpu.load32(S.x87Tags).shrU(n.get).and(1);
      tags.set(tags.get.shl(2).or(full.select(kind, I32.of(3))));
      n.set(n.get.sub(1));
      againIf(n.get.geS(0));
    });
    c.return(tags.get);
    c.unreachable();
  });

  const setTagWord = (c: Code, vcpu: I32, word: I32): void => {
    // Not empty unless both bits are set; the even bits are then moved together.
    let bits = c.let(word.and(word.shrU(1)).not().and(0x5555));
    for (const [shift, mask] of [
      [1, 0x3333],
      [2, 0x0f0f],
      [4, 0x00ff],
    ] as const)
      bits = c.let(bits.or(bits.shrU(shift)).and(mask));
    c.store32(vcpu, bits, S.x87Tags);
  };

  const storeEnvironment = (format: 16 | 32): Fn<undefined> =>
    m.function(`x87StoreEnvironment${format}`, [i32, i32], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      const host = c.param(i32, 1);
      const words = [vcpu.load32(S.x87Control), c.call(status, vcpu), c.call(tagWord, vcpu)];
      if (format === 16) {
        const rest = [vcpu.load32(S.x87Ip), I32.of(0), vcpu.load32(S.x87Dp), I32.of(0)];
        [...words, ...rest].forEach((word, i) => c.store16(host, word, 2 * i));
        return;
      }
      const rest = [vcpu.load32(S.x87Ip), vcpu.load32(S.x87Opcode).shl(16), vcpu.load32(S.x87Dp), I32.of(0xffff_0000)];
      [...words.map((word) => word.or(0xffff_0000)), ...rest].forEach((word, i) => c.store32(host, word, 4 * i));
    });

  const loadEnvironment = (format: 16 | 32): Fn<undefined> =>
    m.function(`x87LoadEnvironment${format}`, [i32, i32], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      const host = c.param(i32, 1);
      const bytes = format / 8;
      const word = (n: number): I32 => host.load16U(n * bytes);
      const pointer = (n: number): I32 => (format === 16 ? word(n) : host.load32(n * bytes));
      const loaded = c.let(word(1));
      c.store32(vcpu, loaded.and(0xffff & ~(7 << TOP_SHIFT)), S.x87Status);
      c.store32(vcpu, loaded.shrU(TOP_SHIFT).and(7), S.x87Top);
      setTagWord(c, vcpu, c.let(word(2)));
      c.store64(vcpu, pointer(3).extendU(), S.x87Ip);
      c.store64(vcpu, pointer(5).extendU(), S.x87Dp);
      c.store32(vcpu, format === 16 ? I32.of(0) : pointer(4).shrU(16).and(0x7ff), S.x87Opcode);
      c.do(setControl, vcpu, word(0));
    });

  const registers = (name: string, each: (c: Code, register: Register, host: I32) => void): Fn<undefined> =>
    m.function(name, [i32, i32], undefined, (c) => {
      const n = c.variable(i32, I32.of(0));
      c.loop((_again, againIf) => {
        each(c, new Register(c, c.param(i32, 0), n.get), c.let(c.param(i32, 1).add(n.get.mul(10))));
        n.set(n.get.add(1));
        againIf(n.get.ltU(8));
      });
    });

  return {
    status,
    setControl,
    initialize,
    clearExceptions,
    storeEnvironment: { 16: storeEnvironment(16), 32: storeEnvironment(32) },
    loadEnvironment: { 16: loadEnvironment(16), 32: loadEnvironment(32) },
    storeRegisters: registers('x87StoreRegisters', (c, r, host) => {
      c.store64(host, r.sig());
      c.store16(host, r.se(), 8);
    }),
    loadRegisters: registers('x87LoadRegisters', (_c, r, host) => r.write(host.load16U(8), host.load64())),
  };
}
