import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cpuRegionSize, type Engine, Exit, Gpr, Processor, processorModule } from './index.ts';
import { Region } from './state-layout.ts';

const FRAMES = 64;
const PAGE = 4096;
const CODE = 0x400000;
const DATA = 0x402000;
const FIRST_FRAME = 16;

/** mov eax, n; hlt */
const answer = (n: number): number[] => [0xb8, n, 0, 0, 0, 0xf4];

/** Two processors of one memory; pages from 0x400000 on are mapped to frames from 16 on. What they tell each other waits until it is delivered. */
class Pair {
  readonly bytes: Uint8Array;
  readonly #framesAt: number;
  readonly processors: readonly Processor[];
  /** By processor: what it has told. */
  readonly held = [0, 0];
  readonly written: [host: number, length: number][][] = [[], []];

  constructor(engine: Engine) {
    const size = cpuRegionSize(FRAMES);
    const regions = [65536, 65536 + size] as const;
    this.#framesAt = 65536 + 2 * size;
    const pages = Math.ceil((this.#framesAt + FRAMES * PAGE) / 65536);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.bytes = new Uint8Array(memory.buffer);
    this.processors = regions.map(
      (regionAt, n) =>
        new Processor({
          engine,
          memory,
          module: processorModule(),
          regionAt,
          framesAt: this.#framesAt,
          frameCount: FRAMES,
          now: () => 0,
          random: () => 0,
          siblings: {
            masksAt: regions[0] + Region.codeMaskAt,
            stride: size,
            count: 2,
            codeHeld: () => (this.held[n] = (this.held[n] ?? 0) + 1),
            codeWritten: (host, length) => this.written[n]?.push([host, length]),
          },
        }),
    );
    this.#entry(1, 0, 2);
    this.#entry(2, 0, 3);
    this.#entry(3, 2, 4);
    for (let page = 0; page < 16; page++) this.#entry(4, page, FIRST_FRAME + page);
    for (const processor of this.processors) {
      processor.setRoot(0, 1);
      processor.setRoot(1, 1);
    }
  }

  #entry(table: number, index: number, frame: number): void {
    new DataView(this.bytes.buffer).setUint32(this.#framesAt + table * PAGE + index * 8, frame * PAGE + 7, true);
  }

  at(va: number): number {
    return this.#framesAt + FIRST_FRAME * PAGE + (va - 0x400000);
  }

  put(va: number, bytes: readonly number[]): void {
    this.bytes.set(bytes, this.at(va));
  }

  /** Runs from an address to the next HLT. */
  run(n: number, va: number): number {
    const processor = this.processors[n];
    assert.ok(processor);
    processor.state.rip = va;
    let exit: Exit;
    do {
      processor.state.exitRequest = 0;
      exit = processor.run(1000);
    } while (exit === Exit.Interrupt);
    assert.equal(exit, Exit.Privileged);
    return processor.state.num(Gpr.rax);
  }

  /** What each has told gets to the other one. */
  deliver(): void {
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ] as const) {
      if (this.held[from]) this.processors[to]?.yieldHeld();
      this.held[from] = 0;
    }
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ] as const)
      for (const [host, length] of this.written[from]?.splice(0) ?? []) this.processors[to]?.codeChanged(host, length);
  }
}

/** mov byte [va], value; hlt */
const storing = (va: number, value: number): number[] => [0xc6, 0x04, 0x25, ...le32(va), value, 0xf4];
/** mov word [va], value; hlt */
const storingWord = (va: number, value: number): number[] => [
  0x66,
  0xc7,
  0x04,
  0x25,
  ...le32(va),
  value & 0xff,
  value >> 8,
  0xf4,
];
const le32 = (n: number): number[] => [n & 0xff, (n >> 8) & 0xff, (n >> 16) & 0xff, (n >> 24) & 0xff];

