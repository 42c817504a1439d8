/** Disks for the tests of this folder: in memory, from a file, and file systems that the real tools make without root. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ReadableDisk } from '../disk-bytes.ts';

export const MIB = 1 << 20;

export function memoryDisk(bytes: Uint8Array): ReadableDisk {
  return {
    size: bytes.length,
    read(offset, into) {
      let at = offset;
      for (const segment of into) {
        if (at % 512 !== 0 || segment.length % 512 !== 0 || at + segment.length > bytes.length)
          return Promise.reject(new Error(`a read of ${segment.length} bytes at ${at}`));
        segment.set(bytes.subarray(at, at + segment.length));
        at += segment.length;
      }
      return Promise.resolve();
    },
  };
}

/** What is in a guest: a text, or where a symbolic link leads. */
export type Tree = Readonly<Record<string, string | Uint8Array | { readonly link: string }>>;

export function writeTree(folder: string, tree: Tree): void {
  for (const [path, content] of Object.entries(tree)) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    if (typeof content === 'string' || content instanceof Uint8Array) writeFileSync(target, content);
    else symlinkSync(content.link, target);
  }
}

export function hasTool(name: string): boolean {
  try {
    execFileSync(name, ['-V'], { stdio: 'ignore', env: toolEnvironment });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** Debian keeps them where only root's PATH leads. */
const toolEnvironment = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, MKE2FS_SYNC: '0' };

export function tool(name: string, args: readonly string[], input?: string): string {
  return execFileSync(name, args, {
    env: toolEnvironment,
    stdio: 'pipe',
    encoding: 'utf8',
    ...(input === undefined ? {} : { input }),
  });
}

/** A file system of any kind that mke2fs makes, filled from a folder. */
export function extImage(folder: string, tree: Tree, options: readonly string[], sizeMiB = 16): Uint8Array {
  const root = join(folder, 'root');
  mkdirSync(root, { recursive: true });
  const image = join(folder, 'image');
  writeTree(root, tree);
  tool('mke2fs', ['-q', '-F', '-d', root, ...options, image, `${sizeMiB}M`]);
  return readFileSync(image);
}

/** mkfs.xfs fills a file system from a description of it. */
export function xfsImage(folder: string, tree: Tree, options: readonly string[], sizeMiB = 32): Uint8Array {
  const image = join(folder, 'image');
  const prototype = join(folder, 'prototype');
  let number = 0;
  const lines = (node: Nested): string[] =>
    [...node].flatMap(([name, value]) => {
      if (value instanceof Map) return [`${name} d--755 0 0`, ...lines(value), '$'];
      if (typeof value === 'string') return [`${name} l--777 0 0 ${value}`];
      const file = join(folder, `file-${number++}`);
      writeFileSync(file, value);
      return [`${name} ---644 0 0 ${file}`];
    });
  writeFileSync(prototype, ['/', '0 0', 'd--755 0 0', ...lines(nested(tree)), '$', ''].join('\n'));
  tool('mkfs.xfs', [
    '--unsupported',
    '-q',
    '-f',
    '-p',
    prototype,
    ...options,
    '-d',
    `file,name=${image},size=${sizeMiB}m`,
  ]);
  return readFileSync(image);
}

type Nested = Map<string, Nested | Uint8Array | string>;

function nested(tree: Tree): Nested {
  const root: Nested = new Map();
  for (const [path, content] of Object.entries(tree)) {
    const parts = path.split('/').filter((part) => part !== '');
    const name = parts.pop() ?? '';
    let folder = root;
    for (const part of parts) {
      const next = folder.get(part);
      const child: Nested = next instanceof Map ? next : new Map();
      folder.set(part, child);
      folder = child;
    }
    folder.set(
      name,
      typeof content === 'string' ? Buffer.from(content) : content instanceof Uint8Array ? content : content.link,
    );
  }
  return root;
}

/** A disk with an MBR and the given partitions, each from a mebibyte on. */
export function partitioned(parts: readonly { content: Uint8Array; active?: boolean; type?: number }[]): Uint8Array {
  const size = parts.reduce((total, { content }) => total + content.length, MIB);
  const disk = new Uint8Array(size);
  const view = new DataView(disk.buffer);
  let at = MIB;
  parts.forEach(({ content, active, type }, number) => {
    const entry = 446 + number * 16;
    view.setUint8(entry, active === true ? 0x80 : 0);
    view.setUint8(entry + 4, type ?? 0x83);
    view.setUint32(entry + 8, at / 512, true);
    view.setUint32(entry + 12, content.length / 512, true);
    disk.set(content, at);
    at += content.length;
  });
  view.setUint16(510, 0xaa55, true);
  return disk;
}
