/** Runs of pages, from `first` up to `end`. Lists of them are ascending. */
export interface PageRun {
  readonly first: number;
  readonly end: number;
}

/** At most so many runs that cover those: the narrowest gaps between them are closed. */
export function gapsClosed(runs: readonly PageRun[], most: number): PageRun[] {
  const gaps = runs.slice(1).map(({ first }, i) => first - (runs[i]?.end ?? first));
  const narrowest = gaps.length < most ? 1 : (gaps.toSorted((a, b) => b - a)[most - 2] ?? Infinity);
  const closed: { first: number; end: number }[] = [];
  for (const { first, end } of runs) {
    const last = closed.at(-1);
    if (last !== undefined && (first - last.end < narrowest || closed.length === most))
      last.end = Math.max(last.end, end);
    else closed.push({ first, end });
  }
  return closed;
}

/** The parts of pieces that lie in runs. */
export function within(pieces: readonly PageRun[], runs: readonly PageRun[]): PageRun[] {
  return pieces.flatMap((piece) =>
    runs
      .map((run) => ({ first: Math.max(piece.first, run.first), end: Math.min(piece.end, run.end) }))
      .filter(({ first, end }) => first < end),
  );
}

/** What is left of pieces without the pages of runs. */
export function without<P extends PageRun>(pieces: readonly P[], runs: readonly PageRun[]): P[] {
  return pieces.flatMap((piece) => {
    const left: P[] = [];
    let { first } = piece;
    for (const run of runs) {
      if (run.end <= first || run.first >= piece.end) continue;
      if (run.first > first) left.push({ ...piece, first, end: run.first });
      first = run.end;
    }
    if (first < piece.end) left.push({ ...piece, first });
    return left;
  });
}
