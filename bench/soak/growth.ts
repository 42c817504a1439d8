/** Does a figure grow with time? */
export interface Sample {
  readonly minutes: number;
  readonly value: number;
}

/** The slope of the straight line that fits best (least squares), and its standard error: what the ups and downs may have made of it. */
export interface Growth {
  readonly perMinute: number;
  readonly error: number;
}

/** Undefined for fewer than three samples. */
export function growthOf(samples: readonly Sample[]): Growth | undefined {
  const count = samples.length;
  if (count < 3) return undefined;
  const sum = (of: (sample: Sample) => number): number => samples.reduce((total, sample) => total + of(sample), 0);
  const middle = sum(({ minutes }) => minutes) / count;
  const level = sum(({ value }) => value) / count;
  const spread = sum(({ minutes }) => (minutes - middle) ** 2);
  if (spread === 0) return undefined;
  const perMinute = sum(({ minutes, value }) => (minutes - middle) * (value - level)) / spread;
  const rest = sum(({ minutes, value }) => (value - level - perMinute * (minutes - middle)) ** 2);
  return { perMinute, error: Math.sqrt(rest / (count - 2) / spread) };
}
