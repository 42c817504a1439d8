/** Image files and block devices through Node's fs. Reads and writes go straight from and to the caller's memory, shared or not. */
import {
  close,
  constants,
  fdatasync,
  fstat,
  fstatSync,
  ftruncate,
  open,
  read,
  readv,
  unlink,
  write,
  writev,
  writevSync,
  type BigIntStats,
} from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import {
  DiskError,
  totalLength,
  type DiskErrorCode,
  type DiskFile,
  type DiskHost,
  type Segments,
} from '../../dom0/disk/index.ts';
import { blockDeviceSize } from './block-device-size.ts';
import { nodeCodecs } from './disk-codecs.ts';
import { lockImage, type LockMode } from './disk-lock.ts';
import { punchHoleLater } from './hole-thread.ts';
import { canPunch } from './holes.ts';
import { readCached } from './page-cache.ts';
import { QuickWrites } from './quick-writes.ts';

// Opening a FIFO that an image names as its backing file must not hold a thread.
const openFlags = {
  read: constants.O_RDONLY | constants.O_NONBLOCK,
  write: constants.O_RDWR | constants.O_NONBLOCK,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  temporary: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
} as const;

/** A write of parts of these has to read the rest of the page first, perhaps from the disk. */
const PAGE_SIZE = 4096;

/** A long hole is made in pieces: a filesystem does nothing else with the file meanwhile. */
const PUNCH_AT_A_TIME = 64 * 2 ** 20;

/** What one readv or writev takes (IOV_MAX of Linux). */
const SEGMENTS_AT_A_TIME = 1024;

export const nodeDiskHost: DiskHost = {
  open: (path, { readOnly, shared = false }) =>
    openFile(path, readOnly ? 'read' : 'write', shared ? 'look' : readOnly ? 'read' : 'write'),
  create: async (path, { overwrite = false } = {}) => {
    const file = await openFile(path, 'create', 'write').catch((error: unknown) => {
      if (error instanceof DiskError && error.code === 'EEXIST') return undefined;
      throw error;
    });
    if (file !== undefined) return file;
    const there = await openFile(path, 'write', 'write');
    if (there.kind === 'block device') return there;
    if (overwrite) {
      await there.truncate(0);
      return there;
    }
    await there.close();
    throw new DiskError('EEXIST', `${path} exists already`);
  },
  // Nobody else looks for it, so there is no lock.
  createTemporary: (path) => openFile(path, 'temporary', 'look'),
  resolve: (base, name) => (isAbsolute(name) ? name : resolve(dirname(base), name)),
  codecs: nodeCodecs,
};

/** Begins one of Node's calls. */
type Start<T> = (done: (error: NodeJS.ErrnoException | null, result?: T) => void) => void;

class NodeDiskFile implements DiskFile {
  readonly path: string;
  readonly kind: DiskFile['kind'];
  readonly readOnly: boolean;
  readonly #way: keyof typeof openFlags;
  readonly #fd: number;
  readonly #unlock: () => void;
  readonly #quickWrites = new QuickWrites();
  /** By other threads. A filesystem lets one writer in at a time, and one may wait inside. */
  #changes = 0;
  #punches: boolean;

  constructor(path: string, stat: BigIntStats, way: keyof typeof openFlags, fd: number, unlock: () => void) {
    this.path = path;
    this.kind = stat.isFile() ? 'file' : 'block device';
    this.readOnly = way === 'read';
    this.#way = way;
    this.#fd = fd;
    // Now, before anything is written: what is asked makes a hole behind the end, where the next write may go.
    this.#punches = way !== 'read' && canPunch(fd, this.kind, Number(fstatSync(fd).size), stat.rdev);
    this.#unlock = unlock;
  }

  get punches(): boolean {
    return this.#punches;
  }

