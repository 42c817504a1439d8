import type { ModuleBuilder } from '../wasm/module.ts';
import { defineFloat80Arithmetic, type Float80Arithmetic } from './float80-arithmetic.ts';
import { defineFloat80Convert, type Float80Convert } from './float80-convert.ts';
import { defineFloat80Core, type Float80Core } from './float80-core.ts';
import { defineFloat80Rounding, type Float80Rounding } from './float80-rounding.ts';
import { defineFloat80Special, type Float80Special } from './float80-special.ts';

/** Every function on extended-precision numbers. */
export type Float80 = Pick<Float80Core, 'nan' | 'invalid'> & Float80Rounding & Float80Arithmetic & Float80Convert & Float80Special;

export function defineFloat80(m: ModuleBuilder): Float80 {
  const core = defineFloat80Core(m);
  const rounding = defineFloat80Rounding(m);
  return {
    nan: core.nan,
    invalid: core.invalid,
    ...rounding,
    ...defineFloat80Convert(m),
    ...defineFloat80Special(m, core, rounding),
    ...defineFloat80Arithmetic(m, core, rounding),
  };
}
