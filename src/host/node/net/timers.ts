/** Node's clock and timers for the network. None of them keeps the process alive. */
import type { Timers } from '../../../dom0/net/timers.ts';

export const nodeTimers: Timers = {
  now: () => performance.now(),
  after(milliseconds, task) {
    const timer = setTimeout(task, milliseconds).unref();
    return () => clearTimeout(timer);
  },
};
