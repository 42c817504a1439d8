/** What a kernel module says of itself in its section .modinfo (linux: include/linux/moduleparam.h, MODULE_INFO). */
import { CorruptData } from '../builder/compression/corrupt-data.ts';
import { compressionOf, decompressStream } from '../builder/compression/decompress.ts';
import { ElfError, elfSections } from '../builder/elf-file.ts';

export interface KernelModule {
  /** With underscores, as the kernel names it. */
  readonly name: string;
  readonly depends: readonly string[];
  readonly aliases: readonly string[];
  /** The plain ELF file. */
  readonly bytes: Uint8Array;
}

const FILE_NAME = /([^/]+)\.ko(\.(xz|zst|gz))?$/;

/** The module's name by its file's name; `undefined` for other files. */
export function moduleNameOf(path: string): string | undefined {
  const base = FILE_NAME.exec(path)?.[1];
  return base === undefined ? undefined : canonicalName(base);
}

/** Files are named with `-` or `_`, as it comes; the kernel knows underscores only. */
export function canonicalName(name: string): string {
  return name.replaceAll('-', '_');
}

export function readModule(path: string, file: Uint8Array): KernelModule {
  const bytes = compressionOf(file) === undefined ? file : decompressStream(file);
  let modinfo: Uint8Array | undefined;
  try {
    modinfo = elfSections(bytes).find((section) => section.name === '.modinfo')?.content;
  } catch (cause) {
    if (cause instanceof ElfError)
      throw new CorruptData(`the kernel module ${path} is damaged: ${cause.message}`, { cause });
    throw cause;
  }
  const entries = new TextDecoder()
    .decode(modinfo ?? new Uint8Array())
    .split('\0')
    .map((entry) => ({ key: entry.slice(0, entry.indexOf('=')), value: entry.slice(entry.indexOf('=') + 1) }));
  const valuesOf = (key: string): string[] => entries.filter((entry) => entry.key === key).map((entry) => entry.value);
  return {
    name: moduleNameOf(path) ?? path,
    depends: valuesOf('depends').flatMap(list).map(canonicalName),
    aliases: valuesOf('alias'),
    bytes,
  };
}

function list(value: string): string[] {
  return value.split(',').filter((name) => name !== '');
}
