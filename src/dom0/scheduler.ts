/** How the services put work off. The host hands it in; a test runs the work when it wants to. */
export interface Scheduler {
  /** Runs the task later, in order, after the current one has returned. A host lets other work in between. */
  defer(task: () => void): void;
}

/** Time, as far as services need it. */
export interface Timers {
  /** Runs the task after so many milliseconds. Returns what prevents that. */
  after(milliseconds: number, task: () => void): () => void;
}

/** Timers, and the time that they go by. */
export interface Clock extends Timers {
  /** Milliseconds from anywhere, which only go forward. */
  now(): number;
}

/** For where nobody hands one in: runs right after the current task, before anything else gets its turn. */
export const microtasks: Scheduler = {
  defer(task) {
    void Promise.resolve().then(task);
  },
};