  async size(): Promise<number> {
    if (this.kind === 'block device') return blockDeviceSize(this.#fd, this.path);
    return Number((await this.#stat()).size);
  }

  async read(offset: number, into: Segments): Promise<void> {
    let at = offset;
    let left = into;
    while (left.length > 0) {
      const batch = left.slice(0, SEGMENTS_AT_A_TIME);
      const count = await this.#call<number>('read', (done) => {
        const [first] = batch;
        if (first !== undefined && batch.length === 1) read(this.#fd, first, 0, first.length, at, done);
        else readv(this.#fd, batch, at, done);
      });
      left = after(left, count);
      if (count > 0) at += count;
      else {
        // The end of the file.
        for (const segment of left) segment.fill(0);
        return;
      }
    }
  }

  async write(offset: number, from: Segments): Promise<void> {
    let at = offset;
    let left = after(from, 0);
    while (left.length > 0) {
      const batch = left.slice(0, SEGMENTS_AT_A_TIME);
      const count = await this.#change<number>('write', (done) => {
        const [first] = batch;
        if (first !== undefined && batch.length === 1) write(this.#fd, first, 0, first.length, at, done);
        else writev(this.#fd, batch, at, done);
      });
      if (count === 0) throw new DiskError('ENOSPC', `${this.path}: nothing more can be written at ${at}`);
      left = after(left, count);
      at += count;
    }
  }

  readNow(offset: number, into: Segments): boolean {
    return readCached(this.#fd, offset, into);
  }

  writeNow(offset: number, from: Segments): boolean {
    const length = totalLength(from);
    if (offset % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0 || from.length > SEGMENTS_AT_A_TIME) return false;
    if (this.#changes > 0 || !this.#quickWrites.allowed) return false;
    try {
      return this.#quickWrites.run(() => writevSync(this.#fd, from, offset)) === length;
    } catch {
      // It is tried again, and its error told, by `write`.
      return false;
    }
  }

  async truncate(size: number): Promise<void> {
    if (this.kind === 'block device')
      throw new DiskError('EINVAL', `${this.path} is a block device; its size is its own`);
    await this.#change<undefined>('resize', (done) => ftruncate(this.#fd, size, done));
  }

  async punch(offset: number, length: number): Promise<void> {
    for (let at = offset; at < offset + length; at += PUNCH_AT_A_TIME) {
      this.#changes++;
      try {
        // What refuses once is not asked again.
        this.#punches = await punchHoleLater(this.#fd, at, Math.min(PUNCH_AT_A_TIME, offset + length - at));
      } finally {
        this.#changes--;
      }
      if (!this.#punches) throw new DiskError('ENOTSUP', `${this.path}: the host does not take space back`);
    }
  }

  async flush(): Promise<void> {
    await this.#call<undefined>('flush', (done) => fdatasync(this.#fd, done));
  }

  async close(): Promise<void> {
    try {
      // What it has is given back by the thread that closes it.
      if (this.#way === 'temporary') await this.#call<undefined>('remove', (done) => unlink(this.path, done));
    } finally {
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    try {
      await this.#call<undefined>('close', (done) => close(this.#fd, done));
    } finally {
      this.#unlock();
    }
  }

  #stat(): Promise<BigIntStats> {
    return this.#call('read', (done) => fstat(this.#fd, { bigint: true }, done));
  }

  async #change<T>(verb: string, start: Start<T>): Promise<T> {
    this.#changes++;
    try {
      return await this.#call(verb, start);
    } finally {
      this.#changes--;
    }
  }

  #call<T>(verb: string, start: Start<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      start((error, result) => (error === null ? resolve(result as T) : reject(diskError(verb, this.path, error))));
    });
  }
}

/** What is left of the segments after `count` bytes; empty segments go as well. */
function after(segments: Segments, count: number): Segments {
  let skip = count;
  let index = 0;
  for (; index < segments.length; index++) {
    const length = segments[index]?.length ?? 0;
    if (length > skip) break;
    skip -= length;
  }
  const rest = index === 0 ? segments : segments.slice(index);
  const [first, ...others] = rest;
  return first === undefined || skip === 0 ? rest : [first.subarray(skip), ...others];
}

async function openFile(path: string, way: keyof typeof openFlags, mode: LockMode): Promise<DiskFile> {
  const fd = await new Promise<number>((resolve, reject) => {
    open(path, openFlags[way], 0o666, (error, result) =>
      error === null ? resolve(result) : reject(diskError('open', path, error)),
    );
  });
  try {
    const stat = await new Promise<BigIntStats>((resolve, reject) => {
      fstat(fd, { bigint: true }, (error, result) =>
        error === null ? resolve(result) : reject(diskError('open', path, error)),
      );
    });
    const kind = stat.isFile() ? 'file' : stat.isBlockDevice() ? 'block device' : undefined;
    if (kind === undefined) throw new DiskError('EINVAL', `${path} is neither a file nor a block device`);
    const key = kind === 'file' ? `${stat.dev}-${stat.ino}` : `device-${stat.rdev}`;
    const unlock = await lockImage(key, mode);
    if (unlock === undefined) {
      throw new DiskError('EBUSY', `${path} is in use`, {
        hint: mode === 'write' ? 'another domain or command has it open' : 'another domain or command writes to it',
      });
    }
    return new NodeDiskFile(path, stat, way, fd, unlock);
  } catch (error) {
    close(fd, () => undefined);
    throw error;
  }
}

const codes: Readonly<Record<string, DiskErrorCode>> = {
  ENOENT: 'ENOENT',
  EACCES: 'EACCES',
  EPERM: 'EACCES',
  EROFS: 'EROFS',
  ENOSPC: 'ENOSPC',
  EDQUOT: 'ENOSPC',
  EFBIG: 'ENOSPC',
  EEXIST: 'EEXIST',
  EINVAL: 'EINVAL',
  EISDIR: 'EINVAL',
  EBUSY: 'EBUSY',
};

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the filesystem is read-only',
  ENOSPC: 'no space is left',
  EDQUOT: 'the quota is used up',
  EFBIG: 'the filesystem allows no larger file',
  EEXIST: 'it exists already',
  EISDIR: 'it is a folder',
};

function diskError(verb: string, path: string, error: NodeJS.ErrnoException): DiskError {
  const code = error.code ?? '';
  return new DiskError(codes[code] ?? 'EIO', `cannot ${verb} ${path}: ${reasons[code] ?? error.message}`, {
    cause: error,
  });
}
