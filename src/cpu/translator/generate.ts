import { Leaving } from '../dispatch.ts';
import { Exit } from '../exits.ts';
import { buildHandler, type Handler, type InstructionSet } from '../instruction-set.ts';
import { Access } from '../paging.ts';
import type { Services } from '../semantics.ts';
import { Op, Tlb } from '../state-layout.ts';
import type { Code } from '../wasm/code.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { withFunctionNames } from '../wasm/name-section.ts';
import { I32, ValType } from '../wasm/value.ts';
import { Effects } from './effects.ts';
import type { Node, RegionJob } from './job.ts';
import { KnownOperation } from './known-operation.ts';
import { RegionFrame } from './region-frame.ts';
import { type Position, RegionSemantics } from './region-semantics.ts';
import { type Structure, structureOf } from './structure.ts';

/** Makes modules of regions. */
export class RegionGenerator {
  readonly #set: InstructionSet;
  readonly #effects: Effects;

  constructor(set: InstructionSet) {
    this.#set = set;
    this.#effects = new Effects(set.importServices(new ModuleBuilder({ table: 'imported' })));
  }

  /** A module with a function for each job, exported as `region0`, `region1` … */
  generate(jobs: readonly RegionJob[]): Uint8Array<ArrayBuffer> {
    const m = new ModuleBuilder({ table: 'imported', hinted: true });
    const services = this.#set.importServices(m);
    for (const [i, job] of jobs.entries()) {
      const fn = m.function(`region ${job.name}`, [ValType.i32, ValType.i32], ValType.i32, (code) =>
        new RegionWriter(this.#set, job, services, this.#effects, code).write(),
      );
      m.export(`region${i}`, fn);
    }
    return withFunctionNames(m.encode(), m.names());
  }
}

/** Writes one region's function. */
class RegionWriter {
  readonly #set: InstructionSet;
  readonly #job: RegionJob;
  readonly #effects: Effects;
  readonly #code: Code;
  readonly #services: Services;
  readonly #frame: RegionFrame;
  readonly #ops: DataView;
  readonly #structure: Structure;
  /** Registers newer than their slots where several paths come together. */
  readonly #dirtyAt: ReadonlyMap<number, number>;
  readonly #labels = new Map<number, () => void>();
  #goToEpilogue: () => void = () => undefined;

  constructor(set: InstructionSet, job: RegionJob, services: Services, effects: Effects, code: Code) {
    this.#set = set;
    this.#job = job;
    this.#code = code;
    this.#services = services;
    this.#frame = new RegionFrame(code, services, () => this.#goToEpilogue());
    this.#ops = new DataView(job.ops.buffer, job.ops.byteOffset, job.ops.byteLength);
    this.#structure = structureOf(job.nodes);
    this.#effects = effects;
    this.#dirtyAt = this.#findDirty();
  }

  write(): void {
    const code = this.#code;
    const frame = this.#frame;
    code.block((leave) => {
      this.#goToEpilogue = leave;
      frame.begin();
      if (this.#structure.isLoop(0)) frame.flags.toDynamic();
      this.#tree(0);
      code.unreachable();
    });
    frame.epilogue(this.#job.mode);
    code.inFront(() => {
      frame.locate();
      this.#checkPages();
      frame.prologue();
    });
  }

  #node(n: number): Node {
    const node = this.#job.nodes[n];
    if (!node) throw new Error(`no node ${n}`);
    return node;
  }

  #handler(op: number): { index: number; handler: Handler } {
    const index = this.#job.handlers[op];
    const handler = index === undefined ? undefined : this.#set.handlers[index];
    if (index === undefined || !handler) throw new Error(`no handler of operation ${op}`);
    return { index, handler };
  }

  /** Registers that an operation may write. */
  #written(op: number): number {
    const { index, handler } = this.#handler(op);
    return this.#effects.written(index, handler, this.#ops, op * Op.size);
  }

  /** The code on other pages is what it was: they map the same frames. Otherwise the interpreter goes on here. */
  #checkPages(): void {
    const code = this.#code;
    const services = this.#services;
    const { vcpu, base, tlb } = this.#frame;
    for (const { offset, host } of this.#job.pages) {
      const va = code.let(base.add(offset));
      const entry = code.let(
        tlb.add(
          va
            .wrap()
            .shrU(7)
            .and((Tlb.entries - 1) << 5),
        ),
      );
      code.attempt(
        (failIf) => {
          failIf(entry.load64(Tlb.execute).ne(va));
          failIf(entry.load32(Tlb.host).ne(host | 0));
        },
        () => {
          const now = code.call(services.paging.translate, vcpu, va, I32.of(Access.execute));
          code.if(now.ne(host | 0), () =>
            code.returnCallIndirect(
              services.dispatch.handlerType,
              I32.of(this.#job.original),
              vcpu,
              code.param(ValType.i32, 1),
            ),
          );
        },
      );
    }
  }

