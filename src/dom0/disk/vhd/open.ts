/** Opens a VHD of any of its three types. */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { type Disk } from '../disk.ts';
import { RawDisk } from '../raw-disk.ts';
import { BlockTable } from './block-table.ts';
import { DynamicVhd } from './dynamic-vhd.ts';
import { readDynamicHeader } from './dynamic-header.ts';
import { FOOTER_SIZE, parseFooter, serialiseFooter, type VhdFooter } from './footer.ts';

export interface VhdOptions {
  /** Opens the parent of a differencing disk: the first of the names that there is. */
  readonly openParent: (names: readonly string[], uuid: Uint8Array) => Promise<Disk>;
  readonly takeMemory?: (bytes: number) => void;
}

/** The footer at the end of the file; that at its beginning is a copy, for when a crash has cut the end off. */
export async function readFooter(file: DiskFile): Promise<VhdFooter> {
  const size = await file.size();
  const bytes = new Uint8Array(FOOTER_SIZE);
  await file.read(Math.max(0, size - FOOTER_SIZE), [bytes]);
  const last = tryParse(bytes, file.path);
  if (last !== undefined) return last;
  await file.read(0, [bytes]);
  const first = parseFooter(bytes, file.path);
  if (first === undefined) throw new DiskError('EINVAL', `${file.path}: not a VHD image`);
  return first;
}

function tryParse(bytes: Uint8Array, path: string): VhdFooter | undefined {
  try {
    return parseFooter(bytes, path);
  } catch (error) {
    if (error instanceof DiskError) return undefined;
    throw error;
  }
}

export async function openVhd(file: DiskFile, options: VhdOptions): Promise<Disk> {
  const footer = await readFooter(file);
  const fileSize = await file.size();
  if (footer.type === 'fixed') {
    if (footer.size + FOOTER_SIZE > fileSize)
      throw new DiskError('EINVAL', `${file.path}: the file is shorter than the disk`);
    return new RawDisk(file, footer.size, 'vhd');
  }
  const isDifferencing = footer.type === 'differencing';
  if (isDifferencing && !file.readOnly) {
    throw new DiskError('ENOTSUP', `${file.path}: a differencing VHD can be read only`, {
      hint: 'xl-image convert makes an image that can be written',
    });
  }
  const header = await readDynamicHeader(file, footer);
  options.takeMemory?.(header.entries * 4);
  const table = new Uint8Array(header.entries * 4);
  await file.read(header.tableOffset, [table]);
  const blocks = new BlockTable(file, header, table, await footerBytes(file, footer), fileSize);
  const parent = isDifferencing ? await options.openParent(header.parentNames, header.parentUuid) : undefined;
  return new DynamicVhd({ file, size: footer.size, blocks, parent, isDifferencing });
}

/** As it is in the file, lest other programs' fields get lost. */
async function footerBytes(file: DiskFile, footer: VhdFooter): Promise<Uint8Array> {
  const bytes = new Uint8Array(FOOTER_SIZE);
  await file.read(0, [bytes]);
  return tryParse(bytes, file.path) === undefined ? serialiseFooter(footer) : bytes;
}
