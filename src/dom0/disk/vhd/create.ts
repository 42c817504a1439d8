/** Makes an empty VHD, fixed or dynamic. */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { SECTOR_SIZE } from '../disk.ts';
import { DEFAULT_BLOCK_SIZE, DYNAMIC_HEADER_SIZE, serialiseDynamicHeader } from './dynamic-header.ts';
import { FOOTER_SIZE, MAX_VHD_SIZE, serialiseFooter } from './footer.ts';

export const vhdSubformats = ['dynamic', 'fixed'] as const;

export interface VhdCreateOptions {
  readonly size: number;
  readonly subformat: (typeof vhdSubformats)[number];
  /** 16 random bytes. */
  readonly uuid: Uint8Array;
  /** Seconds since the year 2000. */
  readonly timestamp: number;
}

/** The file is empty. */
export async function createVhd(file: DiskFile, { size, subformat, uuid, timestamp }: VhdCreateOptions): Promise<void> {
  if (file.kind !== 'file')
    throw new DiskError('EINVAL', `${file.path}: a VHD ends with its file, so it must be in one`);
  const whole = Math.ceil(size / SECTOR_SIZE) * SECTOR_SIZE;
  if (!(whole <= MAX_VHD_SIZE)) throw new DiskError('EINVAL', `${file.path}: a VHD has at most 2040 GiB`);
  const isFixed = subformat === 'fixed';
  const dataOffset = isFixed ? Infinity : FOOTER_SIZE;
  const footer = serialiseFooter({ type: subformat, size: whole, dataOffset, uuid, timestamp });
  if (isFixed) {
    await file.write(whole, [footer]);
  } else {
    const entries = Math.ceil(whole / DEFAULT_BLOCK_SIZE);
    const tableOffset = FOOTER_SIZE + DYNAMIC_HEADER_SIZE;
    const table = new Uint8Array(Math.max(1, Math.ceil((entries * 4) / SECTOR_SIZE)) * SECTOR_SIZE).fill(0xff);
    await file.write(tableOffset, [table, footer]);
    await file.write(FOOTER_SIZE, [serialiseDynamicHeader(tableOffset, entries, DEFAULT_BLOCK_SIZE)]);
    await file.write(0, [footer]);
  }
  await file.flush();
}
