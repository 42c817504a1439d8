/** What the formats need of the place they run in: files, and compression. `src/host/node/disk-files.ts` implements it with Node's fs and zlib. */
import { type Segments } from './disk.ts';

/** A file or block device that holds an image. All methods fail with a DiskError. */
export interface DiskFile {
  /** The name for messages. */
  readonly path: string;
  /** A block device has a size of its own: it neither grows nor shrinks, and what was never written is not known to be zero. */
  readonly kind: 'file' | 'block device';
  readonly readOnly: boolean;
  /** Whether `punch` gives space back. To ask harms nothing that is under way. */
  readonly punches: boolean;
  /** Bytes at this moment. */
  size(): Promise<number>;
  /** Fills the segments; beyond the end of the file there are zeroes. */
  read(offset: number, into: Segments): Promise<void>;
  /** Writes all of the segments. A file grows when it has to. */
  write(offset: number, from: Segments): Promise<void>;
  /** `read`, if that can be had without waiting for a disk or another thread; false: not, and what the segments hold is undefined. */
  readNow?(offset: number, into: Segments): boolean;
  /** `write`, if that can be had without waiting; false: not all of it is written, and it is to be written again. */
  writeNow?(offset: number, from: Segments): boolean;
  /** Sets the size; new bytes are zeroes. EINVAL on a block device. */
  truncate(size: number): Promise<void>;
  /** The range reads as zeroes afterwards and takes no space; the file does not grow. ENOTSUP where the host cannot do that: nothing has changed then. */
  punch(offset: number, length: number): Promise<void>;
  /** All writes that have been answered are on the disk (fdatasync). */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface Codecs {
  /** Raw deflate (RFC 1951) of at most `limit` bytes; what follows the end of the stream is ignored. Rejects what is corrupt. */
  inflateRaw(bytes: Uint8Array, limit: number): Promise<Uint8Array>;
  deflateRaw(bytes: Uint8Array): Promise<Uint8Array>;
  /** One zstd frame (RFC 8878) of at most `limit` bytes. */
  zstdDecompress(bytes: Uint8Array, limit: number): Promise<Uint8Array>;
  zstdCompress(bytes: Uint8Array): Promise<Uint8Array>;
}

export interface OpenFileOptions {
  readonly readOnly: boolean;
  /**
   * Who opens for writing has the file alone: a second writer is EBUSY. `shared` is for those who only look, such as the image tool's
   * `info`, and for backing files: many may read the same one, while nobody writes it.
   */
  readonly shared?: boolean;
}

export interface DiskHost {
  open(path: string, options: OpenFileOptions): Promise<DiskFile>;
  /** A new, empty file, open for writing. EEXIST when there is one and `overwrite` is not set; a block device is opened as it is. */
  create(path: string, options?: { readonly overwrite?: boolean }): Promise<DiskFile>;
  /** A new, empty file, open for writing, for data that is of no use to anybody else: closing removes it. EEXIST when there is one. */
  createTemporary(path: string): Promise<DiskFile>;
  /** What a name written in the image at `base` means: relative names are relative to the image's folder. */
  resolve(base: string, name: string): string;
  readonly codecs: Codecs;
}
