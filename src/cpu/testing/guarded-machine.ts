/** A processor whose memory ends everywhere in guard zones, and a way to put it into any state that code could meet. */
import assert from 'node:assert/strict';
import { Access, type Engine, Processor, S, cpuRegionSize, processorModule } from '../index.ts';
import type { Random } from '../oracle/random.ts';
import { JumpCache, Region, Tlb, View } from '../state-layout.ts';

const GUARD = 65536;
const FILL = 0xa5;
const FRAMES = 64;
const REGION_AT = GUARD;
/** Where the frames of the plain address space are mapped: sixteen pages, readable and writable unless it is mixed. */
const BASE = 0x400000;
const MAPPED = { first: 16, count: 16 } as const;
const FLAGS = 7; // present, writable, user
const TABLES = { l4: 1, l3: 2, l2: 3, l1: 4, wild: 5, wildCount: 8, gdt: 13 } as const;

/** What of the region no instruction may change. */
const CONSTANT = [S.framesAt, S.frameCount, S.codeMaskAt, S.zero, S.zero + 4] as const;

export class GuardedMachine {
  readonly processor: Processor;
  readonly code: Uint8Array;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #framesAt: number;
  readonly #guards: readonly Uint8Array[];
  readonly #guard = new Uint8Array(GUARD).fill(FILL);
  readonly #constants: readonly number[];

