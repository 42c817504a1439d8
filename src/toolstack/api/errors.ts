/** What goes wrong, as a program sees it: one class, with the words of xl and a code to branch on. */
import { AgentError, ExecError, GuestFileError } from '../agent/errors.ts';
import { DiskError } from '../../dom0/disk/index.ts';
import { NetworkError } from '../../dom0/net/network.ts';
import { XenstoreError } from '../../dom0/xenstore/index.ts';
import { BuildError } from '../builder/build-error.ts';
import { ConfigError } from '../config/config-error.ts';
import { DuplicateName } from '../domain/creation-errors.ts';
import { LibxlError, libxlErrors } from '../domain/libxl-error.ts';
import { GuestFilesError } from '../guest-files/guest-files-error.ts';
import { StreamError } from '../migration/byte-stream.ts';
import { XenError } from '../xen-error.ts';

/**
 * What went wrong. Codes stay as they are; new ones may come.
 *
 * | code | |
 * |---|---|
 * | `CONFIG` | the configuration cannot be used |
 * | `NAME_IN_USE` | another guest of this host has the name |
 * | `NO_MEMORY` | the host has not so much memory left, or a domain cannot have so much |
 * | `BUILD` | no domain can be made of the kernel or the ramdisk |
 * | `FILES` | a kernel, a ramdisk or an image could not be fetched or made |
 * | `DISK` | an image could not be opened or used |
 * | `NETWORK` | a forward or a bridge that cannot be |
 * | `DEVICE_EXISTS` | the guest has such a device already |
 * | `STREAM` | a saved guest that is damaged or cut off, or of another kind |
 * | `AGENT` | the guest has no agent, or that does not answer |
 * | `EXEC` | a program cannot be started in the guest; `system` says why |
 * | `GUEST_FILE` | a file of the guest cannot be had or changed; `system` says why |
 * | `TIMED_OUT` | the guest did not react |
 * | `GONE` | the guest has ended |
 * | `CLOSED` | the host is closed |
 * | `NOT_SUPPORTED` | there is no such thing here |
 * | `INVALID` | an argument that cannot be |
 * | `FAILED` | anything else; the message says what |
 */
export type ErrorCode =
  | 'CONFIG'
  | 'NAME_IN_USE'
  | 'NO_MEMORY'
  | 'BUILD'
  | 'FILES'
  | 'DISK'
  | 'NETWORK'
  | 'DEVICE_EXISTS'
  | 'STREAM'
  | 'AGENT'
  | 'EXEC'
  | 'GUEST_FILE'
  | 'TIMED_OUT'
  | 'GONE'
  | 'CLOSED'
  | 'NOT_SUPPORTED'
  | 'INVALID'
  | 'FAILED';

/** What is known of an error besides its code and message. */
export interface XenolithErrorOptions {
  /** What `xl` writes of it to standard error; the message alone when absent. */
  readonly lines?: readonly string[];
  /** A way out. */
  readonly hint?: string | undefined;
  /** The guest's system's own name for it, `ENOENT`. */
  readonly system?: string | undefined;
  /** What it comes from. */
  readonly cause?: unknown;
}

/** Trouble that the program, or the person who runs it, can act on. Anything else that is thrown is a bug of Xenolith. */
export class XenolithError extends Error {
  /** What it is told from other errors by, besides `instanceof`. */
  override readonly name = 'XenolithError';
  /** What to branch on. */
  readonly code: ErrorCode;
  /** What `xl` would write to standard error. */
  readonly lines: readonly string[];
  /** A way out, where one is known. */
  readonly hint: string | undefined;
  /** What the guest's system calls it, `ENOENT`, where that is what it comes from. */
  readonly system: string | undefined;

  /** For programs that throw the like; Xenolith makes its own. */
  constructor(code: ErrorCode, message: string, options: XenolithErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.lines = options.lines ?? [message];
    this.hint = options.hint;
    this.system = options.system;
  }
}

/** What the parts below throw, as a program gets it. What is not meant for people, a bug, stays what it is. */
export function asXenolithError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = codeOf(error);
  if (code === undefined) return error;
  if (error instanceof XenError) return new XenolithError(code, error.message, { ...detailsOf(error), cause: error });
  return new XenolithError(code, error.message, {
    hint: 'hint' in error ? String(error.hint) : undefined,
    cause: error,
  });
}

/** Runs what may throw errors of the parts below. */
export async function withApiErrors<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asXenolithError(error);
  }
}

function detailsOf(error: XenError): XenolithErrorOptions {
  const { lines, hint } = error;
  return {
    lines,
    hint,
    system: error instanceof ExecError || error instanceof GuestFileError ? error.code : undefined,
  };
}

const libxlCodes: Readonly<Record<number, ErrorCode>> = {
  [libxlErrors.NOMEM]: 'NO_MEMORY',
  [libxlErrors.INVAL]: 'INVALID',
  [libxlErrors.TIMEDOUT]: 'TIMED_OUT',
  [libxlErrors.DEVICE_EXISTS]: 'DEVICE_EXISTS',
  [libxlErrors.DOMAIN_NOTFOUND]: 'GONE',
};

/** Undefined for what is nobody's fault but ours. The first cause that says more than "it failed" decides. */
function codeOf(error: Error): ErrorCode | undefined {
  const own = ownCode(error);
  if (own !== undefined && own !== 'FAILED') return own;
  const deeper = error.cause instanceof Error ? codeOf(error.cause) : undefined;
  return own === undefined ? undefined : (deeper ?? own);
}

function ownCode(error: Error): ErrorCode | undefined {
  if (error instanceof XenolithError) return undefined;
  if (error instanceof ConfigError) return 'CONFIG';
  if (error instanceof BuildError) return error.xcCode === 'outOfMemory' ? 'NO_MEMORY' : 'BUILD';
  if (error instanceof GuestFilesError) return 'FILES';
  if (error instanceof StreamError) return 'STREAM';
  if (error instanceof NetworkError) return 'NETWORK';
  if (error instanceof DiskError) return 'DISK';
  if (error instanceof ExecError) return 'EXEC';
  if (error instanceof GuestFileError) return 'GUEST_FILE';
  if (error instanceof AgentError) return 'AGENT';
  if (error instanceof DuplicateName) return 'NAME_IN_USE';
  if (error instanceof LibxlError) return libxlCodes[error.rc] ?? 'FAILED';
  if (error instanceof XenError || error instanceof XenstoreError) return 'FAILED';
  return undefined;
}
