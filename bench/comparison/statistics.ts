export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (min === undefined || max === undefined || low === undefined || high === undefined)
    throw new Error('no values to take the median of');
  return { median: (low + high) / 2, min, max };
}

/**
 * How many times better the first is than the second, round by round: what was measured in the same round was measured on the same machine in the same mood.
 */
export function ratios(ours: readonly number[], theirs: readonly number[], better: 'higher' | 'lower'): Spread {
  const rounds = Math.min(ours.length, theirs.length);
  return spread(
    Array.from({ length: rounds }, (_, round) => {
      const [a, b] = [ours[round] ?? NaN, theirs[round] ?? NaN];
      return better === 'higher' ? a / b : b / a;
    }),
  );
}
