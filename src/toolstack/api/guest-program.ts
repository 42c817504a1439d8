/** Programs in a guest. */
import type { ExecOptions as AgentExecOptions, GuestProgram as AgentProgram } from '../agent/program.ts';
import type { ByteSource } from '../agent/outflow.ts';
import { withApiErrors } from './errors.ts';
import type { KeepAlive } from './keep-alive.ts';

/** How a program is started. */
export interface SpawnOptions {
  /** What the program reads: text or bytes, at once or piece by piece, or `pipe`: what is written to `stdin` of the program. Default: nothing at all. */
  readonly stdin?: ByteSource | 'pipe' | undefined;
  /** In addition to the agent's own environment, which is small. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Default `/`. */
  readonly cwd?: string | undefined;
  /** Ends the waiting for the guest to boot, or the program: SIGTERM for it and its children, and SIGKILL two seconds later. */
  readonly signal?: AbortSignal | undefined;
}

/** How a program is run to its end. */
export interface ExecOptions extends SpawnOptions {
  /** Text or bytes, at once or piece by piece. Default: nothing at all. */
  readonly stdin?: ByteSource | undefined;
  /** Bytes that stdout and stderr may have together; more is an error, and the program is killed. Default 64 MiB. */
  readonly maxBytes?: number;
}

/** What a program has printed, as UTF-8, and how it ended. */
export interface ExecResult {
  /** All of its standard output. */
  readonly stdout: string;
  /** All of its standard error. */
  readonly stderr: string;
  /** Undefined when a signal has ended it. */
  readonly exitCode: number | undefined;
  /** The name of the signal that has ended it, `SIGKILL`. */
  readonly signal: string | undefined;
}

/** How a program ended: by itself with a code, or by a signal. */
export type ProgramExit = Pick<ExecResult, 'exitCode' | 'signal'>;

/** A program that runs in a guest. What it prints waits in the guest until it is read. */
export class GuestProgram {
  readonly #program: AgentProgram;
  readonly #keepAlive: KeepAlive;

  /** @internal */
  constructor(program: AgentProgram, keepAlive: KeepAlive) {
    this.#program = program;
    this.#keepAlive = keepAlive;
  }

  /** Its number in the guest. */
  get pid(): number {
    return this.#program.pid;
  }

  /** What it prints, at the pace of the reader. */
  get stdout(): ReadableStream<Uint8Array> {
    return this.#program.stdout;
  }

  /** What it prints as errors, at the pace of the reader. */
  get stderr(): ReadableStream<Uint8Array> {
    return this.#program.stderr;
  }

  /** Of a program that was started with `stdin: 'pipe'`. */
  get stdin(): WritableStream<Uint8Array> {
    return this.#program.stdin;
  }

  /** Resolves when it has ended. Rejects with the signal's reason, or XenolithError with code AGENT when the guest is gone. */
  get exited(): Promise<ProgramExit> {
    return this.#keepAlive.during(
      withApiErrors(async () => {
        const { code, signal } = await this.#program.exited;
        return { exitCode: code, signal };
      }),
    );
  }

  /** Sends a signal to it and its children. Does nothing when it has ended. Default `SIGTERM`. */
  kill(signal?: string | number): void {
    this.#program.kill(signal);
  }
}

/** As the agent's client takes them. */
export function agentOptions({ stdin, env, cwd, signal }: SpawnOptions): AgentExecOptions {
  return { stdin, env, cwd, signal };
}
