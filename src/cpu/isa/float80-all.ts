import type { ModuleBuilder } from '../wasm/module.ts';
import { defineFloat80ArcTangent, type Float80ArcTangent } from './float80-arctangent.ts';
import { defineFloat80Arithmetic, type Float80Arithmetic } from './float80-arithmetic.ts';
import { defineFloat80Convert, type Float80Convert } from './float80-convert.ts';
import { defineFloat80Core, type Float80Core } from './float80-core.ts';
import { defineFloat80Logarithm, type Float80Logarithm } from './float80-logarithm.ts';
import { defineFloat80Root, type Float80Root } from './float80-root.ts';
import { defineFloat80Rounding, type Float80Rounding } from './float80-rounding.ts';
import { defineFloat80Special, type Float80Special } from './float80-special.ts';
import { defineFloat80Trigonometry, type Float80Trigonometry } from './float80-trigonometry.ts';
import { defineFloat80Wide } from './float80-wide.ts';

/** Every function on extended-precision numbers. */
export type Float80 = Pick<Float80Core, 'nan' | 'invalid'> &
  Float80Rounding &
  Float80Arithmetic &
  Float80Convert &
  Float80Special &
  Float80Root &
  Pick<Float80Trigonometry, 'wave' | 'tangent'> &
  Float80Logarithm &
  Float80ArcTangent;

export function defineFloat80(m: ModuleBuilder): Float80 {
  const core = defineFloat80Core(m);
  const rounding = defineFloat80Rounding(m);
  const wide = defineFloat80Wide(m, core, rounding);
  return {
    nan: core.nan,
    invalid: core.invalid,
    ...rounding,
    ...defineFloat80Convert(m),
    ...defineFloat80Special(m, core, rounding),
    ...defineFloat80Arithmetic(m, core, rounding),
    ...defineFloat80Root(m, core, rounding),
    ...defineFloat80Trigonometry(m, wide),
    ...defineFloat80Logarithm(m, wide),
    ...defineFloat80ArcTangent(m, core, wide),
  };
}
