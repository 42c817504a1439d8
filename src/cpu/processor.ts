import { AddressSpaces, type TableChanges } from './address-spaces.ts';
import { CodeCache } from './code-cache.ts';
import { Decoder, MAX_LENGTH } from './decoder.ts';
import { Exit, Vector } from './exits.ts';
import { hookExports } from './hooks.ts';
import type { InstructionSet } from './instruction-set.ts';
import { Access } from './paging.ts';
import { type CheckedProcessor, Checker, Tape } from './translator/check.ts';
import { GateKeeper } from './translator/gates.ts';
import { InlineCompiler, type RegionCompiler } from './translator/compiler.ts';
import { Translator } from './translator/translator.ts';
import { CpuState } from './cpu-state.ts';
import { addressText, ProfileWriter } from './profile.ts';
import { completeSegmentOperation } from './segmentation.ts';
import type { Siblings } from './siblings.ts';
import { Op, Region, S } from './state-layout.ts';

/** Signed linear address; canonical addresses are exact in a double. */
export type Vaddr = number;

/** What the generated module exports. */
interface Exports {
  run(vcpu: number): number;
  runOp(vcpu: number, op: number): number;
  translateNumber(vcpu: number, va: number, access: number): number;
  flushSpace(vcpu: number, space: number): void;
  flushPage(vcpu: number, space: number, va: number): void;
  protectFrame(vcpu: number, page: number): void;
  protectSpace(vcpu: number, space: number): void;
  dropFrames(vcpu: number, space: number, bits: number): void;
  takeOver(vcpu: number, space: number, set: number): void;
  forgetJumps(vcpu: number, space: number): void;
  settleStores(vcpu: number): void;
  yieldHeld(vcpu: number): void;
  readFlags(vcpu: number): number;
  writeFlags(vcpu: number, image: number): void;
}

/** `check` compares what the translator and the interpreter do. `eager` translates everything at once, for tests. */
export type Engine = 'interpreter' | 'translator' | 'eager' | 'check';

export interface ProcessorOptions {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly set: InstructionSet;
  /** Byte address of the CPU region of this vCPU, 4 KiB aligned; `cpuRegionSize` bytes. */
  readonly regionAt: number;
  readonly framesAt: number;
  readonly frameCount: number;
  /** What the region holds is right: nothing, as in a new memory, or what a processor has left in the memory that this one is a copy of. */
  readonly adopts?: boolean;
  /** The others of the same memory, if there are any. */
  readonly siblings?: Siblings | undefined;
  /** Nanoseconds of guest time: what RDTSC counts. The TSC runs at 1 GHz on every host. */
  readonly now: () => number;
  /** What executes hot code; the interpreter does the rest in any case. */
  readonly engine?: Engine;
  readonly check?: CheckOptions;
  /** Where hot code is compiled; on the processor's own thread by default. */
  readonly compiler?: RegionCompiler;
  /** 32 random bits: what RDRAND and RDSEED give. */
  readonly random: () => number;
}

/** For the engine `check`. */
export interface CheckOptions {
  /** How often each region is checked: at every so manieth run, in place of ever more seldom. */
  readonly every?: number;
  /** Everything is translated at once. */
  readonly eager?: boolean;
}

/** How often a slice ends at a block before it is translated. */
const HOT_SAMPLES = 8;
const MAX_SAMPLES = 65536;
/** Instructions in a slice: few while what runs is interpreted, so that hot code is found soon; many when it is not. */
const SLICE = { least: 8_000, most: 50_000 } as const;

/** Operations in a block at most; a longer run of instructions continues in another block. */
const BLOCK_LIMIT = 64;
const BLOCK_ROOM = (2 * BLOCK_LIMIT + 4) * Op.size;

/**
 * One virtual processor. `run` executes guest code until something needs the hypervisor. JavaScript decodes blocks that are met for the first time
 * and does the rare work at exits; guest code itself executes in WebAssembly only.
 */
