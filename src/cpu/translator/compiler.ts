import type { InstructionSet } from '../instruction-set.ts';
import { RegionGenerator } from './generate.ts';
import type { RegionJob } from './job.ts';

/** Turns jobs into modules: at once, or on another thread. */
export interface RegionCompiler {
  submit(id: number, job: RegionJob): void;
  /** What is ready; asked often, so it has to be cheap when nothing is. */
  take(): readonly CompiledRegions[];
}

/** A module whose function `region0` belongs to the first id, and so on. */
export interface CompiledRegions {
  readonly ids: readonly number[];
  readonly module: WebAssembly.Module;
}

/** On the thread that asks. */
export class InlineCompiler implements RegionCompiler {
  readonly #generator: RegionGenerator;
  #ready: CompiledRegions[] = [];

  constructor(set: InstructionSet) {
    this.#generator = new RegionGenerator(set);
  }

  submit(id: number, job: RegionJob): void {
    this.#ready.push({ ids: [id], module: new WebAssembly.Module(this.#generator.generate([job])) });
  }

  take(): readonly CompiledRegions[] {
    const ready = this.#ready;
    if (ready.length > 0) this.#ready = [];
    return ready;
  }
}
