import { cpuRegionSize, type Engine, Exit, Processor, processorModule } from '../index.ts';
import { type Case, normalise, type Outcome, type Piece, Stop } from './case-codec.ts';
import { CODE, IMAGE_SIZE, Mode, pristineImage, type Region, REGIONS } from './layout.ts';
import { MachineState } from './machine-state.ts';

const PAGE = 4096;
const REGION_AT = 0x1_0000;
/** Frames: tables first, then the GDT, the code and the data image. */
const TABLES = 32;
const GDT_FRAME = TABLES;
const CODE_FRAME = GDT_FRAME + 1;
const IMAGE_FRAME = CODE_FRAME + CODE.size / PAGE;
const FRAMES = IMAGE_FRAME + IMAGE_SIZE / PAGE;

/** Page-table entry bits (SDM Vol. 3A, "4-Level Paging"). */
const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const NO_EXECUTE_HIGH = 0x8000_0000;

/** Runs of an endless loop before it is called one. */
const PATIENCE = 4;
const BUDGET = 100_000;

/** Our processor in a small memory with the harness's address space. */
export class OurProcessor {
  readonly #processor: Processor;
  readonly #view: DataView;
  readonly #framesAt: number;
  readonly #image: Uint8Array;
  readonly #code: Uint8Array;
  readonly #pristine = pristineImage();
  readonly #before: Uint8Array;
  readonly #filler = new Uint8Array(CODE.size).fill(0xcc);
  #nextTable = 1;

  constructor() {
    this.#framesAt = (REGION_AT + cpuRegionSize(FRAMES) + PAGE - 1) & ~(PAGE - 1);
    const pages = Math.ceil((this.#framesAt + FRAMES * PAGE) / 0x1_0000);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#view = new DataView(memory.buffer);
    this.#processor = new Processor({
      memory,
      module: processorModule(),
      regionAt: REGION_AT,
      framesAt: this.#framesAt,
      frameCount: FRAMES,
      engine: (process.env['XENOLITH_ENGINE'] ?? 'interpreter') as Engine,
      now: () => 0,
      random: () => 0x5eed,
    });
    this.#image = new Uint8Array(memory.buffer, this.#framesAt + IMAGE_FRAME * PAGE, IMAGE_SIZE);
    this.#code = new Uint8Array(memory.buffer, this.#framesAt + CODE_FRAME * PAGE, CODE.size);
    this.#before = this.#pristine.slice();
    this.#image.set(this.#pristine);
    this.#code.fill(0xcc);
    for (let at = 0; at < CODE.size; at += PAGE) this.#map(CODE.at + at, CODE_FRAME + at / PAGE, true, true);
    for (const r of REGIONS as readonly Region[])
      for (let at = 0; at < r.size; at += PAGE)
        this.#map(r.at + at, IMAGE_FRAME + (r.image + at) / PAGE, r.writable, false);
    this.#processor.setRoot(0, 0);
    this.#processor.setRoot(1, 0);
    this.#processor.setSpace(1);
    this.#writeGdt();
  }