  /** A node and all that it dominates. */
  #tree(n: number): void {
    const merges = this.#structure.mergesOf(n);
    if (!this.#structure.isLoop(n)) return this.#within(n, merges);
    this.#code.loop((again) => {
      this.#labels.set(n, again);
      this.#frame.merge(this.#dirtyAt.get(n) ?? 0);
      this.#within(n, merges);
    });
  }

  #within(n: number, merges: readonly number[]): void {
    const [last, ...rest] = merges;
    if (last === undefined) return this.#straight(n);
    const { path } = this.#frame;
    this.#code.block((leave) => {
      this.#labels.set(last, leave);
      this.#frame.resume(path);
      this.#within(n, rest);
    });
    // A loop finds its own label, for those who come from inside.
    this.#frame.merge(this.#dirtyAt.get(last) ?? 0);
    this.#tree(last);
  }

  /** The instructions of a node and the ways out of it. */
  #straight(n: number): void {
    const node = this.#node(n);
    const frame = this.#frame;
    const count = node.instructions.length;
    const leave = (to: number | undefined): (() => void) | undefined =>
      to === undefined || this.#structure.isCut(n, to) ? undefined : () => this.#go(n, to, count);
    if (count === 0) return this.#leaveRegion(node.end, 0);
    this.#code.stretch((step) => {
      for (const [i, number] of node.instructions.entries()) {
        const instruction = this.#job.instructions[number];
        if (!instruction) throw new Error(`no instruction ${number}`);
        const isLast = i === count - 1;
        const returnsTo = node.returns;
        const goBack = leave(returnsTo);
        for (let k = 0; k < instruction.count; k++) {
          const position: Position = {
            at: instruction.at,
            before: i,
            taken: isLast ? leave(node.taken) : undefined,
            next:
              isLast && k === instruction.count - 1
                ? (leave(node.next) ?? (() => this.#leaveRegion(node.end, count)))
                : undefined,
            returns: returnsTo !== undefined && goBack ? { at: this.#node(returnsTo).at, go: goBack } : undefined,
          };
          step(
            () => this.#operation(instruction.first + k, position),
            () => frame.flags.values(),
          );
        }
      }
    });
  }

  #operation(op: number, position: Position): void {
    const frame = this.#frame;
    const { handler } = this.#handler(op);
    const loops = handler.instruction.flagsInLoop === true;
    if (loops) frame.flags.toMemory();
    // A repeated instruction may fault when it has been through its own end.
    if (handler.variant.rep !== 'none') frame.makeDirty(this.#written(op));
    frame.flags.direct = loops;
    const known = new KnownOperation(this.#ops, op * Op.size, this.#job.addresses[op] ?? 0);
    const u = new RegionSemantics(frame, handler.variant, handler.operands, known, position);
    buildHandler(u, handler);
    frame.flags.direct = false;
    u.finish();
  }

  #leaveRegion(at: number, done: number): void {
    const frame = this.#frame;
    frame.spill(done);
    this.#code.returnCall(this.#services.dispatch.jump, frame.vcpu, frame.address(at, this.#job.mode), I32.of(0));
  }

  /** Along an edge inside of the region, after `count` instructions. What is known here stays so for the code that is written next. */
  #go(from: number, to: number, count: number): void {
    const frame = this.#frame;
    const code = this.#code;
    const structure = this.#structure;
    const { path } = frame;
    frame.left.set(frame.left.get.sub(count));
    if (structure.isBack(from, to)) {
      frame.flags.toDynamic();
      this.#expectDirty(to);
      code.if(
        frame.left.get.leS(0),
        () => frame.leave(this.#node(to).at, I32.of(Exit.Budget << Leaving.exit)),
        undefined,
        'unlikely',
      );
      this.#label(to);
    } else if (structure.isMerge(to)) {
      if (structure.isLoop(to)) frame.flush();
      else this.#expectDirty(to);
      frame.flags.toDynamic();
      this.#label(to);
    } else {
      if (structure.isLoop(to)) {
        frame.flush();
        frame.flags.toDynamic();
      }
      frame.resume(frame.path);
      this.#tree(to);
    }
    frame.restore(path);
  }

  #label(to: number): void {
    const label = this.#labels.get(to);
    if (!label) throw new Error(`no label for node ${to}`);
    label();
  }

  #expectDirty(to: number): void {
    if ((this.#frame.dirty & ~(this.#dirtyAt.get(to) ?? 0)) !== 0)
      throw new Error(`a definition writes registers that its effects do not tell`);
  }

  /** Forward flow: a register is newer than its slot from where it is written on; in front of a loop all are stored. */
  #findDirty(): Map<number, number> {
    const { order, successors, isLoop, isBack } = this.#structure;
    const written = new Map(
      order.map((n) => {
        let mask = 0;
        for (const number of this.#node(n).instructions) {
          const instruction = this.#job.instructions[number];
          for (let k = 0; instruction && k < instruction.count; k++) {
            mask |= this.#written(instruction.first + k);
          }
        }
        return [n, mask];
      }),
    );
    const dirty = new Map<number, number>(order.map((n) => [n, 0]));
    for (let changed = true; changed;) {
      changed = false;
      for (const n of order) {
        const out = (dirty.get(n) ?? 0) | (written.get(n) ?? 0);
        for (const to of successors(n)) {
          if (isLoop(to) && !isBack(n, to)) continue;
          const before = dirty.get(to) ?? 0;
          if ((before | out) === before) continue;
          dirty.set(to, before | out);
          changed = true;
        }
      }
    }
    return dirty;
  }
}
