import type { Printed } from '../guest/console-text.ts';
import { busiest, threadTimes } from '../guest/thread-times.ts';
import type { Run } from './peer.ts';

/** Does the work and tells which part of the time the busiest thread of the process was on a processor: of an emulator at work, its vCPU's. */
export async function withShare(pid: number, work: () => Promise<Printed>): Promise<Run> {
  const [before, from] = [threadTimes(pid), performance.now()];
  const printed = await work();
  const [after, to] = [threadTimes(pid), performance.now()];
  const seconds = busiest(before, after);
  return { printed, share: seconds === undefined ? undefined : Math.min(1, (seconds * 1000) / (to - from)) };
}
