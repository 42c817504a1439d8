import { cpuRegionSize, type Engine, Processor, processorModule } from '../index.ts';
import type { CheckOptions } from '../processor.ts';
import { frameBitsAt, Region } from '../state-layout.ts';

export const REGION_AT = 65536;
const FRAMES = 64;

/** Where programs and data go. */
export const CODE = 0x400000;
export const DATA = 0x402000;
/** Frames behind the first code and data pages. */
export const CODE_FRAME = 16;
export const DATA_FRAME = 18;
const FLAGS = 7; // present, writable, user

/** A processor with 64 frames; pages 0x400000… map frames 16…31 one by one, in both views. */
export class Machine {
  readonly memory: WebAssembly.Memory;
  readonly processor: Processor;
  readonly view: DataView;
  readonly framesAt: number;
  now = 0;

  /** `parent`: whose frames it has copies of, with what was decoded from them. */
  constructor(engine: Engine = 'interpreter', check: CheckOptions = {}, parent?: Machine) {
    this.framesAt = REGION_AT + cpuRegionSize(FRAMES);
    const pages = Math.ceil((this.framesAt + FRAMES * 4096) / 65536);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.view = new DataView(this.memory.buffer);
    const copy = (from: number, end: number): void => {
      if (parent) new Uint8Array(this.memory.buffer).set(new Uint8Array(parent.memory.buffer, from, end - from), from);
    };
    copy(REGION_AT + Region.keptAt, REGION_AT + Region.opsEnd);
    copy(REGION_AT + Region.codeMaskAt, REGION_AT + frameBitsAt(FRAMES));
    copy(this.framesAt, this.framesAt + FRAMES * 4096);
    this.processor = new Processor({
      engine,
      check,
      memory: this.memory,
      module: processorModule(),
      regionAt: REGION_AT,
      framesAt: this.framesAt,
      frameCount: FRAMES,
      adopts: true,
      now: () => this.now,
      random: () => 0x5eed,
    });
    this.entry(1, 0, 2, FLAGS);
    this.entry(2, 0, 3, FLAGS);
    this.entry(3, 2, 4, FLAGS);
    for (let page = 0; page < 16; page++) this.map(page, 16 + page);
    this.processor.setRoot(0, 1);
    this.processor.setRoot(1, 1);
    this.processor.state.rip = CODE;
  }

  /** Writes a page-table entry. */
  entry(table: number, index: number, frame: number, flags: number, high = 0): void {
    const at = this.framesAt + table * 4096 + index * 8;
    this.view.setUint32(at, frame * 4096 + flags, true);
    this.view.setUint32(at + 4, high, true);
  }

  entryOf(table: number, index: number): number {
    return this.view.getUint32(this.framesAt + table * 4096 + index * 8, true);
  }

  /** Maps page `page` of 0x400000… */
  map(page: number, frame: number, flags: number = FLAGS, high = 0): void {
    this.entry(4, page, frame, flags, high);
  }

  frameAt(frame: number): number {
    return this.framesAt + frame * 4096;
  }

  /** Puts hexadecimal code bytes at an offset of a frame. */
  code(hex: string, offset = 0, frame = CODE_FRAME): void {
    const bytes = hex
      .split(/\s+/)
      .filter(Boolean)
      .map((b) => parseInt(b, 16));
    new Uint8Array(this.memory.buffer).set(bytes, this.frameAt(frame) + offset);
  }
}
