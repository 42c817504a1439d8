/** A program that runs in a guest. */
import { AgentError, CommandNotFoundError, ExecError, NoSuchDirectoryError, AgentBusyError } from './errors.ts';
import { Inflow } from './inflow.ts';
import type { AgentLink } from './link.ts';
import { linuxError, signalName, signalNumber } from './linux-numbers.ts';
import { Outflow, type ByteSource } from './outflow.ts';
import { credit, number32, readResult, signalRequest, Stage, Stream, Tell, type Message } from './protocol.ts';

export interface ExecOptions {
  /** What its stdin gives; 'pipe': what is written to `stdin` of the program. Nothing at all if it is left out. */
  readonly stdin?: ByteSource | 'pipe' | undefined;
  /** Over the agent's own, which are few: PATH and what the guest's init set. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** `/` if it is left out. */
  readonly cwd?: string | undefined;
  /** Sends SIGTERM to its process group, and SIGKILL two seconds later; `exited` then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** How a program ended: by itself with a code, or by a signal. */
export type ExitStatus =
  { readonly code: number; readonly signal: undefined } | { readonly code: undefined; readonly signal: string };

export interface ProgramOutput {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly status: ExitStatus;
}

export interface OutputOptions {
  /** More than this of stdout and stderr together is an error. 64 MiB if nothing is said. */
  readonly maxBytes?: number;
}

const usualMaxBytes = 64 * 1024 * 1024;
/** From SIGTERM to SIGKILL. */
const graceMs = 2000;

/** What a link's user needs to know of one of his operations. */
export interface Operation {
  take(message: Message): void;
  /** The link has ended. */
  fail(why: Error): void;
}

export interface OperationGlue {
  readonly link: AgentLink;
  readonly id: number;
  /** Nothing about it is wanted any more. */
  close(): void;
  /** The agent breaks the rules: the whole link ends. */
  violation(what: string): void;
}

export class GuestProgram implements Operation {
  /** In the guest; 0 until it has started. */
  pid = 0;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** What is written to it is the program's stdin, if it was started with `stdin: 'pipe'`. */
  readonly stdin: WritableStream<Uint8Array>;
  /** What it printed before may still be on its way. Rejects when it was aborted, or the agent is gone. */
  readonly exited: Promise<ExitStatus>;
  /** It runs. Rejects with an ExecError when it cannot. */
  readonly started: Promise<void>;
  readonly #glue: OperationGlue;
  readonly #command: { readonly argv: readonly string[]; readonly cwd: string };
  readonly #out: Inflow;
  readonly #err: Inflow;
  readonly #in: Outflow;
  readonly #exit = Promise.withResolvers<ExitStatus>();
  readonly #start = Promise.withResolvers<void>();
  readonly #signal: AbortSignal | undefined;
  #status: ExitStatus | undefined;
  #kill: ReturnType<typeof setTimeout> | undefined;

