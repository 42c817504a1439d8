/** A shell at the far end of a console, as the guest files' /init starts it with a plain console: it echoes nothing and prints its prompt. */
import { GUEST_PROMPT } from '../../src/toolstack/guest-files/guest-files.ts';
import type { ConsoleText, Printed } from './console-text.ts';

/** A guest that has not said what is waited for by then is taken for dead. */
export const PATIENCE_MS = 300_000;

export class GuestShell {
  readonly #console: ConsoleText;
  readonly #send: (text: string) => void;
  #commands = 0;

  constructor(console: ConsoleText, send: (text: string) => void) {
    this.#console = console;
    this.#send = send;
  }

  /** When the kernel had said that it starts the first process. */
  init(): Promise<number> {
    return this.#arrival('Run /init as init process');
  }

  /** When the shell had printed its first prompt. */
  prompt(): Promise<number> {
    return this.#arrival(GUEST_PROMPT);
  }

  /** Runs a shell command: what it printed. */
  async run(command: string, patienceMs: number = PATIENCE_MS): Promise<Printed> {
    const id = `bench-${++this.#commands}`;
    // Put together in the guest, so that an echo of the line is not taken for the mark.
    this.#send(`echo; echo ${id}-''begin; ${command}; echo ${id}-''end $?\n`);
    await this.#console.expect(`${id}-begin`, patienceMs);
    return this.#console.expect(`${id}-end `, patienceMs);
  }

  async #arrival(text: string): Promise<number> {
    const before = await this.#console.expect(text, PATIENCE_MS);
    return before.arrived(before.text.length);
  }
}
