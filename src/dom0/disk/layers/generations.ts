/**
 * Where the old contents of a disk's clusters are kept for its snapshots. Each moment of which there are snapshots has a generation: the clusters that have changed
 * between it and the next one. A snapshot finds a cluster in its own generation, or in the first later one that has it, or else the cluster has not changed since.
 * So a cluster is kept once, however many snapshots need it.
 */

/** A cluster of zeroes, for which nothing is kept. */
export const ZERO = -1;
/** A cluster that could not be kept. */
export const LOST = -2;

export interface Generation {
  /** Slots of the file in which they are kept, or ZERO, or LOST; by cluster. */
  readonly slots: Map<number, number>;
  /** Snapshots of this moment. There is always one, for a generation without goes. */
  holders: number;
}

export class Generations {
  /** The oldest first; the last one gets what changes now. */
  #all: Generation[] = [];
  readonly #free: number[] = [];
  #slots = 0;

  get isEmpty(): boolean {
    return this.#all.length === 0;
  }

  /** This moment. */
  take(): Generation {
    const last = this.#all.at(-1);
    if (last?.slots.size === 0) {
      last.holders++;
      return last;
    }
    const generation = { slots: new Map<number, number>(), holders: 1 };
    this.#all.push(generation);
    return generation;
  }

  /** One more snapshot of the same moment. */
  share(generation: Generation): void {
    generation.holders++;
  }

  /** A snapshot less. What older ones need of its generation goes over to them. */
  drop(generation: Generation): void {
    if (--generation.holders > 0) return;
    const index = this.#all.indexOf(generation);
    const older = this.#all[index - 1];
    for (const [cluster, slot] of generation.slots) {
      if (older === undefined || older.slots.has(cluster)) this.free(slot);
      else older.slots.set(cluster, slot);
    }
    this.#all.splice(index, 1);
  }

  /** Whether a change of the cluster would be lost on a snapshot. */
  misses(cluster: number): boolean {
    return this.#all.at(-1)?.slots.has(cluster) === false;
  }

  /** Undefined: it has not changed since. */
  find(generation: Generation, cluster: number): number | undefined {
    for (let index = this.#all.indexOf(generation); index < this.#all.length; index++) {
      const slot = this.#all[index]?.slots.get(cluster);
      if (slot !== undefined) return slot;
    }
    return undefined;
  }

  /** A slot that nothing is kept in. */
  allocate(): number {
    return this.#free.pop() ?? this.#slots++;
  }

  free(slot: number): void {
    if (slot >= 0) this.#free.push(slot);
  }

  /** The cluster is kept, if anybody still needs it. */
  put(cluster: number, slot: number): void {
    if (this.misses(cluster)) this.#all.at(-1)?.slots.set(cluster, slot);
    else this.free(slot);
  }

  /** The file of slots is a new one, while nobody needs anything. */
  reset(): void {
    this.#free.length = 0;
    this.#slots = 0;
  }
}
