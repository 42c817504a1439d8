/**
 * Where file systems may begin on a disk: the partitions of an MBR with its logical ones, or of a GPT (UEFI specification, "GUID Partition
 * Table (GPT) Disk Layout"), or the whole disk. The order is the one to look in: active partitions first, as pygrub does.
 */
import { type DiskBytes, SECTOR } from './disk-bytes.ts';

export interface Partition {
  readonly start: number;
  readonly size: number;
}

const SIGNATURE_AT = 510;
const ENTRIES_AT = 446;
const ENTRY_SIZE = 16;
const ACTIVE = 0x80;
const TYPE_GPT = 0xee;
const TYPES_EXTENDED: readonly number[] = [0x05, 0x0f, 0x85];
const MAX_LOGICAL = 64;
const MAX_GPT_ENTRIES = 256;
const MAX_GPT_ENTRY = 4096;

interface Entry extends Partition {
  readonly type: number;
  readonly active: boolean;
}

export async function partitionsOf(disk: DiskBytes): Promise<Partition[]> {
  const whole = { start: 0, size: disk.size };
  if (disk.size < 2 * SECTOR) return [whole];
  const entries = await tableAt(disk, 0);
  if (entries === undefined) return [whole];
  const found: Entry[] = [];
  for (const entry of entries) {
    if (entry.type === TYPE_GPT) {
      const gpt = await gptPartitions(disk);
      // A boot sector of a file system ends like an MBR, too.
      return gpt.length > 0 ? [...gpt, whole] : [whole];
    }
    if (TYPES_EXTENDED.includes(entry.type)) found.push(...(await logicalPartitions(disk, entry)));
    else found.push(entry);
  }
  return [...found.filter(({ active }) => active), ...found.filter(({ active }) => !active), whole];
}

/** The used entries of a table; undefined where there is none. */
async function tableAt(disk: DiskBytes, at: number): Promise<Entry[] | undefined> {
  if (at + SECTOR > disk.size) return undefined;
  const bytes = await disk.read(at, SECTOR);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint16(SIGNATURE_AT, true) !== 0xaa55) return undefined;
  const entries: Entry[] = [];
  for (let entry = ENTRIES_AT; entry < SIGNATURE_AT; entry += ENTRY_SIZE) {
    const start = view.getUint32(entry + 8, true) * SECTOR;
    const size = view.getUint32(entry + 12, true) * SECTOR;
    const type = view.getUint8(entry + 4);
    // Code that a boot sector has in this place seldom looks like a partition of this disk.
    if (start === 0 || size === 0 || type === 0 || start >= disk.size) continue;
    entries.push({ start, size, type, active: view.getUint8(entry) === ACTIVE });
  }
  return entries;
}

/** Each logical partition has a table with itself and the next table, which may lead around in a circle. */
async function logicalPartitions(disk: DiskBytes, extended: Entry): Promise<Entry[]> {
  const found: Entry[] = [];
  let table: number | undefined = extended.start;
  for (let count = 0; table !== undefined && count < MAX_LOGICAL; count++) {
    const entries: Entry[] = (await tableAt(disk, table)) ?? [];
    let next: number | undefined;
    for (const entry of entries) {
      if (TYPES_EXTENDED.includes(entry.type)) next = extended.start + entry.start;
      else if (table + entry.start < disk.size) found.push({ ...entry, start: table + entry.start });
    }
    table = next;
  }
  return found;
}

async function gptPartitions(disk: DiskBytes): Promise<Partition[]> {
  const header = await disk.read(SECTOR, SECTOR);
  if (String.fromCharCode(...header.subarray(0, 8)) !== 'EFI PART') return [];
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const at = sectors(view, 72);
  const count = Math.min(view.getUint32(80, true), MAX_GPT_ENTRIES);
  const entrySize = view.getUint32(84, true);
  if (entrySize < 128 || entrySize > MAX_GPT_ENTRY || at + count * entrySize > disk.size) return [];
  const table = await disk.read(at, count * entrySize);
  const entries = new DataView(table.buffer, table.byteOffset, table.length);
  const found: Partition[] = [];
  for (let entry = 0; entry < table.length; entry += entrySize) {
    if (table.subarray(entry, entry + 16).every((byte) => byte === 0)) continue;
    const start = sectors(entries, entry + 32);
    const end = sectors(entries, entry + 40) + SECTOR;
    if (start > 0 && start < disk.size && end > start) found.push({ start, size: end - start });
  }
  return found;
}

/** A 64-bit number of sectors, as bytes. Beyond what a number holds exactly it lies outside any disk. */
function sectors(view: DataView, at: number): number {
  return (view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)) * SECTOR;
}
