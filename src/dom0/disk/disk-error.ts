/** A request or an image that cannot be served. The message is a sentence for a person, the code what a guest's request is answered with. */
export type DiskErrorCode =
  'EIO' | 'EINVAL' | 'EROFS' | 'ENOSPC' | 'EBADF' | 'ENOENT' | 'EACCES' | 'EBUSY' | 'EEXIST' | 'ENOTSUP';

export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: DiskErrorCode;
  /** A way out, where there is one. */
  readonly hint: string | undefined;

  constructor(
    code: DiskErrorCode,
    message: string,
    options: { readonly hint?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}
