import type { Fn } from '../wasm/code.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { I32, ValType } from '../wasm/value.ts';
import type { Float80 } from './float80-all.ts';
import { FORMATS, type NarrowFormat, widenNormal } from './float80-convert.ts';
import { clearC1, moveTop, Register, type X87Stack } from './x87-stack.ts';

const { i32, i64 } = ValType;

export interface X87Load {
  /** (vcpu, op, bits): FLD of a number in another format, FILD */
  readonly loadSingle: Fn<undefined>;
  readonly loadDouble: Fn<undefined>;
  readonly loadInteger: Fn<undefined>;
}

export function defineX87Load(m: ModuleBuilder, f: Float80, { pushResult }: X87Stack): X87Load {
  /** A straight path for normal numbers onto a stack with room; everything else is converted and pushed step by step. */
  const floating = (name: string, format: NarrowFormat, convert: Fn<typeof i32>): Fn<undefined> =>
    m.function(name, [i32, i32, i64], undefined, (c) => {
      const vcpu = c.param(i32, 0);
      const bits = c.param(i64, 2);
      const { normal, se, sig } = widenNormal(c, format, bits);
      const to = new Register(c, vcpu, 7);
      c.if(normal.and(to.empty()), () => {
        clearC1(c, vcpu);
        moveTop(c, vcpu, -1);
        to.fill(se, sig);
        c.return();
      });
      c.returnCall(pushResult, vcpu, c.param(i32, 1), c.call(convert, vcpu, bits));
    });

  const loadInteger = m.function('x87LoadInteger', [i32, i32, i64], undefined, (c) => {
    const vcpu = c.param(i32, 0);
    c.drop(c.call(f.fromInteger, vcpu, c.param(i64, 2)));
    c.returnCall(pushResult, vcpu, c.param(i32, 1), I32.of(0));
  });

  return {
    loadSingle: floating('x87LoadSingle', FORMATS.single, f.fromSingle),
    loadDouble: floating('x87LoadDouble', FORMATS.double, f.fromDouble),
    loadInteger,
  };
}
