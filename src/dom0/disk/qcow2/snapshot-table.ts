/** The table of internal snapshots (docs/interop/qcow2.txt, "Snapshots"). */
import { DiskError } from '../disk-error.ts';
import { MAX_L1_BYTES } from './header.ts';
import { type ImageFile } from './image-file.ts';

const FIXED = 40;
const MAX_TABLE_BYTES = 16 * 2 ** 20;
const MAX_EXTRA = 1024;
const ID_AND_NAME = 2 * 65535;

export interface Snapshot {
  readonly id: string;
  readonly name: string;
  readonly l1TableOffset: number;
  readonly l1Size: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Guest time that had run, in nanoseconds, as two halves. */
  readonly vmClock: readonly [high: number, low: number];
  /** Bytes of a machine's state that QEMU keeps behind the disk. */
  readonly vmStateSize: number;
  readonly diskSize: number;
  /** What a newer version keeps in an entry, as it is. */
  readonly extra: Uint8Array;
}

export async function readSnapshots(image: ImageFile): Promise<Snapshot[]> {
  const { header, file, clusterSize } = image;
  const snapshots: Snapshot[] = [];
  if (header.snapshotCount === 0) return snapshots;
  const wrong = (): DiskError => new DiskError('EINVAL', `${file.path}: the table of snapshots is damaged`);
  const rest = (await file.size()) - header.snapshotsOffset;
  const bytes = new Uint8Array(
    Math.max(0, Math.min(rest, MAX_TABLE_BYTES, header.snapshotCount * (FIXED + MAX_EXTRA + ID_AND_NAME))),
  );
  await file.read(header.snapshotsOffset, [bytes]);
  const view = new DataView(bytes.buffer);
  const long = (at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  let at = 0;
  for (let index = 0; index < header.snapshotCount; index++) {
    if (at + FIXED > bytes.length) throw wrong();
    const idLength = view.getUint16(at + 12);
    const nameLength = view.getUint16(at + 14);
    const extraLength = view.getUint32(at + 36);
    const end = at + FIXED + extraLength + idLength + nameLength;
    if (extraLength > MAX_EXTRA || end > bytes.length) throw wrong();
    const l1TableOffset = long(at);
    const l1Size = view.getUint32(at + 8);
    const isPlausible =
      l1TableOffset % clusterSize === 0 && Number.isSafeInteger(l1TableOffset) && l1Size * 8 <= MAX_L1_BYTES;
    if (!isPlausible) throw wrong();
    const extra = bytes.slice(at + FIXED, at + FIXED + extraLength);
    const idAt = at + FIXED + extraLength;
    snapshots.push({
      id: new TextDecoder().decode(bytes.slice(idAt, idAt + idLength)),
      name: new TextDecoder().decode(bytes.slice(idAt + idLength, end)),
      l1TableOffset,
      l1Size,
      seconds: view.getUint32(at + 16),
      nanoseconds: view.getUint32(at + 20),
      vmClock: [view.getUint32(at + 24), view.getUint32(at + 28)],
      vmStateSize: extraLength >= 8 ? long(at + FIXED) : view.getUint32(at + 32),
      diskSize: extraLength >= 16 ? long(at + FIXED + 8) : header.size,
      extra,
    });
    at = Math.ceil(end / 8) * 8;
  }
  return snapshots;
}

/** Bytes of the table with these in it. */
export function snapshotTableLength(snapshots: readonly Snapshot[]): number {
  return serialiseSnapshots(snapshots).length;
}

export function serialiseSnapshots(snapshots: readonly Snapshot[]): Uint8Array {
  const parts = snapshots.map(serialiseSnapshot);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function serialiseSnapshot(snapshot: Snapshot): Uint8Array {
  const text = new TextEncoder();
  const id = text.encode(snapshot.id);
  const name = text.encode(snapshot.name);
  const extra = new Uint8Array(Math.max(snapshot.extra.length, 16));
  extra.set(snapshot.extra);
  const bytes = new Uint8Array(Math.ceil((FIXED + extra.length + id.length + name.length) / 8) * 8);
  const view = new DataView(bytes.buffer);
  const long = (target: DataView, at: number, value: number): void => {
    target.setUint32(at, Math.floor(value / 2 ** 32));
    target.setUint32(at + 4, value % 2 ** 32);
  };
  const extraView = new DataView(extra.buffer);
  long(extraView, 0, snapshot.vmStateSize);
  long(extraView, 8, snapshot.diskSize);
  long(view, 0, snapshot.l1TableOffset);
  view.setUint32(8, snapshot.l1Size);
  view.setUint16(12, id.length);
  view.setUint16(14, name.length);
  view.setUint32(16, snapshot.seconds);
  view.setUint32(20, snapshot.nanoseconds);
  view.setUint32(24, snapshot.vmClock[0]);
  view.setUint32(28, snapshot.vmClock[1]);
  view.setUint32(32, snapshot.vmStateSize % 2 ** 32);
  view.setUint32(36, extra.length);
  bytes.set(extra, FIXED);
  bytes.set(id, FIXED + extra.length);
  bytes.set(name, FIXED + extra.length + id.length);
  return bytes;
}
