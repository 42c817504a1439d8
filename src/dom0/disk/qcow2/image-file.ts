/** What all parts of an open qcow2 image share: its file, its geometry, and how a damaged one is given up. */
import { DiskError } from '../disk-error.ts';
import { type DiskFile } from '../disk-file.ts';
import { Turns } from '../turns.ts';
import { headerAt, Incompatible, type Qcow2Header } from './header.ts';

/** Clusters that follow each other in the file, by number. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

export class ImageFile {
  readonly file: DiskFile;
  readonly header: Qcow2Header;
  readonly clusterSize: number;
  /** What is wrong with the image, once something is. It is not written to any more. */
  damage: string | undefined;
  /** Bytes of the file that hold something, or may: what lies beyond reads as zeroes. */
  end = 0;
  /** Tables in memory are written to the file by one at a time, lest an older copy overtake a newer one. */
  readonly metadataWrites = new Turns();
  /** Clusters that hold the header and tables: no data is written there, whatever a damaged table says. */
  readonly #reserved = new Set([0]);

  constructor(file: DiskFile, header: Qcow2Header) {
    this.file = file;
    this.header = header;
    this.clusterSize = 2 ** header.clusterBits;
  }

  /** For a table that points where nothing can be. The image is marked, so that nobody else writes to it before it is repaired. */
  async corrupt(what: string): Promise<never> {
    if (this.damage === undefined) {
      this.damage = what;
      if (!this.file.readOnly && this.header.version >= 3) {
        await this.setIncompatible(this.header.incompatibleFeatures | Incompatible.corrupt).catch(() => undefined);
      }
    }
    throw this.damaged();
  }

  damaged(): DiskError {
    return new DiskError('EIO', `${this.file.path} is corrupt: ${this.damage}`, {
      hint: 'xl-image check -r all repairs what can be repaired',
    });
  }

  reserve({ first, count }: ClusterRun): void {
    for (let cluster = first; cluster < first + count; cluster++) this.#reserved.add(cluster);
    this.end = Math.max(this.end, (first + count) * this.clusterSize);
  }

  unreserve({ first, count }: ClusterRun): void {
    for (let cluster = first; cluster < first + count; cluster++) this.#reserved.delete(cluster);
  }

  isReserved({ first, count }: ClusterRun): boolean {
    for (let cluster = first; cluster < first + count; cluster++) if (this.#reserved.has(cluster)) return true;
    return false;
  }

  /** The clusters that a piece of the file touches. */
  clustersAt(offset: number, bytes: number): ClusterRun {
    const first = Math.floor(offset / this.clusterSize);
    return { first, count: bytes === 0 ? 0 : Math.floor((offset + bytes - 1) / this.clusterSize) - first + 1 };
  }

  requireSound(): void {
    if (this.damage !== undefined) throw this.damaged();
  }

  async setIncompatible(features: number): Promise<void> {
    this.header.incompatibleFeatures = features;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(4, features);
    await this.file.write(headerAt.incompatible, [bytes]);
    await this.file.flush();
  }

  /** Writes fields of the header, all in one write: a crash leaves the old ones or the new ones. */
  async writeHeaderFields(at: number, fields: readonly (readonly [width: 4 | 8, value: number])[]): Promise<void> {
    const bytes = new Uint8Array(fields.reduce((sum, [width]) => sum + width, 0));
    const view = new DataView(bytes.buffer);
    let offset = 0;
    for (const [width, value] of fields) {
      if (width === 8) view.setUint32(offset, Math.floor(value / 2 ** 32));
      view.setUint32(offset + width - 4, value % 2 ** 32);
      offset += width;
    }
    await this.file.write(at, [bytes]);
  }
}
