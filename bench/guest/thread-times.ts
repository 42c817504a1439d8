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

const LOOK_MS = 200;
/** Of a look's time: a daemon that has nothing to do uses less. */
const IDLE_SHARE = 0.02;
const PATIENCE_MS = 15_000;

/** Resolves when a process has come to rest: a daemon that has just begun still makes ready what the first domain will need. At once where there is no /proc. */
export async function atRest(pid: number): Promise<void> {
  const total = (): number | undefined => {
    const times = threadTimes(pid);
    return times && [...times.values()].reduce((sum, seconds) => sum + seconds, 0);
  };
  const end = performance.now() + PATIENCE_MS;
  for (let before = total(); before !== undefined && performance.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const now = total();
    // Less than before: a thread has ended.
    if (now !== undefined && now >= before && now - before < (IDLE_SHARE * LOOK_MS) / 1000) return;
    before = now;
  }
}
