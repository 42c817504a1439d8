/**
 * A console on a pseudo-terminal, so that `minicom`, `screen` or `cat` can be used on the node that xenstore names. To the console it
 * is a client like others: it keeps its place in the scroll-back while nobody reads the terminal, and skips what has been dropped.
 */
import type { ConsoleClient } from './console-client.ts';

/** The master's side of a pseudo-terminal, in raw mode; the host makes it. */
export interface Pty {
  /** Of the node that others open, such as `/dev/pts/3`. */
  readonly path: string;
  /** Somebody typed. */
  onInput: ((bytes: Uint8Array) => void) | undefined;
  /** There may be room again after a write that was not taken whole. */
  onRoom: (() => void) | undefined;
  /** Takes what there is room for; how many bytes that was. Nobody may be reading, so this never waits. */
  write(bytes: Uint8Array): number;
  /** Whether input is taken from the terminal; while it is not, those who type wait. */
  takeInput(taken: boolean): void;
  close(): void;
}

export class ConsoleTerminal {
  readonly #client: ConsoleClient;
  readonly #pty: Pty;
  #rest: Uint8Array | undefined;
  #closed = false;

  constructor(client: ConsoleClient, pty: Pty) {
    this.#client = client;
    this.#pty = pty;
    // A terminal that is full is not tried again for each line that a guest prints, but when it may have room.
    client.onReadable = () => {
      if (this.#rest === undefined || client.ended) this.#print();
    };
    pty.onRoom = () => this.#print();
    pty.onInput = (bytes) => void this.#type(bytes);
    this.#print();
  }

  get path(): string {
    return this.#pty.path;
  }

  #print(): void {
    while (!this.#closed) {
      const bytes = this.#rest ?? this.#client.read();
      if (bytes === undefined) break;
      const taken = this.#pty.write(bytes);
      this.#rest = taken < bytes.length ? bytes.subarray(taken) : undefined;
      if (this.#rest) break;
    }
    // A domain that is gone waits for nobody who might still open its terminal.
    if (this.#client.ended) this.#close();
  }

  async #type(bytes: Uint8Array): Promise<void> {
    this.#pty.takeInput(false);
    await this.#client.write(bytes);
    if (!this.#closed) this.#pty.takeInput(true);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#client.detach();
    this.#pty.close();
  }
}
