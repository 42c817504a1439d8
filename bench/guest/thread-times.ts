/** Processor time of a process's threads, from Linux' /proc: on a busy machine it says more than the time of day. */
import { readdirSync, readFileSync } from 'node:fs';

const NS_PER_SECOND = 1e9;

/** Thread → seconds on a processor; undefined where there is no /proc with schedstat (Documentation/scheduler/sched-stats.rst). */
export function threadTimes(pid: number): ReadonlyMap<string, number> | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return new Map(
      threads.map((thread) => {
        const [onProcessor = ''] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
        return [thread, Number(onProcessor) / NS_PER_SECOND];
      }),
    );
  } catch {
    return undefined;
  }
}

/** Seconds of the thread that was on a processor longest in between: of a guest at work, its vCPU's. */
export function busiest(
  before: ReadonlyMap<string, number> | undefined,
  after: ReadonlyMap<string, number> | undefined,
): number | undefined {
  if (before === undefined || after === undefined) return undefined;
  return Math.max(...[...after].map(([thread, seconds]) => seconds - (before.get(thread) ?? 0)));
}
