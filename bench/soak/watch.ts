/** Looks at a guest under load now and then, and judges it in the end. */
import type { DomainSummary } from '../../src/toolstack/daemon/protocol.ts';
import type { Guest } from '../guest/guest.ts';
import { overhead } from '../guest/process-memory.ts';
import { growthOf, type Sample } from './growth.ts';
import { countsCommand, readCounts, type Count } from './load.ts';

const MIB = 2 ** 20;
/** Before memory has come to what it stays at: caches fill, code gets hot. */
const WARM_UP_MINUTES = 3;
/** A shorter time tells nothing of growth, as garbage is collected when it suits. */
const LEAST_MINUTES = 5;
/** MiB a minute. */
const MOST_GROWTH = 1;

/** What a kernel says when something is wrong, whatever its level. */
const TROUBLE =
  /BUG:|WARNING:|Oops|Call Trace|Kernel panic|general protection|segfault|\bstall|lockup|blocked for more|traps:|invalid opcode/;

export class Watch {
  readonly #guest: Guest;
  readonly #pid: number;
  readonly #begun = performance.now();
  readonly #memory: Sample[] = [];
  readonly #wrong = new Set<string>();
  #instructions: number[] = [];
  #counts: Count[] = [];

  constructor(guest: Guest, pid: number) {
    this.#guest = guest;
    this.#pid = pid;
  }

  get minutes(): number {
    return (performance.now() - this.#begun) / 60_000;
  }

  get failed(): boolean {
    return this.#wrong.size > 0;
  }

  /** @returns a line about how it stands */
  async look(summary: DomainSummary): Promise<string> {
    const held = overhead(this.#pid, 0, summary);
    if (typeof held === 'number') this.#memory.push({ minutes: this.minutes, value: held / MIB });
    const instructions = await this.#guest.instructionsOfEach();
    instructions.forEach((now, n) => {
      if (now <= (this.#instructions[n] ?? -1))
        this.#wrong.add(`vCPU ${n} executed nothing since it was last looked at`);
    });
    this.#instructions = instructions;
    this.#counts = readCounts(await this.#guest.run(countsCommand));
    for (const { job, times, text } of this.#counts) if (times === undefined) this.#wrong.add(`${job.name}: ${text}`);
    for (const line of (await this.#guest.run('dmesg -c')).split('\n'))
      if (TROUBLE.test(line)) this.#wrong.add(`the kernel says: ${line.trim()}`);
    const done = this.#counts.reduce((sum, { times = 0 }) => sum + times, 0);
    const memory = typeof held === 'number' ? `, ${(held / MIB).toFixed(0)} MiB beside the guest's RAM` : '';
    const billions = instructions.map((n) => (n / 1e9).toFixed(1)).join(' + ');
    return `${this.minutes.toFixed(1)} min: ${done} jobs done, ${billions} thousand million instructions${memory}`;
  }

  /** All that was wrong, and what was found out. */
  verdict(): { readonly wrong: readonly string[]; readonly notes: readonly string[] } {
    const wrong = [...this.#wrong];
    for (const { job, times } of this.#counts) if (times === 0) wrong.push(`${job.name} was never done`);
    const notes = this.#counts.map(({ job, text }) => `${job.name}: ${text}`);
    const growth = growthOf(this.#memory.filter(({ minutes }) => minutes >= WARM_UP_MINUTES));
    const text = growth && `memory: ${growth.perMinute.toFixed(2)} ± ${growth.error.toFixed(2)} MiB a minute`;
    const enough = this.minutes >= WARM_UP_MINUTES + LEAST_MINUTES;
    if (!growth || !text) notes.push('memory: not known');
    else if (!enough) notes.push(`${text}; too short a time to judge that`);
    // Only what is more than chance: twice the error.
    else if (growth.perMinute - 2 * growth.error > MOST_GROWTH) wrong.push(`the daemon's ${text}`);
    else notes.push(text);
    return { wrong, notes };
  }
}
