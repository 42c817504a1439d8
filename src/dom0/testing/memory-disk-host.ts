/** Image files in memory, of any size, that can crash as a machine does: what was not flushed is there or not, as chance has it. */
import { deflateRawSync, inflateRawSync, constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { type Codecs, DiskError, type DiskFile, type DiskHost, type Segments } from '../disk/index.ts';

const CHUNK = 4096;

/** A file's bytes, of which only those that were written take memory. */
export class SparseBytes {
  readonly #chunks = new Map<number, Uint8Array>();
  size = 0;

  read(offset: number, into: Uint8Array): void {
    this.#each(offset, into.length, (chunk, at, from, to) => {
      if (chunk === undefined) into.fill(0, at, at + to - from);
      else into.set(chunk.subarray(from, to), at);
    });
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#each(offset, bytes.length, (there, at, from, to, index) => {
      const chunk = there ?? new Uint8Array(CHUNK);
      if (there === undefined) this.#chunks.set(index, chunk);
      chunk.set(bytes.subarray(at, at + to - from), from);
    });
    this.size = Math.max(this.size, offset + bytes.length);
  }

  truncate(size: number): void {
    if (size < this.size) {
      for (const index of [...this.#chunks.keys()]) if (index * CHUNK >= size) this.#chunks.delete(index);
      this.#chunks.get(Math.floor(size / CHUNK))?.fill(0, size % CHUNK);
    }
    this.size = size;
  }

  copy(): SparseBytes {
    const copy = new SparseBytes();
    for (const [index, chunk] of this.#chunks) copy.#chunks.set(index, chunk.slice());
    copy.size = this.size;
    return copy;
  }

  /** All of it, for small files. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.size);
    this.read(0, bytes);
    return bytes;
  }

  #each(
    offset: number,
    length: number,
    visit: (chunk: Uint8Array | undefined, at: number, from: number, to: number, index: number) => void,
  ): void {
    for (let at = 0; at < length;) {
      const index = Math.floor((offset + at) / CHUNK);
      const from = (offset + at) % CHUNK;
      const to = Math.min(CHUNK, from + length - at);
      visit(this.#chunks.get(index), at, from, to, index);
      at += to - from;
    }
  }
}

type Change = { readonly offset: number; readonly bytes: Uint8Array } | { readonly size: number };

export class MemoryFile {
  current = new SparseBytes();
  #durable = new SparseBytes();
  #unflushed: Change[] = [];
  /** Fails every write while it is set. */
  failWrites: DiskError | undefined;
  /** Called when a flush is about to take effect: of all moments, the one at which a crash can do the most. */
  onFlush: (() => void) | undefined;

  change(change: Change): void {
    this.#unflushed.push(change);
    apply(this.current, change);
  }

  flush(): void {
    this.onFlush?.();
    for (const change of this.#unflushed) apply(this.#durable, change);
    this.#unflushed = [];
  }

  /** What a machine finds after a crash now: of the changes since the last flush those for which `keep` says so, in their order. */
  afterCrash(keep: (index: number) => boolean): SparseBytes {
    const bytes = this.#durable.copy();
    this.#unflushed.forEach((change, index) => {
      if (keep(index)) apply(bytes, change);
    });
    return bytes;
  }

  get unflushed(): number {
    return this.#unflushed.length;
  }

  static of(bytes: SparseBytes): MemoryFile {
    const file = new MemoryFile();
    file.current = bytes.copy();
    file.#durable = bytes.copy();
    return file;
  }
}

function apply(bytes: SparseBytes, change: Change): void {
  if ('size' in change) bytes.truncate(change.size);
  else bytes.write(change.offset, change.bytes);
}

export interface MemoryHostOptions {
  /** Waited for before each operation of a file takes effect: what makes operations overtake each other. */
  readonly delay?: () => Promise<void>;
  readonly kind?: DiskFile['kind'];
  /** Asked by each `readNow` and `writeNow`, whether it can be done. Default: none can. */
  readonly isQuick?: () => boolean;
}

export class MemoryDiskHost implements DiskHost {
  readonly files = new Map<string, MemoryFile>();
  readonly #options: MemoryHostOptions;
  readonly codecs = syncCodecs;

  constructor(options: MemoryHostOptions = {}) {
    this.#options = options;
  }

  open(path: string, { readOnly }: { readonly readOnly: boolean }): Promise<DiskFile> {
    const file = this.files.get(path);
    if (file === undefined)
      return Promise.reject(new DiskError('ENOENT', `cannot open ${path}: there is no such file`));
    return Promise.resolve(new OpenMemoryFile(path, file, readOnly, this.#options));
  }

  create(path: string): Promise<DiskFile> {
    this.files.set(path, new MemoryFile());
    return this.open(path, { readOnly: false });
  }

  async createTemporary(path: string): Promise<DiskFile> {
    const file = await this.create(path);
    const close = file.close.bind(file);
    file.close = () => {
      this.files.delete(path);
      return close();
    };
    return file;
  }

  resolve(_base: string, name: string): string {
    return name;
  }
}

class OpenMemoryFile implements DiskFile {
  readonly path: string;
  readonly kind: DiskFile['kind'];
  readonly readOnly: boolean;
  get punches(): boolean {
    return !this.readOnly;
  }

  readonly #file: MemoryFile;
  readonly #delay: () => Promise<void>;
  readonly #isQuick: () => boolean;

  constructor(path: string, file: MemoryFile, readOnly: boolean, options: MemoryHostOptions) {
    this.path = path;
    this.#file = file;
    this.readOnly = readOnly;
    this.kind = options.kind ?? 'file';
    this.#isQuick = options.isQuick ?? (() => false);
    this.#delay = options.delay ?? (() => Promise.resolve());
  }

  size(): Promise<number> {
    return Promise.resolve(this.#file.current.size);
  }

  async read(offset: number, into: Segments): Promise<void> {
    await this.#delay();
    let at = offset;
    for (const segment of into) {
      this.#file.current.read(at, segment);
      at += segment.length;
    }
  }

  async write(offset: number, from: Segments): Promise<void> {
    if (this.readOnly) throw new Error('a write to a file that is open for reading');
    await this.#delay();
    if (this.#file.failWrites !== undefined) throw this.#file.failWrites;
    let at = offset;
    for (const segment of from) {
      this.#file.change({ offset: at, bytes: segment.slice() });
      at += segment.length;
    }
  }

  readNow(offset: number, into: Segments): boolean {
    if (!this.#isQuick()) return false;
    let at = offset;
    for (const segment of into) {
      this.#file.current.read(at, segment);
      at += segment.length;
    }
    return true;
  }

  writeNow(offset: number, from: Segments): boolean {
    if (this.readOnly || this.#file.failWrites !== undefined || !this.#isQuick()) return false;
    let at = offset;
    for (const segment of from) {
      this.#file.change({ offset: at, bytes: segment.slice() });
      at += segment.length;
    }
    return true;
  }

  async truncate(size: number): Promise<void> {
    await this.#delay();
    this.#file.change({ size });
  }

  async punch(offset: number, length: number): Promise<void> {
    await this.#delay();
    const inside = Math.min(length, Math.max(0, this.#file.current.size - offset));
    this.#file.change({ offset, bytes: new Uint8Array(inside) });
  }

  async flush(): Promise<void> {
    await this.#delay();
    this.#file.flush();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const syncCodecs: Codecs = {
  inflateRaw: (bytes, limit) =>
    attempt(() => inflateRawSync(bytes, { maxOutputLength: limit, finishFlush: constants.Z_SYNC_FLUSH })),
  deflateRaw: (bytes) => attempt(() => deflateRawSync(bytes, { windowBits: 12 })),
  zstdDecompress: (bytes, limit) => attempt(() => zstdDecompressSync(bytes, { maxOutputLength: limit })),
  zstdCompress: (bytes) => attempt(() => zstdCompressSync(bytes)),
};

function attempt(work: () => Uint8Array): Promise<Uint8Array> {
  return Promise.resolve().then(work);
}
