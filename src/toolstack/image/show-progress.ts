/** A line that is drawn again while a person looks at a terminal, and nothing elsewhere. */
import { progressPrinter } from '../guest-files/progress-printer.ts';

export interface ShownProgress {
  readonly report: (done: number, total: number) => void;
  readonly end: () => void;
}

export function showProgress(terminal: NodeJS.WriteStream, step: string): ShownProgress {
  if (!terminal.isTTY) return { report: () => undefined, end: () => undefined };
  const printer = progressPrinter(terminal);
  return { report: (done, total) => printer.report({ step, done, total }), end: printer.end };
}