  #entry(table: number, index: number): number {
    return this.#framesAt + table * PAGE + index * 8;
  }

  #map(va: number, frame: number, writable: boolean, executable: boolean): void {
    let table = 0;
    for (let level = 3; level > 0; level--) {
      const at = this.#entry(table, Math.floor(va / 2 ** (12 + 9 * level)) % 512);
      const low = this.#view.getUint32(at, true);
      if ((low & PRESENT) !== 0) table = low >>> 12;
      else {
        table = this.#nextTable++;
        if (table >= TABLES) throw new Error('out of page tables');
        this.#view.setUint32(at, table * PAGE + (PRESENT | WRITABLE | USER), true);
      }
    }
    const at = this.#entry(table, Math.floor(va / PAGE) % 512);
    this.#view.setUint32(at, frame * PAGE + (PRESENT | USER | (writable ? WRITABLE : 0)), true);
    this.#view.setUint32(at + 4, executable ? 0 : NO_EXECUTE_HIGH, true);
  }

  /** The user segments of the system under the harness (SDM Vol. 3A, "Segment Descriptors"). */
  #writeGdt(): void {
    const at = this.#framesAt + GDT_FRAME * PAGE;
    const descriptor = (selector: number, high: number): void => {
      this.#view.setUint32(at + (selector & ~7), 0xffff, true);
      this.#view.setUint32(at + (selector & ~7) + 4, high, true);
    };
    descriptor(0x23, 0x00cf_fb00); // 32-bit code, DPL 3
    descriptor(0x2b, 0x00cf_f300); // data, DPL 3
    descriptor(0x33, 0x00af_fb00); // 64-bit code, DPL 3
    descriptor(0x10, 0x00af_9b00); // kernel code and data: their privilege refuses us
    descriptor(0x18, 0x00cf_9300);
    descriptor(0x08, 0x00cf_9b00);
    this.#processor.state.setGdtPage(0, at);
    this.#processor.state.gdtLimit = 127;
  }

  run(cases: readonly Case[]): Outcome[] {
    return cases.map((c) => this.runOne(c));
  }

  runOne(c: Case): Outcome {
    const at = Number(c.before.rip) - CODE.at;
    this.#code.set(c.code, at);
    this.#wroteCode(at, c.code.length);
    for (const p of c.patches) {
      this.#image.set(p.bytes, p.at);
      this.#before.set(p.bytes, p.at);
    }
    this.#load(c);
    const exit = this.#execute();
    const outcome = this.#outcome(c, exit);
    for (const p of c.patches) {
      this.#image.set(this.#pristine.subarray(p.at, p.at + p.bytes.length), p.at);
      this.#before.set(this.#pristine.subarray(p.at, p.at + p.bytes.length), p.at);
    }
    this.#code.fill(0xcc, at, at + c.code.length);
    this.#wroteCode(at, c.code.length);
    if (Buffer.compare(this.#code, this.#filler) !== 0) {
      // The case wrote into the code region.
      this.#code.set(this.#filler);
      this.#wroteCode(0, CODE.size);
    }
    return normalise(c, outcome);
  }

  #wroteCode(at: number, length: number): void {
    for (let from = at; from < at + length;) {
      const end = Math.min(at + length, (Math.floor(from / PAGE) + 1) * PAGE);
      this.#processor.frameWritten(CODE_FRAME + Math.floor(from / PAGE), from % PAGE, end - from);
      from = end;
    }
  }

  #load(c: Case): void {
    const { state } = this.#processor;
    const { before } = c;
    const v = before.view;
    for (let i = 0; i < 16; i++) state.setLoHi(i, v.getUint32(8 * i, true), v.getUint32(8 * i + 4, true));
    state.rflags = before.rflags;
    state.rip = Number(before.rip);
    for (let i = 0; i < 6; i++) state.setSelector(i, before.selector(i));
    state.setSegmentBaseLoHi(4, v.getUint32(144, true), v.getUint32(148, true));
    state.setSegmentBaseLoHi(5, v.getUint32(152, true), v.getUint32(156, true));
    state.long64 = c.mode === Mode.long64;
    state.fsGsBaseEnabled = true;
    state.taskSwitched = false;
    state.exitRequest = 0;
    state.loadFpu(v, 176);
  }

  #execute(): Exit | undefined {
    for (let i = 0; i < PATIENCE; i++) {
      const exit = this.#processor.run(BUDGET);
      if (exit !== Exit.Budget && exit !== Exit.Interrupt) return exit;
    }
    return undefined;
  }

  #outcome(c: Case, exit: Exit | undefined): Outcome {
    const { state } = this.#processor;
    const after = new MachineState();
    for (let i = 0; i < 16; i++) {
      after.view.setUint32(8 * i, state.lo(i), true);
      after.view.setUint32(8 * i + 4, state.hi(i), true);
    }
    after.rflags = state.rflags;
    after.view.setUint32(136, state.ripLow, true);
    after.view.setUint32(140, state.ripHigh, true);
    after.fsBase = BigInt.asUintN(64, BigInt(state.fsBase));
    after.gsBase = BigInt.asUintN(64, BigInt(state.gsBase));
    for (let i = 0; i < 6; i++) after.setSelector(i, state.selector(i));
    state.saveFpu(after.view, 176);
    const changes = this.#changes();
    const trap = (vector: number, errorCode: number, faultAddress = 0n): Outcome => ({
      stop: Stop.trap,
      trap: vector,
      errorCode,
      faultAddress,
      after,
      changes,
    });
    switch (exit) {
      case undefined:
        return { stop: Stop.timeout, trap: 0, errorCode: 0, faultAddress: 0n, after, changes };
      case Exit.Exception: {
        const address = (BigInt(state.faultAddressHigh) << 32n) | BigInt(state.faultAddressLow);
        return trap(state.vector, state.hasErrorCode ? state.errorCode : 0, address);
      }
      case Exit.Privileged:
        // What the hypervisor does with it is its business; the processor alone would refuse.
        return trap(13, 0);
      case Exit.SoftwareInterrupt:
        // The gate's privilege refuses it (SDM Vol. 3A, "Error Code": IDT bit and vector).
        after.rip = c.before.rip;
        return trap(13, state.vector * 8 + 2);
      default:
        return trap(256 + exit, 0);
    }
  }

  /** What differs from before in words of eight bytes, like the harness tells it; undone at once. */
  #changes(): Piece[] {
    const changes: Piece[] = [];
    for (let page = 0; page < IMAGE_SIZE; page += PAGE) {
      if (Buffer.compare(this.#image.subarray(page, page + PAGE), this.#before.subarray(page, page + PAGE)) === 0)
        continue;
      for (let at = page; at < page + PAGE;) {
        const start = at;
        while (at < page + PAGE && !this.#sameWord(at)) at += 8;
        if (at > start) {
          changes.push({ at: start, bytes: this.#image.slice(start, at) });
          this.#image.set(this.#pristine.subarray(start, at), start);
        } else at += 8;
      }
    }
    return changes;
  }

  #sameWord(at: number): boolean {
    for (let i = at; i < at + 8; i++) if (this.#image[i] !== this.#before[i]) return false;
    return true;
  }
}
