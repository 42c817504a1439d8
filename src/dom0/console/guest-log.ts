/** What a guest of one name has printed, over all the domains that it has been: a reboot gives a new domain, and the log goes on. */
import { ScrollBack } from './scroll-back.ts';

/** Where the host keeps a guest's log, such as a file. */
export interface LogSink {
  write(bytes: Uint8Array): void;
  close(): void;
}

export class GuestLog {
  readonly name: string;
  readonly scrollBack: ScrollBack;
  readonly #open: ((name: string) => LogSink | undefined) | undefined;
  #sink: LogSink | undefined;

  constructor(name: string, capacity: number, open: ((name: string) => LogSink | undefined) | undefined) {
    this.name = name;
    this.scrollBack = new ScrollBack(capacity);
    this.#open = open;
  }

  append(bytes: Uint8Array): void {
    this.scrollBack.append(bytes);
    this.#sink ??= this.#open?.(this.name);
    this.#sink?.write(bytes);
  }

  /** The domain has ended; the next one of this name opens the sink again. */
  pause(): void {
    this.#sink?.close();
    this.#sink = undefined;
  }
}
