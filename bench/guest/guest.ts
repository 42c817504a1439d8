import type { DaemonClient } from '../../src/toolstack/daemon/client.ts';
import { GUEST_PROMPT } from '../../src/toolstack/guest-files/guest-files.ts';

/** A guest that has not said what is waited for by then is taken for dead. */
const PATIENCE_MS = 300_000;

/** One domain of a measurement: its console, and what the daemon knows of its vCPU. All times are performance.now(). */
export class Guest {
  readonly domid: number;
  /** When `xl create` was started. */
  readonly begun: number;
  /** Seconds until `xl create` had ended. */
  readonly created: number;
  readonly #console: DaemonClient;
  readonly #daemon: DaemonClient;
  readonly #decoder = new TextDecoder();
  #unread = '';
  #ended = false;
  #wake: () => void = () => undefined;
  #commands = 0;

  constructor(o: { domid: number; begun: number; created: number; console: DaemonClient; daemon: DaemonClient }) {
    this.domid = o.domid;
    this.begun = o.begun;
    this.created = o.created;
    this.#console = o.console;
    this.#daemon = o.daemon;
    o.console.onData = (bytes) => {
      this.#unread += this.#decoder.decode(bytes, { stream: true });
      this.#wake();
    };
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    o.console.onEvent = (event) => {
      if (event['end'] === true) end();
    };
    o.console.onClosed = end;
  }

  /** Seconds from the start of `xl create` to the kernel's line that it starts the first process. */
  async init(): Promise<number> {
    await this.expect('Run /init as init process');
    return (performance.now() - this.begun) / 1000;
  }

  /** Seconds from the start of `xl create` to the shell's first prompt. */
  async shell(): Promise<number> {
    await this.expect(GUEST_PROMPT);
    return (performance.now() - this.begun) / 1000;
  }

  /** Runs a shell command and returns what it printed. */
  async run(command: string): Promise<string> {
    const id = `bench-${++this.#commands}`;
    // Put together in the guest, so that an echo of the line is not taken for the mark.
    this.#console.send(Buffer.from(`echo; echo ${id}-''begin; ${command}; echo ${id}-''end $?\n`));
    await this.expect(`${id}-begin`);
    const printed = await this.expect(`${id}-end `);
    return printed.replaceAll('\r', '').trim();
  }

  async instructions(): Promise<number> {
    const { vcpus } = await this.#daemon.call('vcpus', { domids: [this.domid] });
    return vcpus.reduce((sum, vcpu) => sum + vcpu.instructions, 0);
  }

  async destroy(): Promise<void> {
    await this.#daemon.call('destroy', { domid: this.domid });
    this.#console.close();
  }

  /** Waits for the text; returns what came before it. */
  async expect(text: string): Promise<string> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const at = this.#unread.indexOf(text);
      if (at >= 0) {
        const before = this.#unread.slice(0, at);
        this.#unread = this.#unread.slice(at + text.length);
        return before;
      }
      if (this.#ended) throw this.#silent(text, 'the console ended');
      if (performance.now() > end) throw this.#silent(text, 'it did not come');
      await this.#more();
    }
  }

  #silent(text: string, why: string): Error {
    return new Error(`waited for "${text}" of the guest: ${why}. Its last words:\n${this.#unread.slice(-1000)}`);
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
