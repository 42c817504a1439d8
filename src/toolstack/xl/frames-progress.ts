/** What the daemon tells while it saves or restores a domain: a bar on a terminal, libxc's lines where scripts read. */
import type { JsonObject } from '../config/json.ts';
import { showProgress } from '../image/show-progress.ts';

export interface FramesProgress {
  /** For the events of the request. */
  readonly event: (event: JsonObject) => void;
  readonly end: () => void;
}

/** `live`: of a domain that runs, whose pages are looked at more than once. */
export function showFrames(err: (line: string) => void, live?: 'live'): FramesProgress {
  const isTerminal = process.stderr.isTTY;
  const bar = showProgress(process.stderr, 'saving pages');
  return {
    event({ line, progress }) {
      if (typeof line === 'string') err(line);
      if (typeof progress !== 'object' || progress === null) return;
      const { done, total, pass } = progress as JsonObject;
      if (isTerminal) bar.report(Number(done), Number(total));
      else err(framesLine(Number(done), Number(total), live === undefined ? undefined : Number(pass)));
    },
    end: bar.end,
  };
}

/** xc: progress of a stream; the percentage has three places. */
function framesLine(done: number, total: number, pass: number | undefined): string {
  const percent = total === 0 ? 0 : Math.floor((done * 100) / total);
  const of = pass === undefined ? '' : ` iteration ${pass}`;
  return `xc: progress: Frames${of}: ${done}/${total}  ${String(percent).padStart(3)}%`;
}
