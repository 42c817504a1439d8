/**
 * Names for addresses from the table that Linux carries in its own read-only data (linux: scripts/kallsyms.c, 4.6 to 6.3 on
 * x86-64). Distributions strip the ELF symbol table, but not this one. No symbol says where it lies, so it is searched:
 *
 *   i32 offsets[n], u64 relative_base, u32 n, u8 names[], u32 markers[n / 256], …, char *tokens, u16 token_index[256]
 *
 * each aligned to 8 bytes. The bytes may come from a guest's memory: nothing in them is trusted.
 */
import { hiOf, loOf } from '../../abi/numbers.ts';

export interface KernelSymbol {
  readonly value: number;
  readonly name: string;
}

const TOKENS = 256;
const MARKER_STEP = 256;
const MAX_SYMBOLS = 1 << 20;
/** Places that look like the start of something, and of those that also have the tokens of a table. */
const MAX_TRIED = 256;
const MAX_TABLES = 4;
/** KSYM_NAME_LEN (linux: include/linux/kallsyms.h). */
const MAX_NAME = 512;
/** Bytes of names, encoded and decoded, that are looked at in all: a kernel's are some 8 million. The main thread waits meanwhile. */
const MAX_TEXT = 1 << 25;
/** Digits stand for themselves: their tokens are always there, one behind the other. */
const DIGITS = Buffer.from('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00', 'latin1');
const FIRST_DIGIT = 0x30;

/**
 * The symbols in ascending order of address; `undefined` when there is no such table. `base` is the address of the first
 * symbol, the start of the kernel.
 */
export function readKallsyms(image: Uint8Array, base: number): KernelSymbol[] | undefined {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.length);
  const work = { text: MAX_TEXT };
  let tables = 0;
  for (const digitsAt of occurrences(bytes, DIGITS)) {
    const tokens = readTokens(bytes, digitsAt);
    if (tokens === undefined) continue;
    if (++tables > MAX_TABLES) return undefined;
    const pattern = Buffer.alloc(8);
    pattern.writeUInt32LE(loOf(base), 0);
    pattern.writeUInt32LE(hiOf(base), 4);
    for (const baseAt of occurrences(bytes.subarray(0, tokens.at), pattern)) {
      const names = readNames(bytes, baseAt + 8, tokens, work);
      if (names !== undefined) return withAddresses(bytes, baseAt, names, base);
    }
  }
  return undefined;
}

function* occurrences(bytes: Buffer, pattern: Buffer): Generator<number> {
  let at = -1;
  for (let n = 0; n < MAX_TRIED; n++) {
    at = bytes.indexOf(pattern, at + 1);
    if (at < 0) return;
    yield at;
  }
}

function readTokens(bytes: Buffer, digitsAt: number): { at: number; texts: string[] } | undefined {
  let end = digitsAt;
  for (let token = FIRST_DIGIT; token < TOKENS; token++) {
    end = bytes.indexOf(0, end) + 1;
    if (end === 0 || end > digitsAt + 65536) return undefined;
  }
  const indexAt = align8(end);
  if (indexAt + 2 * TOKENS > bytes.length) return undefined;
  const at = digitsAt - bytes.readUInt16LE(indexAt + 2 * FIRST_DIGIT);
  if (at < 0 || bytes.readUInt16LE(indexAt) !== 0) return undefined;
  const texts = Array.from({ length: TOKENS }, (_, token) => {
    const start = at + bytes.readUInt16LE(indexAt + 2 * token);
    return bytes.toString('latin1', start, Math.min(bytes.indexOf(0, start), start + MAX_NAME));
  });
  return texts[FIRST_DIGIT] === '0' ? { at, texts } : undefined;
}

/**
 * The count and the names after it. Each name is a length, of one byte or two, and that many tokens; the first character
 * is the symbol's type. Markers follow, the position of every 256th name, which prove that this is the table.
 */
function readNames(
  bytes: Buffer,
  countAt: number,
  tokens: { readonly at: number; readonly texts: readonly string[] },
  work: { text: number },
): string[] | undefined {
  const count = bytes.readUInt32LE(countAt);
  if (countAt % 8 !== 0 || count <= MARKER_STEP || count > MAX_SYMBOLS) return undefined;
  const start = countAt + 8;
  const names: string[] = [];
  let at = start;
  let marker = 0;
  while (names.length < count) {
    if (names.length === MARKER_STEP) marker = at - start;
    let length = bytes[at++] ?? 0;
    if (length & 0x80) length = (length & 0x7f) | ((bytes[at++] ?? 0) << 7);
    if (length === 0 || length > MAX_NAME || at + length > tokens.at) return undefined;
    let name = '';
    for (let i = 0; i < length && name.length <= MAX_NAME; i++) name += tokens.texts[bytes[at + i] as number] ?? '';
    work.text -= length + name.length;
    if (name.length > MAX_NAME || work.text < 0) return undefined;
    names.push(name.slice(1));
    at += length;
  }
  const markersAt = align8(at);
  const isTable = bytes.readUInt32LE(markersAt) === 0 && bytes.readUInt32LE(markersAt + 4) === marker;
  return isTable ? names : undefined;
}

function withAddresses(
  bytes: Buffer,
  baseAt: number,
  names: readonly string[],
  base: number,
): KernelSymbol[] | undefined {
  const offsetsAt = baseAt - align8(names.length * 4);
  if (offsetsAt < 0) return undefined;
  const symbols: KernelSymbol[] = [];
  names.forEach((name, i) => {
    const offset = bytes.readInt32LE(offsetsAt + i * 4);
    // Positive ones are offsets into the per-CPU area, not addresses.
    if (offset < 0) symbols.push({ value: base - 1 - offset, name });
  });
  return symbols.length === 0 ? undefined : symbols.sort((a, b) => a.value - b.value);
}

function align8(value: number): number {
  return Math.ceil(value / 8) * 8;
}
