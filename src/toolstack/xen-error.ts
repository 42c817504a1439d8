/** Trouble that a person must act on. What happened and where is the message; a way out, where there is one, the hint. */
export interface XenErrorOptions {
  readonly hint?: string;
  /** What a command that ends with this error exits with; xl's EXIT_FAILURE by default. */
  readonly exitCode?: number;
  /** The lines that real `xl` writes to standard error for this, when there are any; they replace the message there. */
  readonly lines?: readonly string[];
  readonly cause?: unknown;
}

export class XenError extends Error {
  override readonly name: string = 'XenError';
  readonly hint: string | undefined;
  readonly exitCode: number;
  readonly lines: readonly string[];

  constructor(message: string, options: XenErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
    this.lines = options.lines ?? [message];
  }
}
