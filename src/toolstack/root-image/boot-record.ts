/** A master boot record with one active Linux partition, from the first mebibyte to the end. Its code is empty: nothing starts a PV domain by it. */
export const FIRST_PARTITION = 1 << 20;

const SECTOR = 512;
const ENTRY = 446;
const ACTIVE = 0x80;
const TYPE_LINUX = 0x83;
/** Cylinder, head and sector of what lies beyond their reach. */
const FAR = [0xfe, 0xff, 0xff];

export function bootRecord(diskSize: number): Uint8Array {
  const record = new Uint8Array(SECTOR);
  const view = new DataView(record.buffer);
  record.set([ACTIVE, ...FAR, TYPE_LINUX, ...FAR], ENTRY);
  view.setUint32(ENTRY + 8, FIRST_PARTITION / SECTOR, true);
  view.setUint32(ENTRY + 12, (diskSize - FIRST_PARTITION) / SECTOR, true);
  view.setUint16(510, 0xaa55, true);
  return record;
}
