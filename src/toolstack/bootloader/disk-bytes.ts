/**
 * A guest's disk, or a part of it, as bytes. All that the bootloader reads comes through here, and what is read may have been made to harm: a read
 * outside the part is refused, and so is an image that has the bootloader read without end.
 */
import type { Disk } from '../../dom0/disk/index.ts';
import { BootFailure } from './boot-failure.ts';

export type ReadableDisk = Pick<Disk, 'size' | 'read'>;

/** Disks have this sector whatever their format says: partition tables count in it. */
export const SECTOR = 512;
/** Small structures are read in blocks of this, a few of which are kept: a directory's inodes lie side by side. */
const BLOCK = 65536;
const KEPT_BLOCKS = 64;
/** More than any kernel and ramdisk with all the metadata on the way to them. */
const MAX_READ = 4 * 2 ** 30;
/** Each read costs time however short it is. */
const MAX_READS = 1 << 20;

/** What a disk and the parts of it share. */
interface Source {
  readonly disk: ReadableDisk;
  readonly kept: Map<number, Uint8Array>;
  bytesLeft: number;
  readsLeft: number;
}

export class DiskBytes {
  readonly size: number;
  readonly #source: Source;
  readonly #start: number;

  private constructor(source: Source, start: number, size: number) {
    this.#source = source;
    this.#start = start;
    this.size = size;
  }

  static of(disk: ReadableDisk): DiskBytes {
    return new DiskBytes({ disk, kept: new Map(), bytesLeft: MAX_READ, readsLeft: MAX_READS }, 0, disk.size);
  }

  /** A part; what would lie behind the end is cut off. */
  part(start: number, size: number): DiskBytes {
    if (!Number.isSafeInteger(start) || start < 0 || start > this.size)
      throw new BootFailure('a partition lies outside the disk');
    return new DiskBytes(this.#source, this.#start + start, Math.max(0, Math.min(size, this.size - start)));
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    if (!Number.isSafeInteger(at) || at < 0 || length < 0 || at + length > this.size)
      throw new BootFailure('the file system points outside its disk');
    this.#spend(length);
    return length > BLOCK ? this.#readLong(this.#start + at, length) : this.#readShort(this.#start + at, length);
  }

  #spend(length: number): void {
    this.#source.bytesLeft -= length;
    if (this.#source.bytesLeft < 0 || --this.#source.readsLeft < 0)
      throw new BootFailure('the file system is damaged: finding the kernel in it does not end');
  }

  async #readShort(at: number, length: number): Promise<Uint8Array> {
    const first = Math.floor(at / BLOCK);
    const skip = at - first * BLOCK;
    const block = await this.#block(first);
    if (skip + length <= block.length) return block.subarray(skip, skip + length);
    const bytes = new Uint8Array(length);
    const head = block.subarray(skip);
    bytes.set(head);
    bytes.set((await this.#block(first + 1)).subarray(0, length - head.length), head.length);
    return bytes;
  }

  async #block(number: number): Promise<Uint8Array> {
    const { kept, disk } = this.#source;
    const found = kept.get(number);
    if (found !== undefined) {
      kept.delete(number);
      kept.set(number, found);
      return found;
    }
    const at = number * BLOCK;
    const block = new Uint8Array(Math.max(0, Math.min(BLOCK, disk.size - at)));
    await disk.read(at, [block]);
    kept.set(number, block);
    const [oldest] = kept.keys();
    if (kept.size > KEPT_BLOCKS && oldest !== undefined) kept.delete(oldest);
    return block;
  }

  async #readLong(at: number, length: number): Promise<Uint8Array> {
    const first = Math.floor(at / SECTOR) * SECTOR;
    const end = Math.ceil((at + length) / SECTOR) * SECTOR;
    const bytes = new Uint8Array(end - first);
    await this.#source.disk.read(first, [bytes]);
    return bytes.subarray(at - first, at - first + length);
  }
}
