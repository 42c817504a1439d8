/**
 * Unpacks an LZ4 block ("LZ4 Block Format Description") in WebAssembly: three times as fast as the same in JavaScript, which the loader of a kernel of 50 MB
 * waits for.
 *
 * The module works in a memory of its own, with room for one packed block and one unpacked one. What it writes is bounded by the unpacked block's end, what it
 * reads by the memory.
 */
import type { Code } from '../../../cpu/wasm/code.ts';
import { ModuleBuilder } from '../../../cpu/wasm/module.ts';
import { I32, ValType } from '../../../cpu/wasm/value.ts';
import { CorruptData } from './corrupt-data.ts';

/** What a block unpacks to at most, and the largest packed size of 8 MiB that do not compress. */
export const BLOCK_MAX = 8 << 20;
export const PACKED_MAX = BLOCK_MAX + Math.ceil(BLOCK_MAX / 255) + 16;

/** The widest copy: bytes are moved 16 at a time, and what is too much is overwritten by what follows. */
const WIDE = 16;
/** Where a call leaves the position in the packed and in the unpacked block. */
const AT = 0;
const POS = 4;
const PACKED_AT = 64;
const PLAIN_AT = PACKED_AT + Math.ceil((PACKED_MAX + WIDE) / 64) * 64;
const WASM_PAGE = 65536;
const PAGES = Math.ceil((PLAIN_AT + BLOCK_MAX + WIDE) / WASM_PAGE);
/** Bytes of a call. V8 gives a function its faster code when it is called anew, not while it runs. */
const STEP = 64 << 10;

const Outcome = { more: 0, end: 1, early: 2, literals: 3, before: 4, overrun: 5 } as const;
const troubles: Readonly<Record<number, string>> = {
  [Outcome.early]: 'LZ4 block ends early',
  [Outcome.literals]: 'LZ4 literals overrun the block',
  [Outcome.before]: 'LZ4 match reaches before the block',
  [Outcome.overrun]: 'LZ4 match overruns the block',
};

interface Unpacker {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  unpack(at: number, to: number, pos: number, stop: number, end: number): number;
}

let unpacker: Unpacker | undefined;

/** The unpacked block, of at most `plainMax` bytes, as a view that the next call overwrites. */
export function unpackLz4Block(packed: Uint8Array, plainMax: number): Uint8Array {
  const { bytes, words, unpack } = (unpacker ??= instantiate());
  if (packed.length > PACKED_MAX || plainMax > BLOCK_MAX) throw new RangeError('no LZ4 block is so large');
  bytes.set(packed, PACKED_AT);
  const to = PACKED_AT + packed.length;
  const end = PLAIN_AT + plainMax;
  let at = PACKED_AT;
  let pos = PLAIN_AT;
  let outcome: number = Outcome.more;
  while (outcome === Outcome.more) {
    outcome = unpack(at, to, pos, Math.min(pos + STEP, end), end);
    at = words[AT >>> 2] ?? 0;
    pos = words[POS >>> 2] ?? 0;
  }
  const trouble = troubles[outcome];
  if (trouble !== undefined) throw new CorruptData(trouble);
  return bytes.subarray(PLAIN_AT, pos);
}

function instantiate(): Unpacker {
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
  const m = new ModuleBuilder();
  const { i32 } = ValType;
  m.export('unpack', m.function('unpack', [i32, i32, i32, i32, i32], i32, define));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory } });
  return {
    bytes: new Uint8Array(memory.buffer),
    words: new Int32Array(memory.buffer),
    unpack: instance.exports['unpack'] as unknown as Unpacker['unpack'],
  };
}

/** (at, to, pos, stop, end): from packed `at` before `to` to plain `pos` before `end`; returns between two sequences once `stop` is reached. */
function define(code: Code): void {
  const param = (index: number): I32 => code.param(ValType.i32, index);
  const [to, stop, end] = [param(1), param(3), param(4)];
  const at = code.variable(ValType.i32, param(0));
  const pos = code.variable(ValType.i32, param(2));
  const length = code.variable(ValType.i32);
  const finish = (outcome: number): void => {
    code.store32(I32.of(AT), at.get);
    code.store32(I32.of(POS), pos.get);
    code.return(I32.of(outcome));
  };
  const refuse = (wrong: I32, outcome: number): void => code.if(wrong, () => finish(outcome));
  /** 15 says that bytes follow which count too, the last of them below 255. */
  const extend = (): void =>
    code.if(length.get.eq(15), () =>
      code.loop((_, againIf) => {
        refuse(at.get.geU(to), Outcome.early);
        const byte = code.let(at.get.load8U());
        at.set(at.get.add(1));
        length.set(length.get.add(byte));
        againIf(byte.eq(255));
      }),
    );

  code.loop((again) => {
    refuse(at.get.geU(to), Outcome.end);
    const token = code.let(at.get.load8U());
    at.set(at.get.add(1));
    length.set(token.shrU(4));
    extend();
    refuse(length.get.gtU(to.sub(at.get)).or(length.get.gtU(end.sub(pos.get))), Outcome.literals);
    copy(code, pos.get, at.get, length.get, end, WIDE);
    at.set(at.get.add(length.get));
    pos.set(pos.get.add(length.get));
    // The last sequence has literals only.
    refuse(at.get.eq(to), Outcome.end);

    refuse(to.sub(at.get).ltU(2), Outcome.early);
    const offset = code.let(at.get.load16U());
    at.set(at.get.add(2));
    length.set(token.and(15));
    extend();
    length.set(length.get.add(4));
    refuse(offset.eqz().or(offset.gtU(pos.get.sub(PLAIN_AT))), Outcome.before);
    refuse(length.get.gtU(end.sub(pos.get)), Outcome.overrun);
    const from = code.let(pos.get.sub(offset));
    code.if(
      offset.geU(WIDE),
      () => copy(code, pos.get, from, length.get, end, WIDE),
      () =>
        // Megabytes of the same byte, zeroes as a rule, are one such match.
        code.if(
          offset.eq(1),
          () => code.memoryFill(pos.get, from.load8U(), length.get),
          () => copy(code, pos.get, from, length.get, end, 1),
        ),
    );
    pos.set(pos.get.add(length.get));
    code.if(pos.get.ltU(stop), again);
  });
  finish(Outcome.more);
  code.unreachable();
}

/** Copies upwards, so that what was written by this copy may be read by it: a match repeats itself when it overlaps. `wide` bytes at a time are that far apart. */
function copy(code: Code, to: I32, from: I32, length: I32, end: I32, wide: 1 | typeof WIDE): void {
  const target = code.variable(ValType.i32, to);
  const source = code.variable(ValType.i32, from);
  const last = code.let(to.add(length));
  const byBytes = (): void =>
    code.while(
      () => target.get.ltU(last),
      () => {
        code.store8(target.get, source.get.load8U());
        target.set(target.get.add(1));
        source.set(source.get.add(1));
      },
    );
  if (wide === 1) return byBytes();
  code.if(
    end.sub(last).geU(WIDE),
    () =>
      code.loop((_, againIf) => {
        code.storeV128(target.get, source.get.loadV128());
        target.set(target.get.add(WIDE));
        source.set(source.get.add(WIDE));
        againIf(target.get.ltU(last));
      }),
    byBytes,
  );
}
