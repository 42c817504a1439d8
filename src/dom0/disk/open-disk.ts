/** Opens an image. The format is told, never guessed: a guest that writes a qcow2 header into its raw disk must not get to read other files. */
import { DiskError } from './disk-error.ts';
import { type DiskFile, type DiskHost, type OpenFileOptions } from './disk-file.ts';
import { type Disk, type DiskFormat, diskFormats } from './disk.ts';
import { probeFormat } from './probe.ts';
import { openQcow2 } from './qcow2/open.ts';
import { RawDisk, unknownFormat } from './raw-disk.ts';
import { openVhd, readFooter } from './vhd/open.ts';

/** How many images may lie behind each other. */
const MAX_CHAIN = 64;
/** Bytes that all images of a chain may keep in tables for as long as they are open. */
const MAX_CHAIN_TABLES = 256 * 2 ** 20;

export interface OpenDiskOptions extends OpenFileOptions {
  readonly format: DiskFormat;
}

interface Chain {
  readonly depth: number;
  readonly tables: { bytes: number };
}

export function openDisk(host: DiskHost, path: string, options: OpenDiskOptions): Promise<Disk> {
  return openLink(host, path, options, { depth: 1, tables: { bytes: 0 } });
}

async function openLink(host: DiskHost, path: string, options: OpenDiskOptions, chain: Chain): Promise<Disk> {
  if (chain.depth > MAX_CHAIN) {
    throw new DiskError('EINVAL', `${path}: more than ${MAX_CHAIN} images lie behind each other`, {
      hint: 'is an image its own backing file?',
    });
  }
  const file = await host.open(path, options);
  try {
    return await formats[options.format](host, file, options, chain);
  } catch (error) {
    await file.close();
    throw error;
  }
}

type Open = (host: DiskHost, file: DiskFile, options: OpenDiskOptions, chain: Chain) => Promise<Disk>;

const formats: Readonly<Record<DiskFormat, Open>> = {
  raw: (_host, file) => RawDisk.open(file),
  qcow2: (host, file, { shared = false }, chain) =>
    openQcow2(file, {
      codecs: host.codecs,
      openBacking: (name, format) => openBacking(host, file.path, name, format, shared, behind(chain)),
      takeMemory: (bytes) => takeMemory(chain, bytes, file.path),
    }),
  vhd: (host, file, { shared = false }, chain) =>
    openVhd(file, {
      openParent: (names, uuid) => openParent(host, file.path, names, uuid, shared, behind(chain)),
      takeMemory: (bytes) => takeMemory(chain, bytes, file.path),
    }),
};

function behind({ depth, tables }: Chain): Chain {
  return { depth: depth + 1, tables };
}

function takeMemory({ tables }: Chain, bytes: number, path: string): void {
  tables.bytes += bytes;
  if (tables.bytes > MAX_CHAIN_TABLES) throw new DiskError('ENOTSUP', `${path}: the tables take too much memory`);
}

/** The parent of a differencing VHD, which must be the one that it was made from. */
async function openParent(
  host: DiskHost,
  base: string,
  names: readonly string[],
  uuid: Uint8Array,
  shared: boolean,
  chain: Chain,
): Promise<Disk> {
  for (const name of names) {
    const path = host.resolve(base, name);
    let file: DiskFile;
    try {
      file = await host.open(path, { readOnly: true, shared });
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOENT') continue;
      throw error;
    }
    try {
      const footer = await readFooter(file);
      if (footer.uuid.some((byte, index) => byte !== uuid[index])) {
        throw new DiskError('EINVAL', `${base}: ${path} is not the parent that it was made from`);
      }
    } finally {
      await file.close();
    }
    return openLink(host, path, { format: 'vhd', readOnly: true, shared }, chain);
  }
  throw new DiskError('ENOENT', `${base}: its parent is not there (${names.join(', ') || 'it names none'})`);
}

async function openBacking(
  host: DiskHost,
  base: string,
  name: string,
  format: string | undefined,
  shared: boolean,
  chain: Chain,
): Promise<Disk> {
  const local = name.replace(/^file:/, '');
  if (/^[a-z][a-z0-9+.-]*:/i.test(local)) {
    throw new DiskError('ENOTSUP', `${base}: the backing file "${name}" is not a local file`);
  }
  const path = host.resolve(base, local);
  try {
    const known = format === undefined ? await requireRaw(host, path) : knownFormat(format);
    return await openLink(host, path, { format: known, readOnly: true, shared }, chain);
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    throw new DiskError(error.code, `${base}: its backing file: ${error.message}`, { hint: error.hint, cause: error });
  }
}

/**
 * A backing file whose format nobody has written down is raw, for it may have been a guest's raw disk. One that looks like an image is
 * refused: a guest may have made it look so.
 */
async function requireRaw(host: DiskHost, path: string): Promise<DiskFormat> {
  const format = await probeFormat(host, path);
  if (format === 'raw') return format;
  throw new DiskError('EINVAL', `${path} looks like ${format}, but the image above does not say so`, {
    hint: `when it is to be trusted: qemu-img rebase -u -b FILE -F ${format} IMAGE`,
  });
}

function knownFormat(format: string): DiskFormat {
  const known = format === 'vpc' ? 'vhd' : diskFormats.find((one) => one === format);
  if (known === undefined) throw unknownFormat(format);
  return known;
}
