/** Xen's system time on Node: one monotonic clock for all threads of the process. */
import type { Clock } from '../../hypervisor/host-services.ts';

const NS_PER_MS = 1e6;
const MS_PER_SECOND = 1000;

export interface ClockStart {
  /** process.hrtime when system time was 0. */
  readonly at: bigint;
  readonly unixMs: number;
}

export function startClock(): ClockStart {
  return { at: process.hrtime.bigint(), unixMs: Date.now() };
}

/** The clock in this thread; all threads given the same start agree to within the cost of reading it. */
export function clockFrom(start: ClockStart): Clock {
  // performance.now() reads the same clock as process.hrtime, from another origin in each thread, and is cheaper.
  const offset = Number(process.hrtime.bigint() - start.at) - performance.now() * NS_PER_MS;
  const seconds = Math.floor(start.unixMs / MS_PER_SECOND);
  return {
    now: () => performance.now() * NS_PER_MS + offset,
    bootTime: { seconds, nanoseconds: Math.floor((start.unixMs - seconds * MS_PER_SECOND) * NS_PER_MS) },
    cpuTime: () => {
      const { user, system } = process.threadCpuUsage();
      return (user + system) * 1000;
    },
  };
}
