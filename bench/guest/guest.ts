import type { DaemonClient } from '../../src/toolstack/daemon/client.ts';
import { ConsoleText, type Printed } from './console-text.ts';
import { GuestShell } from './guest-shell.ts';

/** One domain of a measurement: its console, and what the daemon knows of its vCPU. All times are performance.now(). */
export class Guest {
  readonly domid: number;
  /** When `xl create` was started. */
  readonly begun: number;
  /** Seconds until `xl create` had ended. */
  readonly created: number;
  readonly #console: DaemonClient;
  readonly #daemon: DaemonClient;
  readonly #shell: GuestShell;

  constructor(o: { domid: number; begun: number; created: number; console: DaemonClient; daemon: DaemonClient }) {
    this.domid = o.domid;
    this.begun = o.begun;
    this.created = o.created;
    this.#console = o.console;
    this.#daemon = o.daemon;
    const text = new ConsoleText();
    this.#shell = new GuestShell(text, (line) => o.console.send(Buffer.from(line)));
    o.console.onData = (bytes) => text.feed(bytes);
    o.console.onEvent = (event) => {
      if (event['end'] === true) text.end();
    };
    o.console.onClosed = () => text.end();
  }

  /** Seconds from the start of `xl create` to the kernel's line that it starts the first process. */
  async init(): Promise<number> {
    return ((await this.#shell.init()) - this.begun) / 1000;
  }

  /** Seconds from the start of `xl create` to the shell's first prompt. */
  async shell(): Promise<number> {
    return ((await this.#shell.prompt()) - this.begun) / 1000;
  }

  /** Runs a shell command and returns what it printed. */
  async run(command: string): Promise<string> {
    return (await this.#shell.run(command)).text.replaceAll('\r', '').trim();
  }

  /** The same, with the times at which it was printed. */
  timed(command: string, patienceMs: number): Promise<Printed> {
    return this.#shell.run(command, patienceMs);
  }

  async instructions(): Promise<number> {
    return (await this.instructionsOfEach()).reduce((sum, instructions) => sum + instructions, 0);
  }

  /** By vCPU. */
  async instructionsOfEach(): Promise<number[]> {
    const { vcpus } = await this.#daemon.call('vcpus', { domids: [this.domid] });
    return vcpus.map(({ instructions }) => instructions);
  }

  /** Seconds that each vCPU has run. */
  async runTimes(): Promise<number[]> {
    const { vcpus } = await this.#daemon.call('vcpus', { domids: [this.domid] });
    return vcpus.map(({ cpuTimeNs }) => cpuTimeNs / 1e9);
  }

  async destroy(): Promise<void> {
    await this.#daemon.call('destroy', { domid: this.domid });
    this.#console.close();
  }
}
