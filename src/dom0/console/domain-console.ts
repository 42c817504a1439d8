/** One domain's console: its ring, what it printed, and who is watching and typing. */
import { XENCONS_IN_SIZE } from '../../abi/io/console.ts';
import type { LocalPort } from '../../hypervisor/control.ts';
import type { Scheduler } from '../scheduler.ts';
import { ConsoleClient } from './console-client.ts';
import type { ConsoleRing } from './console-ring.ts';
import type { GuestLog } from './guest-log.ts';

/** Output taken in one go before others get their turn. */
const OUTPUT_PER_PASS = 64 * 1024;
/** Typed bytes that may wait for the guest. */
const INPUT_LIMIT = 16 * 1024;

/** Where a new client begins: at all that is kept of this name, at what this domain printed, or at what comes next. */
export type AttachFrom = 'log' | 'domain' | 'now';

export class DomainConsole {
  readonly domid: number;
  readonly log: GuestLog;
  #ring: ConsoleRing | undefined;
  readonly #scheduler: Scheduler;
  readonly #start: number;
  #port: LocalPort | undefined;
  readonly #clients = new Set<ConsoleClient>();
  #input: Uint8Array[] = [];
  #inputBytes = 0;
  #waiting: (() => void)[] = [];
  /** Where in the log this domain's output ends, once it does. */
  lastPosition: number | undefined;

  constructor(domid: number, ring: ConsoleRing, log: GuestLog, scheduler: Scheduler) {
    this.domid = domid;
    this.#ring = ring;
    this.log = log;
    this.#scheduler = scheduler;
    this.#start = log.scrollBack.end;
  }

  get name(): string {
    return this.log.name;
  }

  get ended(): boolean {
    return this.#ring === undefined;
  }

  /** Whose event calls `pump`. */
  set port(port: LocalPort) {
    this.#port = port;
  }

  attach(from: AttachFrom = 'domain'): ConsoleClient {
    const { scrollBack } = this.log;
    const positions = { log: scrollBack.start, domain: this.#start, now: scrollBack.end };
    const client = new ConsoleClient(this, positions[from], () => this.#clients.delete(client));
    if (!this.ended) this.#clients.add(client);
    return client;
  }

  /** Moves what there is to move, both ways: called on every event from the guest. */
  pump(): void {
    if (!this.#ring) return;
    const taken = this.#takeOutput(this.#ring, OUTPUT_PER_PASS);
    const given = this.#giveInput(this.#ring);
    if (taken > 0 || given) this.#port?.notify();
    if (taken >= OUTPUT_PER_PASS) this.#scheduler.defer(() => this.pump());
    if (taken > 0) for (const client of [...this.#clients]) client.wake();
  }

  /** Queues input; returns how many bytes there was room for. */
  offer(bytes: Uint8Array): number {
    if (!this.#ring) return 0;
    const accepted = bytes.slice(0, INPUT_LIMIT - this.#inputBytes);
    if (accepted.length === 0) return 0;
    this.#input.push(accepted);
    this.#inputBytes += accepted.length;
    if (this.#giveInput(this.#ring)) this.#port?.notify();
    return accepted.length;
  }

  /** Resolves when there is room for input again, or the console has ended. */
  inputRoom(): Promise<void> {
    if (this.ended || this.#inputBytes < INPUT_LIMIT) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /**
   * The domain is gone, or the daemon goes. What the guest printed last is taken first: the page is still ours to read. Not
   * more than a pass: a guest that still runs could print for as long as somebody reads.
   */
  end(): void {
    if (!this.#ring) return;
    this.#takeOutput(this.#ring, OUTPUT_PER_PASS);
    this.#ring = undefined; // lets go of the domain's memory
    this.lastPosition = this.log.scrollBack.end;
    this.#port?.close();
    this.#input = [];
    this.log.pause();
    for (const resolve of this.#waiting.splice(0)) resolve();
    for (const client of [...this.#clients]) client.wake();
    this.#clients.clear();
  }

  #takeOutput(ring: ConsoleRing, limit: number): number {
    let taken = 0;
    while (taken < limit) {
      const output = ring.takeOutput();
      if (!output) break;
      this.log.append(output);
      taken += output.length;
    }
    return taken;
  }

  #giveInput(ring: ConsoleRing): boolean {
    // Linux takes 16 bytes at a time and tells of each: what is given as often keeps it in interrupts. It comes again for more.
    if (ring.inputRoom < Math.min(this.#inputBytes, XENCONS_IN_SIZE / 2)) return false;
    let given = false;
    for (let first = this.#input[0]; first; first = this.#input[0]) {
      const count = ring.putInput(first);
      if (count === 0) break;
      given = true;
      this.#inputBytes -= count;
      if (count === first.length) this.#input.shift();
      else this.#input[0] = first.subarray(count);
    }
    if (this.#inputBytes < INPUT_LIMIT) for (const resolve of this.#waiting.splice(0)) resolve();
    return given;
  }
}
