/** Shows progress to a person: one line that is drawn again on a terminal, one line per step elsewhere. */
import type { Progress } from './progress.ts';

const REDRAW_MS = 100;

export interface ProgressPrinter {
  readonly report: (progress: Progress) => void;
  /** Ends the line. May be called more than once. */
  readonly end: () => void;
}

export function progressPrinter(out: NodeJS.WriteStream): ProgressPrinter {
  let step = '';
  let drawnAt = 0;
  let isOpen = false;
  const end = (): void => {
    if (isOpen) out.write('\n');
    isOpen = false;
  };
  const report = (progress: Progress): void => {
    const isNew = progress.step !== step;
    if (!out.isTTY) {
      if (isNew) out.write(`${progress.step}\n`);
      step = progress.step;
      return;
    }
    if (isNew) end();
    const now = performance.now();
    if (!isNew && now - drawnAt < REDRAW_MS && progress.done !== progress.total) return;
    step = progress.step;
    drawnAt = now;
    isOpen = true;
    out.write(`\r\x1b[K${describe(progress)}`);
  };
  return { report, end };
}

function describe({ step, done, total }: Progress): string {
  if (done === undefined || total === undefined || total === 0) return step;
  const percent = Math.min(100, Math.floor((done / total) * 100));
  return `${step}: ${percent}% of ${(total / 1e6).toFixed(1)} MB`;
}
