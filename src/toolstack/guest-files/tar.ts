/**
 * Reads tar archives as dpkg makes them: ustar headers with GNU long names, or pax names (POSIX.1, "pax Interchange
 * Format"; GNU tar manual, "Basic Tar Format"). Takes the archive in pieces and holds only the entries that are wanted.
 */
import { CorruptData } from '../builder/compression/corrupt-data.ts';

export interface TarHeader {
  /** Without a leading `./`. */
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly size: number;
  readonly linkName: string;
}
export interface TarEntry extends TarHeader {
  readonly content: Uint8Array;
}

const BLOCK = 512;
const MAX_NAME = 4096;
const MAX_ENTRY = 1 << 28;

const fields = {
  name: { at: 0, length: 100 },
  size: { at: 124, length: 12 },
  checksum: { at: 148, length: 8 },
  type: { at: 156, length: 1 },
  linkName: { at: 157, length: 100 },
  magic: { at: 257, length: 6 },
  prefix: { at: 345, length: 155 },
} as const;

export function* tarEntries(
  pieces: Iterable<Uint8Array>,
  wanted: (header: TarHeader) => boolean,
): Generator<TarEntry, undefined> {
  const input = new PieceReader(pieces);
  let longName: string | undefined;
  let longLink: string | undefined;
  for (;;) {
    const block = input.take(BLOCK);
    if (block === undefined) throw new CorruptData('the tar archive ends without its end mark');
    if (block.every((byte) => byte === 0)) return undefined;
    verifyChecksum(block);
    const size = numberField(block, 'size');
    const type = textField(block, 'type');
    const padded = Math.ceil(size / BLOCK) * BLOCK;

    if (type === 'L' || type === 'K' || type === 'x' || type === 'g') {
      if (size > MAX_NAME * 2) throw new CorruptData('a name in the tar archive is too long');
      const body = mustTake(input, padded).slice(0, size);
      if (type === 'L') longName = text(body);
      else if (type === 'K') longLink = text(body);
      else if (type === 'x') ({ path: longName = longName, linkpath: longLink = longLink } = paxRecords(body));
      continue;
    }
    const header: TarHeader = {
      name: plainName(longName ?? joined(textField(block, 'prefix'), textField(block, 'name'), block)),
      type: type === '0' || type === '' ? 'file' : type === '5' ? 'directory' : type === '2' ? 'symlink' : 'other',
      size,
      linkName: longLink ?? textField(block, 'linkName'),
    };
    longName = longLink = undefined;
    if (!wanted(header)) {
      input.skip(padded);
      continue;
    }
    if (size > MAX_ENTRY) throw new CorruptData(`${header.name} in the tar archive is too large`);
    yield { ...header, content: mustTake(input, padded).slice(0, size) };
  }
}

/** Gives exact numbers of bytes out of pieces of any size. */
class PieceReader {
  readonly #pieces: Iterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array();
  #at = 0;

  constructor(pieces: Iterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.iterator]();
  }

  /** `undefined` at the end. The result may be a view of a piece: copy what must last. */
  take(length: number): Uint8Array | undefined {
    const piece = this.#piece;
    const at = this.#at;
    if (piece.length - at >= length) {
      this.#at += length;
      return piece.subarray(at, at + length);
    }
    const whole = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#at === this.#piece.length && !this.#next()) return undefined;
      const part = this.#piece.subarray(this.#at, this.#at + length - filled);
      whole.set(part, filled);
      filled += part.length;
      this.#at += part.length;
    }
    return whole;
  }

  skip(length: number): void {
    let left = length;
    while (left > 0) {
      if (this.#at === this.#piece.length && !this.#next()) throw new CorruptData('the tar archive ends early');
      const step = Math.min(left, this.#piece.length - this.#at);
      this.#at += step;
      left -= step;
    }
  }

  #next(): boolean {
    const { done, value } = this.#pieces.next();
    if (done) return false;
    this.#piece = value;
    this.#at = 0;
    return true;
  }
}

function mustTake(input: PieceReader, length: number): Uint8Array {
  const bytes = input.take(length);
  if (bytes === undefined) throw new CorruptData('the tar archive ends early');
  return bytes;
}

function verifyChecksum(block: Uint8Array): void {
  const { at, length } = fields.checksum;
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= at && i < at + length ? 0x20 : (block[i] as number);
  if (sum !== numberField(block, 'checksum')) throw new CorruptData('a header in the tar archive is damaged');
}

/** Octal digits, or with the top bit set a big-endian number. */
function numberField(block: Uint8Array, field: 'size' | 'checksum'): number {
  const { at, length } = fields[field];
  let value = 0;
  if ((block[at] as number) & 0x80) {
    for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] as number);
  } else {
    const digits = textField(block, field).trim();
    if (!/^[0-7]*$/.test(digits)) throw new CorruptData('a header in the tar archive is damaged');
    value = Number.parseInt(digits || '0', 8);
  }
  if (!Number.isSafeInteger(value)) throw new CorruptData('a header in the tar archive is damaged');
  return value;
}

function textField(block: Uint8Array, field: keyof typeof fields): string {
  const { at, length } = fields[field];
  return text(block.subarray(at, at + length));
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** The prefix is ustar's; in GNU headers other things are there. */
function joined(prefix: string, name: string, block: Uint8Array): string {
  const { at } = fields.magic;
  const isUstar = block[at + 5] === 0;
  return isUstar && prefix !== '' ? `${prefix}/${name}` : name;
}

function plainName(name: string): string {
  const plain = name.replace(/^(\.?\/)+/, '').replace(/\/+$/, '');
  if (plain.split('/').includes('..')) throw new CorruptData(`the tar archive has a file called ${name}`);
  return plain;
}

/** Records are "length key=value\n", the length counting all of it. */
function paxRecords(body: Uint8Array): { path?: string; linkpath?: string } {
  const records: Record<string, string> = {};
  const all = new TextDecoder('latin1').decode(body);
  let at = 0;
  while (at < all.length) {
    const space = all.indexOf(' ', at);
    const length = Number(all.slice(at, space));
    if (space < 0 || !(length > 0) || at + length > all.length) throw new CorruptData('a pax header is damaged');
    const record = all.slice(space + 1, at + length - 1);
    const equals = record.indexOf('=');
    records[record.slice(0, equals)] = Buffer.from(record.slice(equals + 1), 'latin1').toString('utf8');
    at += length;
  }
  return {
    ...(records['path'] === undefined ? {} : { path: records['path'] }),
    ...(records['linkpath'] === undefined ? {} : { linkpath: records['linkpath'] }),
  };
}