  constructor(random: Random, engine: Engine) {
    const framesAt = REGION_AT + cpuRegionSize(FRAMES) + GUARD;
    const end = framesAt + FRAMES * 4096;
    const pages = Math.ceil((end + GUARD) / 65536);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#framesAt = framesAt;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.processor = new Processor({
      memory,
      module: processorModule(),
      regionAt: REGION_AT,
      framesAt,
      frameCount: FRAMES,
      now: () => 1e9,
      engine,
      check: { eager: true },
      random: () => random.u32(),
    });
    this.#guards = [0, framesAt - GUARD, end].map((at) => this.#bytes.subarray(at, at + GUARD).fill(FILL));
    this.code = this.#bytes.subarray(this.#frame(MAPPED.first), this.#frame(MAPPED.first + MAPPED.count));
    this.#constants = this.#readConstants();
  }

  /** Address spaces, descriptor tables, registers: anything may be in them. Code goes to `rip` then. */
  scramble(random: Random): void {
    this.#scrambleTables(random);
    const { state } = this.processor;
    state.long64 = random.chance(0.7);
    this.processor.setSpace(random.chance(0.5) ? 0 : 1);
    for (let gpr = 0; gpr < 16; gpr++) this.#scrambleRegister(random, gpr);
    for (let segment = 0; segment < 6; segment++) {
      state.setSelector(segment, random.u32() & 0xffff);
      state.setSegmentBase(segment, random.chance(0.2) ? this.#address(random) : 0);
    }
    state.rip = this.#address(random, 0.95);
    if (!state.long64) state.rip = state.rip >>> 0;
    // Single-stepping only now and then: it shows each instruction as a turn of its own.
    state.rflags = random.u32() & (random.chance(0.05) ? 0x254fd5 : 0x254ed5);
    const image = new DataView(new ArrayBuffer(512));
    for (let at = 0; at < 512; at += 4) image.setUint32(at, random.chance(0.3) ? 0 : random.u32(), true);
    state.loadFpu(image, 0);
    // Masked exceptions let arithmetic go on.
    this.#view.setUint32(REGION_AT + S.mxcsr, random.chance(0.5) ? 0x1f80 : random.u32() & 0xffff, true);
    state.taskSwitched = random.chance(0.05);
    state.fsGsBaseEnabled = random.chance(0.8);
  }

  #scrambleRegister(random: Random, gpr: number): void {
    const { state } = this.processor;
    const kind = random.below(8);
    if (kind < 5) state.set(gpr, this.#address(random));
    else if (kind < 6) state.set(gpr, random.between(-64, 4200));
    else state.setLoHi(gpr, random.u32(), random.chance(0.5) ? 0 : random.u32());
  }

  #address(random: Random, inside = 0.8): number {
    if (random.chance(inside))
      return BASE + random.below(MAPPED.count) * 4096 + random.pick([0, 8, 0x100, 0xff8, 0xffd, random.below(4096)]);
    const edges = [
      0,
      -1,
      -8,
      0xffff_ffff,
      0xffff_fff0,
      0x1_0000_0000,
      0x7fff_ffff_fff8,
      0x8000_0000_0000,
      -0x8000_0000_0000,
      2 ** 62,
    ];
    return random.pick(edges) + random.between(-4, 4);
  }

  #scrambleTables(random: Random): void {
    const { processor } = this;
    for (const table of [TABLES.l4, TABLES.l3, TABLES.l2, TABLES.l1])
      this.#bytes.fill(0, this.#frame(table), this.#frame(table + 1));
    this.#entry(TABLES.l4, 0, TABLES.l3, FLAGS);
    this.#entry(TABLES.l3, 0, TABLES.l2, FLAGS);
    this.#entry(TABLES.l2, 2, TABLES.l1, FLAGS);
    const mixed = random.chance(0.3);
    for (let page = 0; page < MAPPED.count; page++) {
      const flags = mixed && random.chance(0.3) ? random.u32() & 0x1ff : FLAGS;
      this.#entry(
        TABLES.l1,
        page,
        MAPPED.first + (mixed ? random.below(MAPPED.count) : page),
        flags,
        mixed && random.chance(0.1) ? random.u32() : 0,
      );
    }
    const wild = random.chance(0.15);
    if (wild) this.#scrambleWildTables(random);
    const root = (): number =>
      wild ? random.pick([TABLES.wild + random.below(TABLES.wildCount), -1, FRAMES, 2 ** 20]) : TABLES.l4;
    processor.setRoot(0, wild && random.chance(0.3) ? TABLES.l4 : root());
    processor.setRoot(1, root());
    this.#scrambleDescriptors(random);
  }

  /** Tables that point to each other, to themselves and to frames that are not there. */
  #scrambleWildTables(random: Random): void {
    for (let table = TABLES.wild; table < TABLES.wild + TABLES.wildCount; table++) {
      for (let slot = 0; slot < 512; slot++) {
        const frame = random.chance(0.8) ? TABLES.wild + random.below(TABLES.wildCount) : random.below(FRAMES + 4);
        const high = random.chance(0.05) ? random.u32() : 0;
        this.#entry(table, slot, frame, (random.u32() & 0x1ff) | (random.chance(0.9) ? FLAGS : 0), high);
      }
    }
  }

  #scrambleDescriptors(random: Random): void {
    const { state } = this.processor;
    const at = this.#frame(TABLES.gdt);
    // Present code and data segments of ring 3 in most entries.
    for (let entry = 0; entry < 512; entry++) {
      const access = random.chance(0.8) ? 0xf0 | random.below(16) : random.u32() & 0xff;
      this.#view.setUint32(at + entry * 8, random.chance(0.5) ? 0xffff : random.u32(), true);
      this.#view.setUint32(at + entry * 8 + 4, ((random.u32() & 0x00ff_00ff) | (access << 8)) >>> 0, true);
    }
    for (let page = 0; page < 16; page++) state.setGdtPage(page, random.chance(0.7) ? at : 0);
    state.gdtLimit = random.pick([0xffff, 0xfff, 7, 0]);
    state.ldtBase = BASE + random.below(MAPPED.count) * 4096;
    state.ldtLimit = random.pick([-1, 0xfff, 0xffff, 7]);
  }

  /** Everything outside the frames and the processor's own state is as it was, and the TLBs hold frames only. */
  check(): void {
    for (const [n, guard] of this.#guards.entries())
      assert.ok(Buffer.compare(guard, this.#guard) === 0, `guard zone ${n} was written`);
    assert.deepEqual(this.#readConstants(), this.#constants);
    for (const view of [0, 1])
      this.#checkTlb(this.#view.getUint32(REGION_AT + S.views + view * View.size + View.tlb, true));
    for (let entry = REGION_AT + Region.jumpCacheAt; entry < REGION_AT + Region.keptAt; entry += JumpCache.entrySize) {
      const op = this.#view.getUint32(entry + JumpCache.op, true);
      const free = this.#view.getUint8(entry + JumpCache.va) === JumpCache.free;
      assert.ok(
        free || (op >= REGION_AT + Region.opsAt && op < REGION_AT + Region.opsEnd),
        `jump cache entry for operation ${op}`,
      );
    }
  }

  #checkTlb(set: number): void {
    const end = this.#framesAt + FRAMES * 4096;
    for (let entry = set; entry < set + Region.tlbSet; entry += Tlb.entrySize) {
      const host = this.#view.getUint32(entry + Tlb.host, true);
      const used = [Access.read, Access.write, Access.execute].some(
        (access) => this.#view.getInt32(entry + access * 8, true) !== -1,
      );
      if (!used) continue;
      assert.ok(
        host >= this.#framesAt && host < end && (host - this.#framesAt) % 4096 === 0,
        `TLB entry for host address ${host}`,
      );
    }
  }

  #readConstants(): number[] {
    return CONSTANT.map((offset) => this.#view.getUint32(REGION_AT + offset, true));
  }

  #entry(table: number, slot: number, frame: number, flags: number, high = 0): void {
    const at = this.#frame(table) + slot * 8;
    this.#view.setUint32(at, (frame * 4096 + flags) >>> 0, true);
    this.#view.setUint32(at + 4, high, true);
  }

  #frame(frame: number): number {
    return this.#framesAt + frame * 4096;
  }

  /** The processor is told that the code frames were written. */
  codeChanged(): void {
    for (let frame: number = MAPPED.first; frame < MAPPED.first + MAPPED.count; frame++)
      this.processor.frameWritten(frame, 0, 4096);
  }
}
