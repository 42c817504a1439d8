/** Writes the "newc" cpio archives that Linux unpacks as its first root (linux: buffer-format.rst). */
export interface CpioEntry {
  /** Without a leading slash. Folders that lead to it are added by themselves. */
  readonly path: string;
  readonly kind: CpioKind;
}
export type CpioKind =
  | { readonly type: 'file'; readonly content: Uint8Array; readonly executable?: boolean }
  | { readonly type: 'folder' }
  | { readonly type: 'link'; readonly target: string }
  | { readonly type: 'character'; readonly major: number; readonly minor: number };

const S_IFCHR = 0o020000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const TRAILER = 'TRAILER!!!';

/** Everything is root's and of the same age, so equal content gives equal archives. */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const seen = new Set<string>();
  let inode = 0;
  const add = (path: string, kind: CpioKind): void => {
    if (seen.has(path)) return;
    const slash = path.lastIndexOf('/');
    if (slash > 0) add(path.slice(0, slash), { type: 'folder' });
    seen.add(path);
    parts.push(...record(path, kind, ++inode));
  };
  for (const { path, kind } of entries) add(path, kind);
  parts.push(...record(TRAILER, { type: 'file', content: new Uint8Array() }, 0));
  return Buffer.concat(parts);
}

function record(path: string, kind: CpioKind, inode: number): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const { mode, content, links } = bodyOf(path, kind);
  const device = kind.type === 'character' ? [kind.major, kind.minor] : [0, 0];
  const numbers = [inode, mode, 0, 0, links, 0, content.length, 0, 0, ...device, name.length, 0];
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`;
  return [Buffer.from(header), name, padding(header.length + name.length), content, padding(content.length)];
}

function bodyOf(path: string, kind: CpioKind): { mode: number; content: Uint8Array; links: number } {
  switch (kind.type) {
    case 'file':
      return {
        mode: path === TRAILER ? 0 : S_IFREG | (kind.executable === true ? 0o755 : 0o644),
        content: kind.content,
        links: 1,
      };
    case 'folder':
      return { mode: S_IFDIR | 0o755, content: new Uint8Array(), links: 2 };
    case 'link':
      return { mode: S_IFLNK | 0o777, content: Buffer.from(kind.target), links: 1 };
    case 'character':
      return { mode: S_IFCHR | 0o600, content: new Uint8Array(), links: 1 };
  }
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
