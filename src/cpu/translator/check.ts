/**
 * Runs a translated region and the interpreter from the same state and the same memory, and compares what comes out. Both runs are apart from the guest
 * (apart.ts): what they do is undone and forgotten, and the guest then goes on as if nothing had been. The interpreter decodes each instruction anew, so code that
 * changed without the region being dropped is found too.
 */
import type { CpuState } from '../cpu-state.ts';
import { Exit } from '../exits.ts';
import { Apart, Op, Region, S } from '../state-layout.ts';
import { differences, type Outcome } from './check-outcome.ts';
import type { Gate, GateKeeper } from './gates.ts';

/** Instructions after which a loop in a region that is checked ends. */
const BUDGET = 256;

/** Differences in the message; all are in the report. */
const SHOWN = 3;

/** What the checker asks of the processor. */
export interface CheckedProcessor {
  readonly memory: DataView;
  readonly regionAt: number;
  readonly state: CpuState;
  /** One instruction by the interpreter, without hooks; `Exit.Budget` when it completed. */
  step(): Exit;
  /** Starts at an operation, without hooks. */
  runOp(op: number): Exit;
  /** Host address of code at a linear address, 0 when there is none. */
  codeAt(va: number): number;
  /** Completes an instruction that loads a segment register; `Exit.Segment` when that went well. */
  completeSegment(): Exit;
}

/** A region does not do what the interpreter does. */
export class CheckFailure extends Error {
  readonly gate: Gate;
  /** Linear address of the region's entry. */
  readonly entry: bigint;
  /** What differs, a line each. */
  readonly lines: readonly string[];

  constructor(gate: Gate, entry: bigint, lines: readonly string[]) {
    const at = BigInt.asUintN(64, entry).toString(16);
    super(`translated code at 0x${at} differs from the interpreter: ${lines.slice(0, SHOWN).join('; ')}`);
    this.gate = gate;
    this.entry = entry;
    this.lines = lines;
  }
}

/** Values from outside of the guest: every run of a check is given the same. */
export class Tape {
  #values: number[] = [];
  #next: number | undefined;

  read(fresh: () => number): number {
    if (this.#next === undefined) return fresh();
    return (this.#values[this.#next++] ??= fresh());
  }
  begin(): void {
    this.#values = [];
  }
  rewind(): void {
    this.#next = 0;
  }
  stop(): void {
    this.#next = undefined;
  }
}

export class Checker {
  readonly #processor: CheckedProcessor;
  readonly #gates: GateKeeper;
  readonly #tape: Tape;
  readonly #table: WebAssembly.Table;
  /** Where the table has the region that is being checked. */
  readonly #index: number;
  readonly #bytes: Uint8Array;
  /** So far. */
  checks = 0;

  constructor(processor: CheckedProcessor, gates: GateKeeper, tape: Tape, table: WebAssembly.Table) {
    this.#processor = processor;
    this.#gates = gates;
    this.#tape = tape;
    this.#table = table;
    this.#index = table.grow(1);
    this.#bytes = new Uint8Array(processor.memory.buffer);
  }

  /** Checks the region whose gate asked for it. RIP is at its entry. */
  check(): void {
    // Repeated instructions end early then, not always in the same place.
    if (this.#disturbed) return;
    const due = this.#gates.due;
    if (!due) return;
    const { gate, op } = due;
    this.#gates.passed(gate);
    this.#tape.begin();
    this.checks++;
    if (this.#compare(gate, op).length === 0) return;
    // Other threads may have changed what was read. What differs for that reason does not differ again.
    const first = this.#compare(gate, op);
    const second = this.#compare(gate, op);
    if (first.length === 0 || first.join() !== second.join() || this.#disturbed) return;
    const { memory, regionAt } = this.#processor;
    throw new CheckFailure(gate, memory.getBigInt64(regionAt + S.rip, true), second);
  }

  get #disturbed(): boolean {
    return this.#processor.memory.getUint32(this.#processor.regionAt + S.exitRequest, true) !== 0;
  }

  #compare(gate: Gate, op: number): string[] {
    const { memory, regionAt } = this.#processor;
    let executed = 0;
    const region = this.#apart(0, () => {
      memory.setInt32(regionAt + S.budget, BUDGET, true);
      const exit = this.#runRegion(gate, op);
      executed = BUDGET - memory.getInt32(regionAt + S.budget, true);
      return exit;
    });
    // The work was left to others.
    if (region.exit === Exit.Check || region.exit === Exit.Decode) return [];
    const interpreter = this.#apart(1, () => this.#interpret(executed, region.exit === Exit.Exception));
    return differences(region, interpreter, this.#bytes);
  }

  #runRegion(gate: Gate, op: number): Exit {
    const { memory, regionAt, codeAt } = this.#processor;
    const page = Number(memory.getBigInt64(regionAt + S.rip, true) & ~0xfffn);
    // A region whose other pages are mapped elsewhere by now has the interpreter go on, with all that follows.
    if (gate.job.pages.some(({ offset, host }) => codeAt(page + offset) !== host)) return Exit.Decode;
    const handler = memory.getUint32(op + Op.handler, true);
    this.#table.set(this.#index, gate.alone);
    memory.setUint32(op + Op.handler, this.#index, true);
    try {
      const exit = this.#processor.runOp(op);
      if (exit !== Exit.Segment) return exit;
      const after = this.#processor.completeSegment();
      return after === Exit.Segment ? Exit.Budget : after;
    } finally {
      memory.setUint32(op + Op.handler, handler, true);
    }
  }

  /** @param faults the next instruction is expected to end in an exception, and is not counted */
  #interpret(count: number, faults: boolean): Exit {
    const { memory, regionAt } = this.#processor;
    let exit: Exit = Exit.Budget;
    const step = (): void => {
      memory.setInt32(regionAt + S.budget, 1, true);
      exit = this.#processor.step();
    };
    for (let n = 0; n < count && exit === Exit.Budget; n++) step();
    if (faults && exit === Exit.Budget) step();
    return exit;
  }

  /** A run that leaves no trace. */
  #apart(n: number, run: () => Exit): Outcome {
    const { memory, regionAt, state } = this.#processor;
    const end = regionAt + S.views;
    const saved = this.#bytes.slice(regionAt, end);
    const pages = regionAt + Region.apartAt + n * Apart.size;
    const tlb = regionAt + Region.apartTlbAt;
    this.#bytes.fill(0xff, tlb, tlb + Region.tlbSet);
    memory.setUint32(pages + Apart.count, 0, true);
    memory.setUint32(regionAt + S.tlb, tlb, true);
    memory.setUint32(regionAt + S.apart, pages, true);
    this.#tape.rewind();
    try {
      const exit = run();
      return { exit, flags: state.rflags, state: new DataView(this.#bytes.slice(regionAt, end).buffer), pages };
    } finally {
      this.#tape.stop();
      memory.setUint32(regionAt + S.apart, 0, true);
      // Other threads write one word of it.
      this.#bytes.set(saved.subarray(0, S.exitRequest), regionAt);
      this.#bytes.set(saved.subarray(S.exitRequest + 4), regionAt + S.exitRequest + 4);
    }
  }
}
