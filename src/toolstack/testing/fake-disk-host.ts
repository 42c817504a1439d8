/** Image files that are in memory, or that cannot be opened, whatever their names. */
import type { DiskFile, DiskHost, OpenFileOptions } from '../../dom0/disk/index.ts';

export class FakeDiskHost implements DiskHost {
  /** What was opened, in order. */
  readonly files: (DiskFile & { readonly closed: boolean })[] = [];
  /** Why nothing can be opened. */
  refusal: string | undefined;
  readonly codecs: DiskHost['codecs'] = {
    inflateRaw: none,
    deflateRaw: none,
    zstdDecompress: none,
    zstdCompress: none,
  };

  open(path: string, { readOnly }: OpenFileOptions): Promise<DiskFile> {
    if (this.refusal !== undefined) return Promise.reject(new Error(this.refusal));
    const file = new ZeroFile(path, readOnly);
    this.files.push(file);
    return Promise.resolve(file);
  }

  create(): Promise<never> {
    return none();
  }

  createTemporary(): Promise<never> {
    return none();
  }

  resolve(_: string, name: string): string {
    return name;
  }
}

class ZeroFile implements DiskFile {
  readonly path: string;
  readonly kind = 'file';
  readonly readOnly: boolean;
  readonly punches = false;
  closed = false;

  constructor(path: string, readOnly: boolean) {
    this.path = path;
    this.readOnly = readOnly;
  }

  size(): Promise<number> {
    return Promise.resolve(4096);
  }

  read(_: number, into: readonly Uint8Array[]): Promise<void> {
    for (const piece of into) piece.fill(0);
    return Promise.resolve();
  }

  write(): Promise<void> {
    return Promise.resolve();
  }

  truncate(): Promise<void> {
    return Promise.resolve();
  }

  punch(): Promise<void> {
    return Promise.resolve();
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

function none(): Promise<never> {
  return Promise.reject(new Error('not in this test'));
}
