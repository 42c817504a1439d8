/** Reading files by path, for any format that can say what lies in a directory. Symbolic links lead as they would in the guest. */
import { BootFailure } from '../boot-failure.ts';

export type NodeKind = 'file' | 'directory' | 'symlink' | 'other';

export interface FsNode {
  readonly kind: NodeKind;
  readonly size: number;
}

/** What a format implements; `N` is its inode. */
export interface Format<N extends FsNode> {
  /** As it stands in /etc/fstab. */
  readonly type: string;
  readonly uuid: string;
  root(): Promise<N>;
  /** The entries of a directory, in any order; `.` and `..` may be among them. */
  entries(directory: N): AsyncIterable<DirectoryEntry>;
  node(entry: DirectoryEntry): Promise<N>;
  /** The content, of a symbolic link where it leads. It has `size` bytes. */
  content(node: N): Promise<Uint8Array>;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly inode: number;
}

/** Linux' MAXSYMLINKS. */
const MAX_LINKS = 40;
/** Linux' PATH_MAX. */
const MAX_PATH = 4096;
const MAX_DEPTH = 256;
const MAX_ENTRIES = 1 << 18;

/** A file system that was found on a disk. */
export interface FileSystem {
  readonly type: string;
  readonly uuid: string;
  exists(path: string): Promise<boolean>;
  /** Undefined when there is no such file. Throws BootFailure when it is longer than `most`, or damaged. */
  readFile(path: string, most: number): Promise<Uint8Array | undefined>;
  /** Names in a directory, none when there is no such directory. */
  names(path: string): Promise<string[]>;
}

export class PathReader<N extends FsNode> implements FileSystem {
  readonly #format: Format<N>;

  constructor(format: Format<N>) {
    this.#format = format;
  }

  get type(): string {
    return this.#format.type;
  }

  get uuid(): string {
    return this.#format.uuid;
  }

  async exists(path: string): Promise<boolean> {
    return (await this.#find(path)) !== undefined;
  }

  async readFile(path: string, most: number): Promise<Uint8Array | undefined> {
    const node = await this.#find(path);
    if (node === undefined) return undefined;
    if (node.kind !== 'file') throw new BootFailure(`${path} in the guest's disk is not a file`);
    if (node.size > most) throw new BootFailure(`${path} in the guest's disk has ${node.size} bytes: too many`);
    return this.#format.content(node);
  }

  async names(path: string): Promise<string[]> {
    const node = await this.#find(path);
    if (node?.kind !== 'directory') return [];
    const names: string[] = [];
    for await (const { name } of this.#entries(node)) {
      if (name !== '.' && name !== '..') names.push(name);
    }
    return names;
  }

  async #find(path: string): Promise<N | undefined> {
    if (path.length > MAX_PATH) return undefined;
    const walked: N[] = [await this.#format.root()];
    const parts = split(path);
    let links = 0;
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      const here = walked.at(-1);
      if (here?.kind !== 'directory' || walked.length > MAX_DEPTH) return undefined;
      if (part === '.') continue;
      if (part === '..') {
        if (walked.length > 1) walked.pop();
        continue;
      }
      const node = await this.#child(here, part);
      if (node === undefined) return undefined;
      if (node.kind !== 'symlink') {
        walked.push(node);
        continue;
      }
      if (++links > MAX_LINKS || node.size > MAX_PATH) return undefined;
      const target = Buffer.from(await this.#format.content(node)).toString();
      if (target.startsWith('/')) walked.length = 1;
      parts.push(...split(target));
    }
    return walked.at(-1);
  }

  async #child(directory: N, name: string): Promise<N | undefined> {
    for await (const entry of this.#entries(directory)) {
      if (entry.name === name) return this.#format.node(entry);
    }
    return undefined;
  }

  async *#entries(directory: N): AsyncGenerator<DirectoryEntry, void> {
    let count = 0;
    for await (const entry of this.#format.entries(directory)) {
      if (++count > MAX_ENTRIES) throw new BootFailure("a directory in the guest's disk does not end");
      yield entry;
    }
  }
}

/** In reverse, to be taken from the end. */
function split(path: string): string[] {
  return path
    .split('/')
    .filter((part) => part !== '')
    .reverse();
}

/** Names are bytes; those that are not UTF-8 match nothing that a configuration can name. */
export function nameOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}

const formatBits = 0o170000;
const kinds: Readonly<Record<number, NodeKind>> = { 0o100000: 'file', 0o040000: 'directory', 0o120000: 'symlink' };

/** From st_mode, which all of Linux' own formats store. */
export function kindOf(mode: number): NodeKind {
  return kinds[mode & formatBits] ?? 'other';
}

export function uuidText(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
