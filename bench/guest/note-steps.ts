import type { OnProgress } from '../../src/toolstack/guest-files/guest-files.ts';

/** Notes each step of a long job once. */
export function noteSteps(note: (text: string) => void): OnProgress {
  let last = '';
  return ({ step }) => {
    if (step !== last) note(step);
    last = step;
  };
}