  constructor(glue: OperationGlue, argv: readonly string[], { stdin, cwd = '/', signal }: ExecOptions) {
    const { link, id } = glue;
    this.#glue = glue;
    this.#command = { argv, cwd };
    this.#signal = signal;
    this.exited = this.#exit.promise;
    this.started = this.#start.promise;
    // Who asks only for one of them is not to be ended by the other.
    this.exited.catch(() => undefined);
    this.started.catch(() => undefined);
    this.#out = new Inflow((bytes) => link.send(credit(id, Stream.stdout, bytes)));
    this.#err = new Inflow((bytes) => link.send(credit(id, Stream.stderr, bytes)));
    this.stdout = this.#out.stream;
    this.stderr = this.#err.stream;
    const into = new Outflow(link, id);
    this.#in = into;
    this.stdin = new WritableStream<Uint8Array>({
      write: async (bytes, controller) => {
        if (!(await into.write(bytes))) controller.error(new AgentError('the program reads no more of its stdin'));
      },
      close: () => into.end(),
      abort: () => into.end(),
    });
    signal?.addEventListener('abort', this.#abort, { once: true });
    if (stdin === undefined) into.stop();
    else if (stdin !== 'pipe') void this.started.then(() => this.#feed(stdin)).catch(() => undefined);
  }

  /** To its process group, by name or number. Nothing when it has ended. */
  kill(signal: string | number = 'SIGTERM'): void {
    this.#send(signalNumber(signal), false);
  }

  /** All that it prints, and how it ends. */
  async output({ maxBytes = usualMaxBytes }: OutputOptions = {}): Promise<ProgramOutput> {
    const limit = { left: maxBytes };
    try {
      const [stdout, stderr, status] = await Promise.all([
        collect(this.stdout, limit),
        collect(this.stderr, limit),
        this.exited,
      ]);
      return { stdout, stderr, status };
    } catch (error) {
      if (this.#status === undefined) this.#send(signalNumber('SIGKILL'), true);
      throw error;
    }
  }

  take(message: Message): void {
    switch (message.type) {
      case Tell.started:
        this.pid = number32(message);
        this.#start.resolve();
        break;
      case Tell.output:
        if (!this.#inflow(message).push(message.content.subarray(1))) this.#glue.violation('prints more than it may');
        break;
      case Tell.ended:
        if (message.content[0] === Stream.stdin) this.#in.stop();
        else this.#inflow(message).end();
        break;
      case Tell.room:
        this.#in.grant(number32(message));
        break;
      case Tell.exited:
        this.#exited(message.content[0] ?? 0, message.content[1] ?? 0);
        break;
      case Tell.result:
        this.#finish(message);
        break;
    }
  }

  fail(why: Error): void {
    this.#settle();
    this.#start.reject(why);
    this.#exit.reject(why);
    this.#out.fail(why);
    this.#err.fail(why);
  }

  readonly #abort = (): void => {
    this.#send(signalNumber('SIGTERM'), true);
    this.#kill = setTimeout(() => this.#send(signalNumber('SIGKILL'), true), graceMs);
  };

  #inflow({ content }: Message): Inflow {
    return content[0] === Stream.stderr ? this.#err : this.#out;
  }

  async #feed(stdin: ByteSource): Promise<void> {
    try {
      await this.#in.writeAll(stdin);
    } catch (error) {
      // The source has failed: the program is not to take what it got for all there is.
      this.#send(signalNumber('SIGKILL'), true);
      this.#exit.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #send(signal: number, aborting: boolean): void {
    if (this.#status !== undefined) return;
    this.#glue.link.send(signalRequest(this.#glue.id, signal, aborting));
  }

  #exited(code: number, signal: number): void {
    this.#settle();
    this.#status = signal === 0 ? { code, signal: undefined } : { code: undefined, signal: signalName(signal) };
    if (this.#signal?.aborted === true) this.#exit.reject(reasonOf(this.#signal));
    else this.#exit.resolve(this.#status);
  }

  /** It is over, one way or the other. */
  #settle(): void {
    clearTimeout(this.#kill);
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#in.stop();
  }

  #finish(message: Message): void {
    const { errno, stage } = readResult(message);
    if (errno !== 0) {
      this.fail(this.#failure(errno, stage));
      return;
    }
    this.#out.end();
    this.#err.end();
    // Both have been told of before, unless the agent breaks the rules: who waits for them must not wait for ever.
    const why = new AgentError('the guest’s agent does not say how the program ended');
    this.#start.reject(why);
    this.#exit.reject(why);
  }

  #failure(errno: number, stage: number): Error {
    const { argv, cwd } = this.#command;
    const command = argv[0] ?? '';
    const { code, text } = linuxError(errno);
    if (code === 'EUSERS') return new AgentBusyError();
    if (stage === Stage.cwd) return new NoSuchDirectoryError(cwd, code);
    if (stage === Stage.command && code === 'ENOENT') return new CommandNotFoundError(command);
    return new ExecError(`cannot run ${command} in the guest: ${text}`, code);
  }
}

export function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('cancelled', { cause: signal.reason });
}

/** All of a stream, within what is left of a limit that several may share. */
export async function collect(stream: ReadableStream<Uint8Array>, limit: { left: number }): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    limit.left -= chunk.length;
    if (limit.left < 0) throw new AgentError('the guest gives more than was expected of it');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
