/** Files in a guest, by its agent. What goes wrong with one throws XenolithError with code GUEST_FILE and `system` as Linux names it, `ENOENT`. */
import type { FileInfo } from '../agent/protocol.ts';
import type { ByteSource } from '../agent/outflow.ts';
import type { GuestAgent } from './guest-agent.ts';
import type { WaitOptions } from './wait-options.ts';

export type { FileInfo } from '../agent/protocol.ts';
export type { ByteSource } from '../agent/outflow.ts';

/** What of a file is read. */
export interface ReadFileOptions extends WaitOptions {
  /** Bytes from the beginning of the file. Default 0. */
  readonly offset?: number;
  /** At most so many bytes. Default: all, up to 256 MiB; `stream` has no such limit. */
  readonly length?: number;
}

/** How a file is written. */
export interface WriteFileOptions extends WaitOptions {
  /** Permissions, `0o600`. Default: those of the old file, `0o644` for a new one. */
  readonly mode?: number;
  /** Writes into the file as it is. Default: it is replaced at the end, so that nobody sees half of it. */
  readonly inPlace?: boolean;
}

/** What is removed. */
export interface RemoveOptions extends WaitOptions {
  /** A folder with all that is in it. Default false. */
  readonly recursive?: boolean;
}

/** How a folder is made. */
export interface MakeFolderOptions extends WaitOptions {
  /** The folders above it as well, and it may be there already. Default false. */
  readonly recursive?: boolean;
  /** Permissions. Default `0o755`. */
  readonly mode?: number;
}

/** What is looked at. */
export interface StatOptions extends WaitOptions {
  /** Of a symbolic link what it leads to, rather than the link itself. Default true. */
  readonly followLink?: boolean;
}

/** Files of a guest with an agent. What goes wrong with one throws XenolithError with code GUEST_FILE and `system` as Linux names it, `ENOENT`. */
export class GuestFiles {
  readonly #agent: GuestAgent;

  /** @internal */
  constructor(agent: GuestAgent) {
    this.#agent = agent;
  }

  /** A file's bytes. */
  read(path: string, options: ReadFileOptions = {}): Promise<Uint8Array> {
    return this.#agent.use(options.signal, (client) => client.readFile(path, options));
  }

  /** A file's text, as UTF-8. */
  async readText(path: string, options: ReadFileOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.read(path, options));
  }

  /** A file's bytes piece by piece, at the pace of the reader. */
  stream(path: string, options: ReadFileOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return this.#agent.use(options.signal, (client) => Promise.resolve(client.readStream(path, options)));
  }

  /** Text, bytes, or anything that gives them piece by piece. Resolves when the file is there. */
  write(path: string, content: ByteSource, options: WriteFileOptions = {}): Promise<void> {
    return this.#agent.use(options.signal, (client) => client.writeFile(path, content, options));
  }

  /** What is in a folder, in no order. */
  list(path: string, { signal }: WaitOptions = {}): Promise<FileInfo[]> {
    return this.#agent.use(signal, (client) => client.list(path, { signal }));
  }

  /** What is known of a file. */
  stat(path: string, options: StatOptions = {}): Promise<FileInfo> {
    return this.#agent.use(options.signal, (client) => client.stat(path, options));
  }

  /** A folder, in one that is there unless `recursive`. */
  makeFolder(path: string, options: MakeFolderOptions = {}): Promise<void> {
    return this.#agent.use(options.signal, (client) => client.mkdir(path, options));
  }

  /** A file, or an empty folder. */
  remove(path: string, options: RemoveOptions = {}): Promise<void> {
    return this.#agent.use(options.signal, (client) => client.remove(path, options));
  }
}