for (const engine of ['interpreter', 'eager'] as const)
  describe(`siblings, ${engine}`, () => {
    it('a store to what the other one decoded is told when it is done', () => {
      const pair = new Pair(engine);
      pair.put(CODE, answer(1));
      pair.put(DATA, storing(CODE + 1, 2));
      assert.equal(pair.run(0, CODE), 1);
      assert.equal(pair.held[0], 1);
      pair.run(1, DATA);
      assert.equal(pair.bytes[pair.at(CODE + 1)], 2);
      assert.deepEqual(pair.written[1], [[pair.at(CODE + 1), 1]]);
      assert.deepEqual(pair.written[0], []);
      pair.deliver();
      assert.equal(pair.run(0, CODE), 2);
    });

    it('makes the writer come out soon', () => {
      const pair = new Pair(engine);
      pair.put(CODE, answer(1));
      // mov byte [CODE+1], 2; jmp $
      pair.put(DATA, [...storing(CODE + 1, 2).slice(0, -1), 0xeb, 0xfe]);
      pair.run(0, CODE);
      const [, writer] = pair.processors;
      assert.ok(writer);
      writer.state.rip = DATA;
      assert.equal(writer.run(100_000), Exit.Interrupt);
      assert.equal(pair.written[1]?.length, 1);
    });

    it('other bytes of the page are nobody’s concern, as long as they are not of the same 64', () => {
      const pair = new Pair(engine);
      pair.put(CODE, answer(1));
      pair.put(DATA, storing(CODE + 64, 2));
      pair.run(0, CODE);
      pair.run(1, DATA);
      assert.deepEqual(pair.written[1], []);
    });

    it('a page that the writer could write before it was decoded from counts as written', () => {
      const pair = new Pair(engine);
      pair.put(CODE, answer(1));
      pair.put(DATA, storing(CODE + 1, 2));
      pair.put(DATA + 64, storing(CODE + 1, 3));
      // The writer has its fast path by now.
      pair.run(1, DATA);
      assert.equal(pair.run(0, CODE), 2);
      assert.deepEqual(pair.written[1], []);
      pair.run(1, DATA + 64);
      assert.deepEqual(pair.written[1], [], 'nobody saw this store');
      assert.equal(pair.run(0, CODE), 2, 'stale, until the writer has heard of it');
      pair.deliver();
      assert.equal(pair.run(0, CODE), 3);
      // From now on stores are seen.
      pair.put(DATA + 128, storing(CODE + 1, 4));
      pair.run(1, DATA + 128);
      pair.deliver();
      assert.equal(pair.run(0, CODE), 4);
    });

    it('also in the TLB sets of address spaces that the writer comes back to', () => {
      const pair = new Pair(engine);
      const [, writer] = pair.processors;
      assert.ok(writer);
      pair.put(CODE, answer(1));
      pair.put(DATA, storing(CODE + 1, 2));
      const tables = { version: 1, since: () => true, frames: new Int32Array(0), count: 0 };
      writer.setRoot(0, 1, tables);
      pair.run(1, DATA);
      writer.setRoot(0, -1, tables);
      assert.equal(pair.run(0, CODE), 2);
      pair.deliver();
      writer.setRoot(0, 1, tables);
      pair.put(DATA + 64, storing(CODE + 1, 3));
      pair.run(1, DATA + 64);
      pair.deliver();
      assert.equal(pair.run(0, CODE), 3);
    });

    it('a store across pages tells of both', () => {
      const pair = new Pair(engine);
      const border = CODE + PAGE;
      // mov eax, imm32 with one byte of the immediate behind the border
      pair.put(border - 2, [0xb8, 1, 0, 0, 0, 0xf4]);
      pair.put(DATA, storingWord(border - 1, 0x0205));
      assert.equal(pair.run(0, border - 2), 1);
      pair.run(1, DATA);
      pair.deliver();
      assert.equal(pair.run(0, border - 2), 0x0205);
    });

    it('what JavaScript writes is told too', () => {
      const pair = new Pair(engine);
      pair.put(CODE, answer(1));
      pair.run(0, CODE);
      const [, writer] = pair.processors;
      assert.ok(writer?.copyToGuest(CODE, Uint8Array.from(answer(7))));
      pair.deliver();
      assert.equal(pair.run(0, CODE), 7);
    });

    it('one that has no code there writes fast again', () => {
      const pair = new Pair(engine);
      pair.put(CODE, answer(1));
      pair.put(DATA, storing(CODE + 1, 2));
      pair.run(0, CODE);
      pair.run(1, DATA);
      pair.deliver();
      pair.put(DATA + 64, storing(CODE + 1, 3));
      pair.run(1, DATA + 64);
      assert.deepEqual(pair.written[1], []);
    });
  });
