/**
 * How often a property that looks for trouble is tried. `npm test` tries it for a moment, with the same cases each time; `npm run fuzz` many times as
 * often, with other cases each time, and a failure names the seed that brings it back:
 *
 *   XENOLITH_FUZZ_RUNS    so many times the usual number
 *   XENOLITH_FUZZ_SEED    the cases of this seed
 */
export interface FuzzParameters {
  readonly numRuns: number;
  readonly seed?: number;
}

const times = numberOf('XENOLITH_FUZZ_RUNS');
const seed = numberOf('XENOLITH_FUZZ_SEED') ?? (times === undefined ? 1 : undefined);

/** For fast-check's `assert`. */
export function fuzz(usualRuns: number): FuzzParameters {
  return { numRuns: Math.max(1, Math.round(usualRuns * (times ?? 1))), ...(seed === undefined ? {} : { seed }) };
}

function numberOf(variable: string): number | undefined {
  const text = process.env[variable];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error(`${variable} is a number, not "${text}"`);
  return value;
}