export class Processor {
  readonly state: CpuState;
  readonly #exports: Exports;
  readonly #imports: WebAssembly.ModuleImports;
  /** Where a hook is kept in the state → its index in the table. */
  readonly #hooks = new Map<number, number>();
  readonly #decoder: Decoder;
  readonly #set: InstructionSet;
  readonly #translator: Translator | undefined;
  readonly #eager: boolean;
  readonly #checker: Checker | undefined;
  #slice: number = SLICE.least;
  /** Instructions to the end of the slice, however often the guest is left meanwhile. */
  #untilSample: number = SLICE.least;
  /** Operation → how often a slice ended there. */
  readonly #samples = new Map<number, number>();
  readonly #cache: CodeCache;
  readonly #spaces: AddressSpaces;
  readonly #profile: ProfileWriter;
  readonly memory: DataView;
  readonly #bytes: Uint8Array;
  readonly regionAt: number;
  readonly #framesAt: number;
  readonly #frameCount: number;
  readonly #handlers: { next: number; cross: number; stop: number };
  readonly #window = new Uint8Array(32);
  readonly #siblings: Siblings | undefined;
  /** With siblings, what is decoded is a copy of the page. */
  readonly #copy: Uint8Array | undefined;

  constructor(o: ProcessorOptions) {
    const { buffer } = o.memory;
    this.memory = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.regionAt = o.regionAt;
    this.#framesAt = o.framesAt;
    this.#frameCount = o.frameCount;
    this.#handlers = { next: o.set.handler('(next)'), cross: o.set.handler('(cross)'), stop: o.set.handler('(stop)') };
    this.#cache = new CodeCache(buffer, o.regionAt, o.framesAt, {
      stale: o.set.handler('(stale)'),
      cross: this.#handlers.cross,
      count: o.set.handlers.length,
    });
    this.#decoder = new Decoder(o.set);
    this.#set = o.set;
    this.#siblings = o.siblings;
    const engine = o.engine ?? 'interpreter';
    const tape = new Tape();
    const imports = {
      memory: o.memory,
      codeWritten: (host: number, length: number) => this.#cache.written(host >>> 0, length >>> 0),
      codeWrittenElsewhere: (host: number, length: number) => o.siblings?.codeWritten(host >>> 0, length >>> 0),
      now: engine === 'check' ? () => tape.read(o.now) : o.now,
      random: engine === 'check' ? () => tape.read(o.random) : o.random,
    };
    const instance = new WebAssembly.Instance(o.module, { env: imports });
    this.#exports = instance.exports as unknown as Exports;
    this.#imports = { ...imports, ...(instance.exports as WebAssembly.ModuleImports) };
    this.#eager = engine === 'eager' || (engine === 'check' && o.check?.eager === true);
    const gates = engine === 'check' ? new GateKeeper(o.memory, o.regionAt, o.check?.every) : undefined;
    if (engine !== 'interpreter')
      this.#translator = new Translator({
        set: o.set,
        compiler: o.compiler ?? new InlineCompiler(o.set),
        memory: this.memory,
        keptAt: o.regionAt + Region.keptAt,
        cache: this.#cache,
        exports: instance.exports,
        imports,
        gates,
      });
    this.#cache.onCleared = () => {
      this.#translator?.clear();
      this.#samples.clear();
    };
    this.state = new CpuState(buffer, o.regionAt, this.#exports);
    if (gates)
      this.#checker = new Checker(this.#checked(), gates, tape, instance.exports['handlers'] as WebAssembly.Table);
    this.memory.setUint32(this.regionAt + S.framesAt, o.framesAt, true);
    this.memory.setUint32(this.regionAt + S.frameCount, o.frameCount, true);
    this.memory.setUint32(this.regionAt + S.codeMaskAt, o.regionAt + Region.codeMaskAt, true);
    this.memory.setInt32(this.regionAt + S.writableFrame, -1, true);
    const firstAt = o.siblings ? o.siblings.masksAt - Region.codeMaskAt : o.regionAt;
    this.memory.setUint32(this.regionAt + S.busLockAt, firstAt + S.busLock, true);
    if (o.siblings) {
      const { masksAt, stride, count } = o.siblings;
      this.#copy = new Uint8Array(4096);
      this.memory.setUint32(this.regionAt + S.siblingMasks, masksAt, true);
      this.memory.setUint32(this.regionAt + S.siblingMasksEnd, masksAt + stride * count, true);
      this.memory.setUint32(this.regionAt + S.siblingStride, stride, true);
    }
    if (o.adopts) this.#cache.adopt();
    else this.#cache.clear();
    this.#profile = new ProfileWriter(buffer, o.regionAt + Region.profileAt);
    this.#spaces = new AddressSpaces(this.memory, o.regionAt, o, this.#exports);
    this.setSpace(0);
    this.flushTlb();
    this.state.reset();
  }

  #checked(): CheckedProcessor {
    const { memory, regionAt, state } = this;
    return {
      memory,
      regionAt,
      state,
      step: () => this.#stepOnce(),
      runOp: (op) => {
        this.#setHooks(false);
        const exit = this.#exports.runOp(regionAt, op) as Exit;
        this.#setHooks(true);
        return exit;
      },
      codeAt: (va) => this.#fetch(va),
      completeSegment: () => completeSegmentOperation(this) as Exit,
    };
  }

  /** Executes at most about `budget` instructions. */
  run(budget: number): Exit {
    if (this.state.trapFlag) return this.#singleStep();
    this.#separateModes();
    for (let left = budget; ;) {
      const slice = Math.max(1, Math.min(left, this.#untilSample, this.#profile.untilSample));
      this.memory.setInt32(this.regionAt + S.budget, slice, true);
      const exit = this.#run(() => this.#exports.run(this.regionAt));
      const done = slice - this.memory.getInt32(this.regionAt + S.budget, true);
      this.state.instructionsRetired += done;
      left -= done;
      this.#untilSample -= done;
      this.#profile.retired(done);
      if (exit !== Exit.Budget) return exit;
      if (this.#profile.isDue) this.#profiled();
      if (this.#untilSample <= 0) {
        this.#sample();
        this.#untilSample = this.#slice;
      }
      // A long string instruction comes out with some of its budget left, for the hypervisor to look at what is pending.
      if (left <= 0 || done < slice) return exit;
    }
  }

  /** Checks so far, by the engine that checks. */
  get checks(): number {
    return this.#checker?.checks ?? 0;
  }

  /** Notes where the guest is, and how the translator stands. */
  #profiled(): void {
    const { rip } = this.state;
    const host = this.#fetch(rip);
    const op = host === 0 ? 0 : this.#cache.find(host, this.state.mode);
    const translator = this.#translator;
    this.#profile.sample(rip, { translated: translator?.covers(op) === true, user: this.space === 1 });
    if (translator) this.#profile.translator(translator);
  }

  /** Executes exactly one instruction (a repeated string instruction counts as one). `Exit.Budget` means that it completed. */
  step(): Exit {
    return this.#step();
  }

  #step(decoded?: () => void): Exit {
    this.memory.setInt32(this.regionAt + S.budget, 1, true);
    this.state.instructionsRetired += 1;
    return this.#stepOnce(decoded);
  }

  /** @param known called when the instruction is decoded and has not been executed yet */
  #stepOnce(known?: () => void): Exit {
    const host = this.#fetch(this.state.rip);
    if (host === 0) return Exit.Exception;
    const off = this.state.ripLow & 4095;
    const decoded = this.#decodeAt(host, off, this.state.rip);
    if (!decoded) return Exit.Exception;
    known?.();
    // What happens here is for the caller to see.
    this.#setHooks(false);
    const at = this.regionAt + S.scratchOps;
    const end = at + this.#decoder.decoded.writeTo(this.memory, at, off, 1);
    this.memory.setUint32(end + Op.handler, this.#handlers.stop, true);
    // Offset 4096 and more is right: it is relative to the page the instruction began in.
    this.memory.setUint16(end + Op.off, off + decoded.length, true);
    this.state.copyPageOfRip();
    let exit = this.#exports.runOp(this.regionAt, at);
    if (this.#siblings) this.#exports.settleStores(this.regionAt);
    this.#setHooks(true);
    if (exit === Exit.Segment) {
      exit = completeSegmentOperation(this);
      if (exit === Exit.Segment) exit = Exit.Budget;
    }
    // A jump that finds nothing decoded at its target has completed all the same.
    return (exit === Exit.Decode || exit === Exit.Interrupt ? Exit.Budget : exit) as Exit;
  }

  /**
   * One instruction that may write frame `mfn` although its mapping is read-only.
   * @param before called before it is executed, with the bytes that it stores at most, from the first one on
   */
  stepWithWritableFrame(mfn: number, before?: (bytes: number) => void): Exit {
    this.memory.setInt32(this.regionAt + S.writableFrame, mfn, true);
    const exit = this.#step(before && (() => before(this.#storedAtMost())));
    this.memory.setInt32(this.regionAt + S.writableFrame, -1, true);
    return exit;
  }

  /** Of the instruction decoded last: its memory operand, or a page where that has no size or the instruction repeats itself. */
  #storedAtMost(): number {
    const handler = this.#set.handlers[this.#decoder.decoded.handler];
    const bits = handler?.operands.find(({ kind }) => kind === 'm')?.bits ?? 0;
    return bits === 0 || handler?.variant.rep !== 'none' ? 4096 : bits / 8;
  }

  /** With TF set every instruction ends in a debug trap (SDM Vol. 3B, "Single-Step Exception Condition"). */
  #singleStep(): Exit {
    const exit = this.step();
    if (exit !== Exit.Budget) return exit;
    this.state.setException(Vector.DB);
    return Exit.Exception;
  }

  /** From now on the module's functions run in the place of the exits that they are named after, see hooks.ts. */
  installHooks(module: WebAssembly.Module): void {
    const { exports } = new WebAssembly.Instance(module, { env: this.#imports });
    const table = this.#imports['handlers'] as WebAssembly.Table;
    for (const [name, at] of Object.entries(hookExports)) {
      const hook = exports[name];
      if (hook !== undefined) this.#hooks.set(at, table.grow(1, hook));
    }
    this.#setHooks(true);
  }

  #setHooks(active: boolean): void {
    for (const [at, index] of this.#hooks) this.memory.setUint32(this.regionAt + at, active ? index : 0, true);
  }

  setSpace(index: 0 | 1): void {
    this.#spaces.activate(index);
  }

  get space(): 0 | 1 {
    return this.memory.getUint32(this.regionAt + S.space, true) === 0 ? 0 : 1;
  }

  /**
   * Sets the top page table of a view; frame -1 for none. Translations are kept while the view has other tables, and `tables` tells which of them are wrong by the time
   * it has these again. Without it they are dropped.
   */
  setRoot(index: 0 | 1, mfn: number, tables?: TableChanges): void {
    const host = mfn < 0 || mfn >= this.#frameCount ? 0 : this.#framesAt + mfn * 4096;
    this.memory.setUint32(this.regionAt + S.root + index * 4, host, true);
    this.#spaces.load(index, host === 0 ? -1 : mfn, tables);
  }

  /** Drops the translations that changes of page tables have made wrong. */
  refreshTlb(tables: TableChanges): void {
    this.#spaces.refresh(tables);
  }

  flushTlb(): void {
    this.#spaces.flush();
  }

  #protect(page: number): void {
    this.#exports.protectFrame(this.regionAt, page);
    this.#spaces.frameProtected();
  }

  flushPage(va: Vaddr): void {
    this.#exports.flushPage(this.regionAt, 0, va);
    this.#exports.flushPage(this.regionAt, 1, va);
  }

  /** Host byte address of `va` in the active view, or 0: then vector, errorCode and faultAddress tell why. */
  translate(va: Vaddr, access: keyof typeof Access): number {
    return this.#exports.translateNumber(this.regionAt, va, Access[access]) >>> 0;
  }

  copyFromGuest(va: Vaddr, length: number): Uint8Array | undefined {
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const host = this.translate(va + done, 'read');
      if (host === 0) return undefined;
      const piece = Math.min(length - done, 4096 - ((host - this.#framesAt) & 4095));
      out.set(this.#bytes.subarray(host, host + piece), done);
      done += piece;
    }
    return out;
  }

  copyToGuest(va: Vaddr, bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length;) {
      const host = this.translate(va + done, 'write');
      if (host === 0) return false;
      const piece = Math.min(bytes.length - done, 4096 - ((host - this.#framesAt) & 4095));
      this.#bytes.set(bytes.subarray(done, done + piece), host);
      this.#written(host, piece);
      done += piece;
    }
    return true;
  }

  /** To be called when anything but guest code wrote into a frame that may hold code. */
  frameWritten(mfn: number, offset: number, length: number): void {
    this.#written(this.#framesAt + mfn * 4096 + offset, length);
  }

  /** Others have decoded from pages that none of them had decoded from before, see siblings.ts. */
  yieldHeld(): void {
    this.#exports.yieldHeld(this.regionAt);
    this.#spaces.frameProtected();
  }

  /** What a sibling's `codeWritten` told of. */
  codeChanged(host: number, length: number): void {
    this.#cache.written(host, length);
  }

  #separateModes(): void {
    this.#spaces.setMode(this.space, this.state.mode);
  }

  /** Counts an instruction that JavaScript completed, as far jumps alone make a loop; true when it was the last of the budget. */
  #spend(): boolean {
    const left = this.memory.getInt32(this.regionAt + S.budget, true) - 1;
    this.memory.setInt32(this.regionAt + S.budget, left, true);
    return left <= 0;
  }

  #written(host: number, length: number): void {
    this.#cache.written(host, length);
    this.#siblings?.codeWritten(host, length);
  }

  /** A slice ended here: code that this happens to again and again is hot. */
  #sample(): void {
    const translator = this.#translator;
    if (!translator) return;
    translator.install();
    const host = this.#fetch(this.state.rip);
    const op = host === 0 ? 0 : this.#cache.find(host, this.state.mode);
    if (op === 0) return;
    if (translator.has(op)) {
      this.#slice = Math.min(this.#slice * 2, SLICE.most);
      return;
    }
    this.#slice = SLICE.least;
    const seen = (this.#samples.get(op) ?? 0) + 1;
    if (seen < HOT_SAMPLES || !this.#translate(op, this.state.rip)) this.#samples.set(op, seen);
    else this.#samples.delete(op);
    if (this.#samples.size > MAX_SAMPLES) this.#samples.clear();
  }

  /** Translates the region that begins at a linear address, which is that of a block. */
  #translate(op: number, va: Vaddr): boolean {
    const { mode } = this.state;
    const off = this.memory.getUint16(op + Op.off, true);
    const page = va - off;
    const frameAt = (offset: number): number => {
      const host = this.#fetch(page + offset);
      return host === 0 ? 0 : host - ((host - this.#framesAt) & 4095);
    };
    const blockAt = (at: number): number => {
      const host = this.#fetch(page + at);
      return host === 0 ? 0 : this.#cache.find(host, mode);
    };
    return this.#translator?.request(op, { name: addressText(va), mode, blockAt, frameAt }, off) ?? true;
  }

  #run(start: () => number): Exit {
    let exit = start();
    for (;;) {
      if (this.#siblings) this.#exports.settleStores(this.regionAt);
      this.#profile.exit(exit);
      if (exit === Exit.Decode) {
        if (!this.#decodeBlock()) return Exit.Exception;
      } else if (exit === Exit.Step) {
        // A budget of one keeps a call's target from being run at once.
        const left = this.memory.getInt32(this.regionAt + S.budget, true);
        this.memory.setInt32(this.regionAt + S.budget, 1, true);
        const after = this.#stepOnce();
        this.memory.setInt32(this.regionAt + S.budget, left, true);
        if (after !== Exit.Budget || this.#spend()) return after;
      } else if (exit === Exit.Segment) {
        const after = completeSegmentOperation(this);
        if (after !== Exit.Segment) return after as Exit;
        this.#separateModes();
        if (this.#spend()) return Exit.Budget;
      } else if (exit === Exit.Check) this.#checker?.check();
      else return exit as Exit;
      exit = this.#exports.run(this.regionAt);
    }
  }

  #fetch(va: Vaddr): number {
    return this.translate(va, 'execute');
  }

  /** Decodes the instruction at host address `host` (offset `off` of its page), fetching from the next page when needed; undefined on a fault. */
  #decodeAt(host: number, off: number, rip: Vaddr): { length: number; second: number } | undefined {
    const { mode } = this.state;
    const pageEnd = host - off + 4096;
    const d = this.#decoder.decode(this.#bytes, host, pageEnd, mode);
    if (!d.truncated) return { length: d.length, second: 0 };
    const inFirst = pageEnd - host;
    const second = this.#fetch(rip + inFirst);
    if (second === 0) return undefined;
    this.#window.set(this.#bytes.subarray(host, pageEnd));
    this.#window.set(this.#bytes.subarray(second, second + MAX_LENGTH), inFirst);
    this.#decoder.decode(this.#window, 0, this.#window.length, mode);
    return { length: this.#decoder.decoded.length, second };
  }

  #decodeBlock(): boolean {
    const rip = this.state.rip;
    const host = this.#fetch(rip);
    if (host === 0) return false;
    let op: number | 'changed' | 'fault';
    do op = this.#decodeFrom(host, rip);
    while (op === 'changed');
    if (op === 'fault') return false;
    if (this.#eager) {
      this.#translate(op, rip);
      this.#translator?.install();
    }
    return true;
  }

  /** @returns the first operation of a new block, or that a sibling has changed the code meanwhile */
  #decodeFrom(host: number, rip: Vaddr): number | 'changed' | 'fault' {
    const { mode } = this.state;
    const start = this.#cache.reserve(BLOCK_ROOM);
    const pageEnd = host - ((host - this.#framesAt) & 4095) + 4096;
    const firstOff = 4096 - (pageEnd - host);
    const { bytes, page } = this.#codeAt(host, pageEnd);
    let off = firstOff;
    let to = start;
    let count = 0;
    let second = 0;
    for (;;) {
      if (off >= 4096 || count >= BLOCK_LIMIT || second !== 0) {
        to += this.#writeNext(to, off, count);
        break;
      }
      const d = this.#decoder.decode(bytes, page + off, page + 4096, mode);
      if (d.truncated) {
        if (count > 0) {
          to += this.#writeNext(to, off, count);
          break;
        }
        const whole = this.#decodeAt(host, off, rip);
        if (!whole) return 'fault';
        second = whole.second;
        if (second === 0) return 'changed';
        this.memory.setUint32(to + Op.handler, this.#handlers.cross, true);
        this.memory.setUint16(to + Op.off, off, true);
        this.memory.setUint32(to + Op.imm, second, true);
        to += Op.size;
      }
      count++;
      to += this.#decoder.decoded.writeTo(this.memory, to, off, count);
      off += d.length;
      if (d.ends) break;
    }
    const pieces: [number, number][] =
      second === 0
        ? [[host, host + off - firstOff - 1]]
        : [
            [host, pageEnd - 1],
            [second, second + off - 4097],
          ];
    const fresh = this.#cache.add(host, mode, start, to, pieces);
    for (const one of fresh) this.#protect(one);
    const siblings = this.#siblings;
    if (siblings) {
      if (fresh.length > 0) siblings.codeHeld();
      if (!this.#standStill(pieces, second === 0 ? bytes.subarray(page + firstOff) : this.#window)) {
        this.#cache.written(host, 1);
        return 'changed';
      }
    }
    return start;
  }

  /** Where the bytes of a page are decoded from, and at which place in them the page begins. With siblings it is a copy of what follows `host`. */
  #codeAt(host: number, pageEnd: number): { bytes: Uint8Array; page: number } {
    const copy = this.#copy;
    if (!copy) return { bytes: this.#bytes, page: pageEnd - 4096 };
    copy.set(this.#bytes.subarray(host, pageEnd), 4096 - (pageEnd - host));
    return { bytes: copy, page: 0 };
  }

  /** Whether pieces of memory still have the bytes that were decoded, now that the masks tell the siblings of them. */
  #standStill(pieces: readonly (readonly [first: number, last: number])[], decoded: Uint8Array): boolean {
    // Orders what was stored before with what is loaded from here on.
    this.#exports.settleStores(this.regionAt);
    let at = 0;
    for (const [first, last] of pieces)
      for (let host = first; host <= last; host++) if (this.#bytes[host] !== decoded[at++]) return false;
    return true;
  }

  #writeNext(at: number, off: number, count: number): number {
    this.memory.setUint32(at + Op.handler, this.#handlers.next, true);
    this.memory.setUint16(at + Op.off, off, true);
    this.memory.setUint16(at + Op.c, count, true);
    this.memory.setInt32(at + Op.disp, 0, true);
    this.memory.setInt32(at + Op.imm, off, true);
    this.memory.setInt32(at + Op.imm + 4, 0, true);
    return Op.size;
  }
}
