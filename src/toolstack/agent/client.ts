/** Programs and files in a guest, by the agent that runs there: docs/agent.md. */
import { AgentError, AgentGoneError } from './errors.ts';
import { FileOperation } from './file-operation.ts';
import { inflowWindow } from './inflow.ts';
import type { AgentLink, ByteChannel } from './link.ts';
import type { ByteSource } from './outflow.ts';
import { collect, GuestProgram, reasonOf, type ExecOptions, type Operation, type OperationGlue } from './program.ts';
import {
  Ask,
  execRequest,
  fileRequest,
  FileFlag,
  maxRequest,
  message,
  readFileInfos,
  request,
  Tell,
  Work,
  type FileInfo,
  type FileRequest,
} from './protocol.ts';
import { AgentSession, type SessionOptions } from './session.ts';

export interface FileOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ReadOptions extends FileOptions {
  /** Bytes from the beginning of the file. */
  readonly offset?: number;
  /** At most so many. */
  readonly length?: number;
}

export interface WriteOptions extends FileOptions {
  /** Permissions, as 0o600; a new file has 0o644 and an old one its own if it is left out. */
  readonly mode?: number;
  /**
   * Writes into the file as it is, where otherwise it is replaced at the end: whoever reads it meanwhile sees the old one, or the new one. Links and devices are
   * always written through.
   */
  readonly inPlace?: boolean;
}

export interface StatOptions extends FileOptions {
  /** What a symbolic link leads to, which is usual, or the link itself. */
  readonly followLink?: boolean;
}

export interface RecursiveOptions extends FileOptions {
  readonly recursive?: boolean;
}

/** What one call may bring into this process: a file to read whole, a folder to list. */
const maxWhole = 256 * 1024 * 1024;

export class AgentClient implements AsyncDisposable {
  readonly #link: AgentLink;
  readonly #operations = new Map<number, Operation>();
  #nextId = 1;
  #ended: Error | undefined;

  /** Over a link that somebody else has made. */
  constructor(link: AgentLink) {
    this.#link = link;
    link.onMessage = (answer) => {
      const operation = this.#operations.get(answer.id);
      if (answer.type === Tell.result) this.#operations.delete(answer.id);
      operation?.take(answer);
    };
    link.onEnd = (why) => this.#end(why);
  }

  /** Over the bytes of the channel itself, which nobody else may use meanwhile. Throws AgentNotThereError. */
  static async connect(channel: ByteChannel, options: SessionOptions = {}): Promise<AgentClient> {
    return new AgentClient(await AgentSession.open(channel, options));
  }

  /** Nothing can be asked for any more. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /**
   * Runs a program, without a shell. Resolves when it runs. Throws CommandNotFoundError, NoSuchDirectoryError, another ExecError, or the signal's reason.
   */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<GuestProgram> {
    const { env = {}, cwd = '/', stdin, signal } = options;
    signal?.throwIfAborted();
    if (argv.length === 0) throw new AgentError('a program to run has a name');
    for (const text of [cwd, ...argv, ...Object.keys(env), ...Object.values(env)]) refuseZero(text);
    const body = execRequest({ argv, env, cwd, hasStdin: stdin !== undefined });
    const program = this.#ask(Work.exec, body, (glue) => new GuestProgram(glue, argv, options));
    await program.started;
    return program;
  }

  /** The whole file, or a part. Throws GuestFileError. */
  async readFile(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
    return collect(this.readStream(path, options), { left: maxWhole });
  }

  /** The same, piece by piece: the stream fails with GuestFileError. */
  readStream(path: string, { offset, length, signal }: ReadOptions = {}): ReadableStream<Uint8Array> {
    const asked = { path, ...(offset === undefined ? {} : { offset }), ...(length === undefined ? {} : { length }) };
    return this.#file(Work.read, 'read', asked, signal).content;
  }

  /** Resolves when the file is there. Throws GuestFileError, what the source throws, or the signal's reason; the old file is untouched then. */
  async writeFile(path: string, source: ByteSource, options: WriteOptions = {}): Promise<void> {
    const { mode, inPlace = false, signal } = options;
    const asked = { path, mode, flags: inPlace ? FileFlag.inPlace : 0 };
    const operation = this.#file(Work.write, 'write', asked, signal);
    await operation.opened;
    try {
      await operation.sink.writeAll(source);
    } catch (error) {
      operation.abandon(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
    await operation.result;
  }

  /** What is in a folder, in no order, without `.` and `..`. Throws GuestFileError. */
  async list(path: string, { signal }: FileOptions = {}): Promise<FileInfo[]> {
    const { content } = this.#file(Work.list, 'list', { path }, signal);
    return readFileInfos(await collect(content, { left: maxWhole }));
  }

  async stat(path: string, { followLink = true, signal }: StatOptions = {}): Promise<FileInfo> {
    const flags = followLink ? FileFlag.follow : 0;
    const [info] = readFileInfos(await this.#file(Work.stat, 'look at', { path, flags }, signal).result);
    if (info === undefined) throw new AgentGoneError('the agent in the guest gave no answer');
    return info;
  }

  /** `recursive`: the folders that it is in as well, and one that is there already is fine. */
  async mkdir(
    path: string,
    { recursive = false, mode, signal }: RecursiveOptions & { mode?: number } = {},
  ): Promise<void> {
    await this.#file(Work.mkdir, 'make', { path, mode, flags: recursive ? FileFlag.recursive : 0 }, signal).result;
  }

  /** A file, or an empty folder; `recursive`: with all that is in it. */
  async remove(path: string, { recursive = false, signal }: RecursiveOptions = {}): Promise<void> {
    await this.#file(Work.remove, 'remove', { path, flags: recursive ? FileFlag.recursive : 0 }, signal).result;
  }

  /** Ends all that was asked for over this client: its programs are killed. */
  close(): void {
    this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  #file(work: Work, verb: string, asked: FileRequest, signal: AbortSignal | undefined): FileOperation {
    signal?.throwIfAborted();
    refuseZero(asked.path);
    const operation = this.#ask(work, fileRequest(asked), (glue) => new FileOperation(glue, verb, asked.path));
    if (signal !== undefined) {
      const abort = (): void => operation.abandon(reasonOf(signal));
      signal.addEventListener('abort', abort, { once: true });
      void operation.result.finally(() => signal.removeEventListener('abort', abort)).catch(() => undefined);
    }
    return operation;
  }

  #ask<T extends Operation>(work: Work, body: Uint8Array, make: (glue: OperationGlue) => T): T {
    if (this.#ended !== undefined) throw this.#ended;
    if (body.length > maxRequest) throw new AgentError('the arguments and the environment are too long');
    const link = this.#link;
    const id = this.#nextId++;
    const violation = (what: string): void => {
      this.#end(new AgentGoneError(`the agent in the guest ${what}`));
      link.close();
    };
    const close = (): void => {
      if (this.#operations.delete(id)) link.send(message(Ask.close, id));
    };
    const operation = make({ link, id, close, violation });
    this.#operations.set(id, operation);
    for (const part of request(id, work, body, inflowWindow)) link.send(part);
    return operation;
  }

  #end(why: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    for (const operation of this.#operations.values()) operation.fail(why);
    this.#operations.clear();
  }
}

/** A text with a zero in it would be cut off in the guest. */
function refuseZero(text: string): void {
  if (text.includes('\0')) throw new AgentError('a name or an argument has a zero character in it');
}
