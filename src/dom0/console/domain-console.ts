/** One domain's console: its ring, what it printed, and who is watching and typing. */
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE } from '../../abi/io/console.ts';
import type { Scheduler, Timers } from '../scheduler.ts';
import { ConsoleClient } from './console-client.ts';
import type { ConsoleRing } from './console-ring.ts';
import type { GuestLog } from './guest-log.ts';

/** Output taken in one go before others get their turn. */
const OUTPUT_PER_PASS = 64 * 1024;
/** Typed bytes that may wait for the guest. */
const INPUT_LIMIT = 16 * 1024;

/** Of what it is given, Linux' driver takes so much at a time, and tells of it (drivers/tty/hvc/hvc_console.c, N_INBUF). */
const TAKEN_AT_ONCE = 16;
/** A guest that tells less often than Linux is looked at after this time. */
const PATIENCE_MS = 5;

/** Domain 0's end of the console's event channel. */
export interface ConsolePort {
  notify(): void;
  close(): void;
  /** The next events, so many, are not to call `pump`; 0: all are. */
  ignore?: (events: number) => void;
}

/** When a console does what it does not do at once. */
export interface ConsoleTimes {
  readonly scheduler: Scheduler;
  /** For those whose port can ignore events. */
  readonly timers?: Timers | undefined;
}

/** Where a new client begins: at all that is kept of this name, at what this domain printed, or at what comes next. */
export type AttachFrom = 'log' | 'domain' | 'now';

export class DomainConsole {
  readonly domid: number;
  readonly log: GuestLog;
  #ring: ConsoleRing | undefined;
  readonly #times: ConsoleTimes;
  readonly #start: number;
  #port: ConsolePort | undefined;
  /** Events are ignored, and this ends the time after which the ring is looked at all the same. */
  #hear: (() => void) | undefined;
  readonly #clients = new Set<ConsoleClient>();
  #input: Uint8Array[] = [];
  #inputBytes = 0;
  #waiting: (() => void)[] = [];
  /** Where in the log this domain's output ends, once it does. */
  lastPosition: number | undefined;

  constructor(domid: number, ring: ConsoleRing, log: GuestLog, times: ConsoleTimes) {
    this.domid = domid;
    this.#ring = ring;
    this.log = log;
    this.#times = times;
    this.#start = log.scrollBack.end;
  }

  get name(): string {
    return this.log.name;
  }

  get ended(): boolean {
    return this.#ring === undefined;
  }

  /** Whose event calls `pump`. */
  set port(port: ConsolePort) {
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
    const { taken, awaited } = this.#takeOutput(this.#ring, OUTPUT_PER_PASS);
    const given = this.#giveInput(this.#ring);
    if (awaited || given) this.#port?.notify();
    if (taken >= OUTPUT_PER_PASS) this.#times.scheduler.defer(() => this.pump());
    if (taken > 0) for (const client of [...this.#clients]) client.wake();
    if (this.#ring.inputRoom === XENCONS_IN_SIZE) this.#hear?.();
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
    this.#hear?.(); // whoever goes on with the port
    this.#port?.close();
    this.#input = [];
    this.log.pause();
    for (const resolve of this.#waiting.splice(0)) resolve();
    for (const client of [...this.#clients]) client.wake();
    this.#clients.clear();
  }

  /**
   * `awaited`: the guest may have found no room and wait until it is told that there is. One that has found some hears nothing: an interrupt for each line that it prints
   * would be for nothing. (A ring that was found full has been taken in two halves at most, of which one was half of it.)
   */
  #takeOutput(ring: ConsoleRing, limit: number): { taken: number; awaited: boolean } {
    let taken = 0;
    let awaited = false;
    while (taken < limit) {
      const output = ring.takeOutput();
      if (!output) break;
      this.log.append(output);
      taken += output.length;
      awaited ||= output.length >= XENCONS_OUT_SIZE / 2;
    }
    return { taken, awaited };
  }

  /**
   * Linux tells of every 16 bytes that it takes, and to be woken for each of them costs guest and host more than the bytes; on a busy machine the guest waits until the
   * host's scheduler comes back to it. These events are ignored: all of them, or those for three quarters of what is in the ring when more is to follow. A guest
   * that tells less often than Linux does has something ignored that should have been heard, hence the time.
   */
  #ignoreTaking(bytes: number, all: boolean): void {
    const { timers } = this.#times;
    if (this.#port?.ignore === undefined || timers === undefined) return;
    this.#hear?.();
    const events = Math.ceil(bytes / TAKEN_AT_ONCE);
    this.#port.ignore(all ? events : (events * 3) >> 2);
    const stop = timers.after(PATIENCE_MS, () => {
      this.#hear?.();
      this.pump();
    });
    this.#hear = () => {
      this.#hear = undefined;
      this.#port?.ignore?.(0);
      stop();
    };
  }

  #giveInput(ring: ConsoleRing): boolean {
    // Linux takes 16 bytes at a time and tells of each: what is given as often keeps it in interrupts. It comes again for more.
    if (ring.inputRoom < Math.min(this.#inputBytes, XENCONS_IN_SIZE / 2)) return false;
    const room = ring.inputRoom;
    const giving = Math.min(this.#inputBytes, room);
    // Before the guest can see them.
    if (giving > 0) this.#ignoreTaking(XENCONS_IN_SIZE - room + giving, giving === this.#inputBytes);
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
