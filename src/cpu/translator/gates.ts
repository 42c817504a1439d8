/**
 * A gate stands in front of each region that is checked: it lets so many runs pass and then asks the processor to check the next one. Beside the region as it
 * runs there is another instance of it, in which a jump out of the region ends the run: that one is checked.
 */
import { ripOf } from '../dispatch.ts';
import { Exit } from '../exits.ts';
import { Gates, Region, S } from '../state-layout.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { I32, ValType } from '../wasm/value.ts';
import type { RegionJob } from './job.ts';

const { i32, i64 } = ValType;

/** Every region is checked so often at once, and after that at distances that double. */
const OFTEN = 32;
const MAX_DISTANCE = 2 ** 24;

export interface Gate {
  readonly index: number;
  readonly job: RegionJob;
  /** The region that ends where it is left. */
  readonly alone: unknown;
  checks: number;
}

/** What the translator tells of its regions. */
export interface RegionGates {
  /** In place of the interpreter's functions, for the instance that is checked. */
  readonly imports: WebAssembly.ModuleImports;
  /** @returns what goes into the table at `index` in the region's place */
  add(index: number, job: RegionJob, region: unknown, alone: unknown): unknown;
  remove(index: number): void;
}

export class GateKeeper implements RegionGates {
  readonly imports: WebAssembly.ModuleImports;
  readonly #memory: WebAssembly.Memory;
  readonly #words: DataView;
  readonly #at: number;
  readonly #every: number | undefined;
  readonly #slots: (Gate | undefined)[] = [];
  readonly #slotOf = new Map<number, number>();
  readonly #free: number[] = [];

  /** @param every the distance between checks of a region, in place of those that grow */
  constructor(memory: WebAssembly.Memory, vcpu: number, every?: number) {
    this.#memory = memory;
    this.#words = new DataView(memory.buffer);
    this.#at = vcpu + Region.gatesAt;
    this.#every = every;
    this.imports = stopModule(memory);
  }

  add(index: number, job: RegionJob, region: unknown, alone: unknown): unknown {
    const slot = this.#free.pop() ?? this.#slots.length;
    if (slot >= (Gates.size - Gates.left) / 4) return region;
    this.#slots[slot] = { index, job, alone, checks: 0 };
    this.#slotOf.set(index, slot);
    this.#words.setInt32(this.#at + Gates.left + slot * 4, 0, true);
    return gateModule(this.#memory, region, slot);
  }

  remove(index: number): void {
    const slot = this.#slotOf.get(index);
    if (slot === undefined) return;
    this.#slotOf.delete(index);
    this.#slots[slot] = undefined;
    this.#free.push(slot);
  }

  /** The gate that asks for a check, and the operation that enters its region. */
  get due(): { readonly gate: Gate; readonly op: number } | undefined {
    const gate = this.#slots[this.#words.getUint32(this.#at + Gates.due, true)];
    return gate && { gate, op: this.#words.getUint32(this.#at + Gates.op, true) };
  }

  /** Lets runs pass until the next check. */
  passed(gate: Gate): void {
    const slot = this.#slotOf.get(gate.index);
    if (slot === undefined) return;
    const doubled = Math.min(2 ** Math.max(0, ++gate.checks - OFTEN), MAX_DISTANCE);
    this.#words.setInt32(this.#at + Gates.left + slot * 4, Math.max(1, this.#every ?? doubled), true);
  }
}

function gateModule(memory: WebAssembly.Memory, region: unknown, slot: number): unknown {
  const m = new ModuleBuilder({ table: 'own' });
  const inside = m.import('region', [i32, i32], i32);
  const gate = m.function('gate', [i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const op = c.param(i32, 1);
    const counter = Region.gatesAt + Gates.left + slot * 4;
    const left = c.let(vcpu.load32(counter).sub(1));
    c.store32(vcpu, left, counter);
    c.if(left.gtS(-1), () => c.returnCall(inside, vcpu, op), undefined, 'likely');
    c.store32(vcpu, I32.of(slot), Region.gatesAt + Gates.due);
    c.store32(vcpu, op, Region.gatesAt + Gates.op);
    c.store64(vcpu, ripOf(vcpu, op), S.rip);
    c.return(I32.of(Exit.Check));
    c.unreachable();
  });
  m.export('gate', gate);
  const env = { memory, region } as WebAssembly.ModuleImports;
  return new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env }).exports['gate'];
}

/** `jump` as a region finds it that is to end where it is left. */
function stopModule(memory: WebAssembly.Memory): WebAssembly.ModuleImports {
  const m = new ModuleBuilder({ table: 'own' });
  const stop = m.function('jump', [i32, i64, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    c.store32(vcpu, vcpu.load32(S.budget).sub(c.param(i32, 2)), S.budget);
    c.store64(vcpu, c.param(i64, 1), S.rip);
    c.return(I32.of(Exit.Interrupt));
    c.unreachable();
  });
  m.export('jump', stop);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory } });
  return exports as WebAssembly.ModuleImports;
}
