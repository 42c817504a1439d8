/**
 * The images that domains have open for writing, and the layers on them: snapshots, and the overlays that clones write to. An image stays open, and locked, while
 * somebody has it or reads a snapshot of it; so a domain may end, or begin again, while its clones go on.
 */
import { DiskError } from '../disk-error.ts';
import { type DiskFile, type DiskHost } from '../disk-file.ts';
import { type Disk, type DiskFormat } from '../disk.ts';
import { openDisk, type OpenDiskOptions } from '../open-disk.ts';
import { type DiskSnapshot } from './disk-snapshot.ts';
import { Origin } from './origin.ts';
import { OverlayDisk } from './overlay-disk.ts';
import { OwnedDisk } from './owned-disk.ts';

/** How many disks may lie behind each other: an overlay of an overlay, and so on. */
const MAX_DEPTH = 64;

interface Image {
  readonly path: string;
  readonly format: DiskFormat;
  readonly origin: Origin;
  /** A domain has it. */
  owned: boolean;
  /** An overlay, until its domain is gone for good; or a snapshot is just being taken. */
  pins: number;
  closing: Promise<void> | undefined;
}

/** Why an image must stay where it is. */
export interface Ties {
  readonly isOverlay: boolean;
  readonly hasSnapshots: boolean;
}

export class DiskImages {
  readonly #host: DiskHost;
  readonly #folder: string;
  readonly #images = new Map<string, Image>();
  readonly #overlays = new Set<string>();
  #files = 0;

  /** `folder` is for files that nobody else writes to, and is there and empty. */
  constructor(host: DiskHost, folder: string) {
    this.#host = host;
    this.#folder = folder;
  }

  /** As `openDisk`. To read an image that has snapshots, or an overlay, gives a snapshot of it. Throws DiskError. */
  async open(path: string, options: OpenDiskOptions): Promise<Disk> {
    const image = await this.#find(path);
    if (image === undefined) {
      const disk = await this.#openFile(path, options);
      return options.readOnly ? disk : this.#own(this.#add(path, disk, options.format, 1));
    }
    const isOnlyRead = image.origin.disk.readOnly;
    if (image.format !== options.format || (image.owned && !(options.readOnly && options.shared === true)))
      throw new DiskError('EBUSY', `${path} is in use`, { hint: 'another domain has it open' });
    if (options.readOnly) return this.#snapshot(image);
    if (isOnlyRead) throw new DiskError('EBUSY', `${path} is in use`, { hint: 'clones read from it' });
    return this.#own(image);
  }

  /** The image as it is now, whoever writes to it. One that nobody has open is opened, and nobody writes to it until the snapshot is closed. */
  async snapshot(path: string, format: DiskFormat): Promise<DiskSnapshot> {
    let image = await this.#find(path);
    if (image === undefined) {
      const disk = await this.#openFile(path, { format, readOnly: true });
      image = await this.#find(path);
      if (image === undefined) image = this.#add(path, disk, format, 1);
      else await disk.close();
    }
    if (image.format !== format) throw new DiskError('EBUSY', `${path} is in use as ${image.format}`);
    return this.#snapshot(image);
  }

  /**
   * A new disk that shows the snapshot until it is written to: raw, and to be opened under the path that is returned. It lasts until `removeOverlay`, whoever opens and
   * closes it meanwhile. The snapshot may be closed.
   */
  async createOverlay(name: string, snapshot: DiskSnapshot): Promise<string> {
    const depth = snapshot.depth + 1;
    if (depth > MAX_DEPTH) throw new DiskError('ENOTSUP', `more than ${MAX_DEPTH} disks lie behind each other`);
    const file = await this.#createFile(name);
    try {
      await file.truncate(snapshot.size);
      const image = this.#add(file.path, new OverlayDisk(file, await snapshot.again()), 'raw', depth);
      image.pins++;
      this.#overlays.add(file.path);
      return file.path;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** It goes when nobody has it open, nor a snapshot of it. Does nothing when it is no overlay. */
  async removeOverlay(path: string): Promise<void> {
    const image = this.#images.get(path);
    if (!this.#overlays.delete(path) || image === undefined) return;
    image.pins--;
    await this.#closeUnused(image);
  }

  /** Whether others depend on the image, or it on them. */
  ties(path: string): Ties {
    return {
      isOverlay: this.#overlays.has(path),
      hasSnapshots: this.#images.get(path)?.origin.hasSnapshots === true,
    };
  }

  /** Closes all images, whoever has them. */
  async close(): Promise<void> {
    this.#overlays.clear();
    await Promise.all([...this.#images.values()].map((image) => this.#close(image)));
  }

  #add(path: string, disk: Disk, format: DiskFormat, depth: number): Image {
    const origin = new Origin(disk, depth, {
      createFile: () => this.#createFile('kept'),
      onFree: () => this.#closeUnused(image),
    });
    const image: Image = { path, format, origin, owned: false, pins: 0, closing: undefined };
    this.#images.set(path, image);
    return image;
  }

  #own(image: Image): Disk {
    image.owned = true;
    return new OwnedDisk(image.origin, async () => {
      try {
        if (this.#isUsedByOthers(image)) await image.origin.disk.flush();
      } finally {
        image.owned = false;
        await this.#closeUnused(image);
      }
    });
  }

  async #snapshot(image: Image): Promise<DiskSnapshot> {
    image.pins++;
    try {
      return await image.origin.snapshot();
    } finally {
      image.pins--;
      await this.#closeUnused(image);
    }
  }

  #isUsedByOthers({ pins, origin }: Image): boolean {
    return pins > 0 || origin.hasSnapshots;
  }

  async #closeUnused(image: Image): Promise<void> {
    if (!image.owned && !this.#isUsedByOthers(image)) await this.#close(image);
  }

  #close(image: Image): Promise<void> {
    image.closing ??= image.origin.disk.close().finally(() => this.#images.delete(image.path));
    return image.closing;
  }

  /** One that is just being closed is waited for. */
  async #find(path: string): Promise<Image | undefined> {
    for (;;) {
      const image = this.#images.get(path);
      if (image?.closing === undefined) return image;
      // Whoever closes it is told what went wrong.
      await image.closing.catch(() => undefined);
    }
  }

  async #openFile(path: string, options: OpenDiskOptions): Promise<Disk> {
    if (path.startsWith(`${this.#folder}/`))
      throw new DiskError('ENOENT', `${path} is no disk any more: its domain is gone`);
    return openDisk(this.#host, path, options);
  }

  #createFile(name: string): Promise<DiskFile> {
    return this.#host.createTemporary(`${this.#folder}/${++this.#files}-${name}`);
  }
}
