/** The measuring itself: all peers are up at once and take turns, so that each round of a workload finds the same machine. */
import type { Equipment, Machine, Note, Peer, PeerName } from '../peers/peer.ts';
import { XenError } from '../../src/toolstack/xen-error.ts';
import { calibrate } from './calibrate.ts';
import { readingOf, type Reading } from './reading.ts';
import { ratios, spread, type Spread } from './statistics.ts';
import type { Workload } from './workloads.ts';

export interface Options {
  readonly rounds: number;
  /** That a run should take. */
  readonly seconds: number;
  /** Reckon by processor time, as other work keeps the machine busy. */
  readonly busy: boolean;
  /** Of everything. */
  readonly note: Note;
  /** Of each single measurement. */
  readonly progress: Note;
}

export interface Figure {
  /** In the workload's unit. */
  readonly value: Spread;
  /** Xenolith against this peer, more than 1 is better; undefined of Xenolith itself. */
  readonly ratio: Spread | undefined;
}

export interface Compared {
  readonly workload: Workload;
  /** Of the peers that could be measured. */
  readonly figures: ReadonlyMap<PeerName, Figure>;
}

/** A peer that takes this many times the wanted time has hung. */
const PATIENCE = 20;
const LEAST_PATIENCE_MS = 60_000;

export class Comparison {
  readonly #peers: readonly Peer[];
  readonly #options: Options;
  readonly #machines = new Map<PeerName, Machine>();
  /** Of the machines that are up. */
  #equipment: Equipment = 'bare';
  /** Why a peer is not there. */
  readonly missing = new Map<PeerName, string>();

  constructor(peers: readonly Peer[], options: Options) {
    this.#peers = peers;
    this.#options = options;
  }

  async close(): Promise<void> {
    const machines = [...this.#machines.values()];
    this.#machines.clear();
    await Promise.allSettled(machines.map((machine) => machine.stop()));
  }

  async measure(workload: Workload): Promise<Compared> {
    this.#options.note(`${workload.name}: ${workload.about}`);
    await this.#equip(workload.equipment ?? 'bare');
    const { command } = workload;
    const values = command === undefined ? await this.#boots() : await this.#rounds(workload, command);
    const ours = values.get('xenolith');
    const figures = new Map<PeerName, Figure>();
    for (const [name, theirs] of values) {
      if (theirs.length === 0) continue;
      const ratio =
        name === 'xenolith' || ours === undefined || ours.length === 0
          ? undefined
          : ratios(ours, theirs, workload.better);
      figures.set(name, { value: spread(theirs), ratio });
    }
    return { workload, figures };
  }

  /** Ends machines that have something else. */
  async #equip(equipment: Equipment): Promise<void> {
    if (equipment !== this.#equipment) await this.close();
    this.#equipment = equipment;
  }

  /** Seconds to /init, a round for each; the machines of the last stay up. */
  async #boots(): Promise<ReadonlyMap<PeerName, readonly number[]>> {
    const values = new Map<PeerName, number[]>();
    for (let round = 0; round < this.#options.rounds; round++) {
      for (const peer of this.#peers) {
        await this.#stop(peer);
        const machine = await this.#machine(peer);
        if (machine?.init === undefined) continue;
        this.#options.progress(`boot, round ${round + 1}: ${peer.title} ${machine.init.toFixed(2)} s`);
        values.set(peer.name, [...(values.get(peer.name) ?? []), machine.init]);
      }
    }
    return values;
  }

  async #rounds(
    workload: Workload,
    command: (amount: number) => string,
  ): Promise<ReadonlyMap<PeerName, readonly number[]>> {
    const { rounds, seconds, busy, progress } = this.#options;
    const values = new Map<PeerName, number[]>();
    const amounts = new Map<Peer, number>();
    for (const peer of this.#peers) {
      const amount = await this.#try(peer, workload, () =>
        calibrate(async (some) => (await this.#read(peer, command(some))).seconds, workload.start, seconds),
      );
      if (amount !== undefined) amounts.set(peer, amount);
    }
    for (let round = 0; round < rounds; round++) {
      for (const [peer, amount] of amounts) {
        const reading = await this.#try(peer, workload, () => this.#read(peer, command(amount)));
        if (reading === undefined) {
          // Without a value of each round the rounds of two peers would not be the same ones.
          amounts.delete(peer);
          values.delete(peer.name);
          continue;
        }
        // A device is not one thread's work.
        const byProcessor = busy && this.#equipment === 'bare';
        const time = reading.seconds * (byProcessor ? (reading.share ?? 1) : 1);
        const value = valueOf(workload, reading.units, time);
        values.set(peer.name, [...(values.get(peer.name) ?? []), value]);
        progress(`${workload.name}, round ${round + 1}: ${peer.title} ${described(value, workload, reading)}`);
      }
    }
    return values;
  }

  async #read(peer: Peer, command: string): Promise<Reading> {
    const machine = await this.#machine(peer);
    if (machine === undefined) throw new Error(`${peer.title} is not there`);
    return readingOf(await machine.run(command, Math.max(LEAST_PATIENCE_MS, this.#options.seconds * 1000 * PATIENCE)));
  }

  /** The result, or undefined when the peer is missing or fails, which is noted. A machine that fails is started anew for the next workload. */
  async #try<T>(peer: Peer, workload: Workload, work: () => Promise<T>): Promise<T | undefined> {
    if ((await this.#machine(peer)) === undefined) return undefined;
    try {
      return await work();
    } catch (error) {
      this.#options.note(`${workload.name}: ${peer.title} not measured: ${describe(error)}`);
      await this.#stop(peer);
      return undefined;
    }
  }

  async #machine(peer: Peer): Promise<Machine | undefined> {
    const running = this.#machines.get(peer.name);
    if (running !== undefined || this.missing.has(peer.name) || !peer.equipment.includes(this.#equipment))
      return running;
    try {
      this.#options.progress(`starts ${peer.title}`);
      const machine = await peer.start(this.#options.note, this.#equipment);
      this.#machines.set(peer.name, machine);
      return machine;
    } catch (error) {
      const why = describe(error);
      this.missing.set(peer.name, why);
      this.#options.note(`${peer.title} is left out: ${why}`);
      return undefined;
    }
  }

  async #stop(peer: Peer): Promise<void> {
    const machine = this.#machines.get(peer.name);
    this.#machines.delete(peer.name);
    await machine?.stop().catch(() => undefined);
  }
}

function valueOf({ better, scale }: Workload, units: number, seconds: number): number {
  return better === 'higher' ? units / scale / seconds : (seconds / units) * scale;
}

function described(value: number, { unit }: Workload, { seconds, guest, host, share }: Reading): string {
  const clocks = seconds === guest ? '' : `; its clock says ${guest.toFixed(2)} s`;
  const part = share === undefined ? '' : `, on a processor ${(share * 100).toFixed(0)} % of it`;
  return `${value.toPrecision(4)} ${unit} (${host.toFixed(2)} s${part}${clocks})`;
}

/** With the hint that a XenError has for a person: which package to install, say. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = error instanceof XenError && error.hint !== undefined ? ` (${error.hint})` : '';
  return error.message + hint;
}
