/** Guests that were booted for the measurements, each under a new daemon; the last one stays up for what is measured inside. */
import type { Guest } from './guest.ts';
import { overhead, resident } from './process-memory.ts';
import { threadTimes, busiest } from './thread-times.ts';
import { Xenolith } from './xenolith.ts';

export interface Boot {
  /** Seconds from the start of `xl create`: to its end, to /init, to the shell's first prompt. */
  readonly create: number;
  readonly init: number;
  readonly shell: number;
  /** Bytes that the daemon's process holds above the guest's own memory, at the prompt, or why that is not known. */
  readonly overhead: number | Error;
}

export interface Live {
  readonly xenolith: Xenolith;
  readonly guest: Guest;
}

type Note = (text: string) => void;

const done: Boot[] = [];
let live: Live | undefined;

/** At least `count` boots; those of earlier calls count. */
export async function boots(count: number, note: Note): Promise<readonly Boot[]> {
  while (done.length < count) {
    await closeGuest();
    done.push(await boot(note));
  }
  return done;
}

/** A guest whose shell waits for commands. */
export async function liveGuest(note: Note): Promise<Live> {
  if (live === undefined) done.push(await boot(note));
  if (live === undefined) throw new Error('a boot leaves its guest up');
  return live;
}

export async function closeGuest(): Promise<void> {
  const closing = live?.xenolith;
  live = undefined;
  await closing?.close();
}

async function boot(note: Note): Promise<Boot> {
  const xenolith = await Xenolith.start(note);
  try {
    const { pid } = xenolith;
    const before = resident(pid);
    const cpu = threadTimes(pid);
    const guest = await xenolith.create();
    const init = await guest.init();
    const vcpu = busiest(cpu, threadTimes(pid));
    const shell = await guest.shell();
    const seconds = (value: number): string => `${value.toFixed(1)} s`;
    note(
      `boot ${done.length + 1}: /init after ${seconds(init)}${vcpu === undefined ? '' : ` (${seconds(vcpu)} of it on a processor)`}, ` +
        `shell after ${seconds(shell)}`,
    );
    live = { xenolith, guest };
    return {
      create: guest.created,
      init,
      shell,
      overhead: overhead(pid, before, await xenolith.summary(guest.domid)),
    };
  } catch (error) {
    await xenolith.close().catch(() => undefined);
    throw error;
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[sorted.length >> 1];
  if (middle === undefined) throw new Error('no values to take the median of');
  return middle;
}
