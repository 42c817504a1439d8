/** Processes that must not outlive the bench, however it ends. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { XenError } from '../../src/toolstack/xen-error.ts';

const alive = new Set<number>();

/** SIGKILLs the process, or with a negative number the process group, when the bench ends, unless it is given back first. */
export function guard(pid: number): () => void {
  watch();
  alive.add(pid);
  return () => void alive.delete(pid);
}

let watching = false;

function watch(): void {
  if (watching) return;
  watching = true;
  process.on('exit', () => {
    for (const pid of alive) kill(pid);
  });
  // Without a handler a signal ends the process with no 'exit'. The exit code is a shell's for the signal.
  for (const [signal, number] of [['SIGINT', 2] as const, ['SIGTERM', 15] as const, ['SIGHUP', 1] as const])
    process.once(signal, () => process.exit(128 + number));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

export interface Guarded {
  readonly process: ChildProcessWithoutNullStreams;
  readonly pid: number;
  /** Kills it with all that it has started, and waits for its end. */
  end(): Promise<void>;
}

/** Starts a program in a process group of its own, which is killed at the latest when the bench ends. Throws with the hint when there is no such program. */
export async function guarded(program: string, args: readonly string[], hint: string): Promise<Guarded> {
  const child = spawn(program, [...args], { stdio: 'pipe', detached: true });
  child.stdin.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(new XenError(`${program} cannot be started`, { hint, cause })));
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} runs and has no process number`);
  const release = guard(-pid);
  void closed.then(release);
  return {
    process: child,
    pid,
    end: async () => {
      kill(-pid);
      await closed;
    },
  };
}
