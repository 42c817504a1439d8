/** Does a figure grow with time? */
export interface Sample {
  readonly minutes: number;
  readonly value: number;
}

/** What it grows by in a minute: the slope of the straight line that fits best (least squares); undefined for fewer than two samples. */
export function growthPerMinute(samples: readonly Sample[]): number | undefined {
  if (samples.length < 2) return undefined;
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const middle = mean(({ minutes }) => minutes);
  const level = mean(({ value }) => value);
  const spread = mean(({ minutes }) => (minutes - middle) ** 2);
  if (spread === 0) return undefined;
  return mean(({ minutes, value }) => (minutes - middle) * (value - level)) / spread;
}
