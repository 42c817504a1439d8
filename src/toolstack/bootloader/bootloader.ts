/**
 * pygrub's part: finds the kernel, the ramdisk and the command line that a guest's disk says it wants to be booted with. The disk is the guest's, so
 * nothing in it is trusted; everything that is read has a limit.
 */
import { DiskError } from '../../dom0/disk/index.ts';
import { BootFailure } from './boot-failure.ts';
import { DiskBytes, type ReadableDisk } from './disk-bytes.ts';
import type { FileSystem } from './filesystem/file-system.ts';
import { openFileSystem } from './filesystem/open.ts';
import { findMenu, type FoundMenu } from './find-menu.ts';
import type { BootEntry } from './menu/boot-menu.ts';
import { partitionsOf } from './partitions.ts';
import type { PygrubOptions } from './pygrub-options.ts';

export interface BootFiles {
  readonly kernel: Uint8Array;
  readonly ramdisk: Uint8Array | undefined;
  readonly cmdline: string;
  /** What was chosen, for a log. */
  readonly found: string;
}

/** Far above real ones; they are held in memory while the domain is built. */
const MAX_KERNEL = 256 * 2 ** 20;
const MAX_RAMDISK = 2 ** 30;
/** GRUB pads each of several ramdisks to this, as Linux expects. */
const RAMDISK_ALIGNMENT = 4;

/** Throws BootFailure. */
export function bootFilesOf(disk: ReadableDisk, options: PygrubOptions): Promise<BootFiles> {
  return explained(() => find(disk, options));
}

async function find(disk: ReadableDisk, options: PygrubOptions): Promise<BootFiles> {
  const search = await Search.start(disk, options.offset);
  if (options.kernel !== undefined) {
    const { kernel, ramdisk, args = '' } = options;
    const entry = { title: '', kernel, ramdisks: ramdisk === undefined ? [] : [ramdisk], args };
    return search.load(entry, undefined, 'as told');
  }
  const { menu, fs } = await search.menu();
  const entry = choose(menu, options.entry);
  const own = options.ramdisk === undefined ? entry : { ...entry, ramdisks: [options.ramdisk] };
  const args = [entry.args, options.args ?? ''].filter((text) => text !== '').join(' ');
  return search.load({ ...own, args }, fs, `"${entry.title}" of ${menu.path}`);
}

/** What there is to choose from. Throws BootFailure. */
export function menuOf(disk: ReadableDisk, options: Pick<PygrubOptions, 'offset'>): Promise<FoundMenu> {
  return explained(async () => (await (await Search.start(disk, options.offset)).menu()).menu);
}

/** An entry that is not there is left aside, as by pygrub; one without a kernel gives way to the next that has one. */
function choose({ entries, defaultEntry }: FoundMenu, wanted: string | undefined): BootEntry {
  const named =
    wanted === undefined
      ? undefined
      : /^\s*\d+\s*$/.test(wanted)
        ? entries[Number(wanted)]
        : entries.find(({ title }) => title === wanted);
  const entry = named ?? entries[defaultEntry] ?? entries[0];
  if (entry?.kernel !== undefined) return entry;
  const usable = entries.find(({ kernel }) => kernel !== undefined);
  if (usable === undefined) throw new BootFailure("no entry of the menu in the guest's disk has a kernel");
  return usable;
}

class Search {
  readonly #fileSystems: readonly FileSystem[];
  readonly #troubles: readonly string[];

  private constructor(fileSystems: readonly FileSystem[], troubles: readonly string[]) {
    this.#fileSystems = fileSystems;
    this.#troubles = troubles;
  }

  static async start(disk: ReadableDisk, offset: number | undefined): Promise<Search> {
    const bytes = DiskBytes.of(disk);
    const places = offset === undefined ? await partitionsOf(bytes) : [{ start: offset, size: bytes.size }];
    const found: FileSystem[] = [];
    const troubles: string[] = [];
    for (const { start, size } of places) {
      try {
        const fs = await openFileSystem(bytes.part(start, size));
        if (fs !== undefined) found.push(fs);
      } catch (error) {
        troubles.push(messageOf(error));
      }
    }
    if (found.length === 0) {
      const why = troubles.length > 0 ? `: ${troubles.join('; ')}` : '';
      throw new BootFailure(`no file system that can be read (ext2, ext3, ext4, xfs) in the guest's disk${why}`);
    }
    return new Search(found, troubles);
  }

  /** The first menu that has a kernel. */
  async menu(): Promise<{ menu: FoundMenu; fs: FileSystem }> {
    const troubles = [...this.#troubles];
    for (const fs of this.#fileSystems) {
      try {
        const menu = await findMenu(fs);
        if (menu !== undefined) return { menu, fs };
      } catch (error) {
        troubles.push(messageOf(error));
      }
    }
    const why = troubles.length > 0 ? `: ${troubles.join('; ')}` : '';
    throw new BootFailure(`no grub.cfg, extlinux.conf, menu.lst or the like with a kernel in the guest's disk${why}`);
  }

  /** From the file system of the menu, else from any: a menu may lie apart from the kernels. */
  async load(entry: BootEntry, first: FileSystem | undefined, found: string): Promise<BootFiles> {
    const order = first === undefined ? this.#fileSystems : [first, ...this.#fileSystems.filter((fs) => fs !== first)];
    const kernel = await this.#read(order, entry.kernel ?? '', MAX_KERNEL, 'kernel');
    const parts: Uint8Array[] = [];
    let left = MAX_RAMDISK;
    for (const path of entry.ramdisks) {
      const part = await this.#read(order, path, left, 'ramdisk');
      left -= part.length + RAMDISK_ALIGNMENT;
      parts.push(part);
    }
    return { kernel, ramdisk: joined(parts), cmdline: entry.args, found };
  }

  async #read(order: readonly FileSystem[], path: string, most: number, what: string): Promise<Uint8Array> {
    for (const fs of order) {
      const bytes = await fs.readFile(path, most);
      if (bytes !== undefined) return bytes;
    }
    throw new BootFailure(`the ${what} ${path} is not in the guest's disk`);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array | undefined {
  if (parts.length < 2) return parts[0];
  const align = (length: number): number => Math.ceil(length / RAMDISK_ALIGNMENT) * RAMDISK_ALIGNMENT;
  const whole = new Uint8Array(parts.reduce((total, part) => total + align(part.length), 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += align(part.length);
  }
  return whole;
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new BootFailure(messageOf(error), { cause: error });
  }
}

/** Where a number in a damaged structure leads out of it, the view that reads it throws RangeError. */
function messageOf(error: unknown): string {
  if (error instanceof RangeError) return 'the file system is damaged';
  if (error instanceof BootFailure || error instanceof DiskError) return error.message;
  throw error;
}
