/**
 * Failures of domain building, in the words of real xl 4.17, which prints one line from libxc (`xc: error: panic: …`),
 * then one from the libxl function that called it. Line numbers are those of Debian's 4.17 sources, where a recording
 * of the real thing shows them; failures that were not recorded carry the function's name alone.
 */
import { XenError } from '../xen-error.ts';

/** libxc's error codes, as its message shows them (xen: tools/libs/ctrl/xc_private.c, xc_error_code_to_desc). */
export const xcCodes = {
  internal: 'Internal error',
  invalidKernel: 'Invalid kernel',
  outOfMemory: 'Out of memory',
} as const;
export type XcCode = keyof typeof xcCodes;

/** The call of libxl that reports the failure, with the text after it. */
export const libxlCalls = {
  kernelFile: 'libxl_dom.c:646:libxl__build_pv: xc_dom_kernel_file failed',
  ramdiskFile: 'libxl_dom.c:659:libxl__build_pv: xc_dom_ramdisk_file failed',
  parseImage: 'libxl_dom.c:571:libxl__build_dom: xc_dom_parse_image failed',
  bootMemInit: 'libxl_dom.c:586:libxl__build_dom: xc_dom_boot_mem_init failed: Cannot allocate memory',
  // The errno text is whatever was left over from earlier calls; this is what xl shows.
  buildImage: 'libxl_dom.c:594:libxl__build_dom: xc_dom_build_image failed: No such file or directory',
  bootImage: 'libxl_dom.c:602:libxl__build_dom: xc_dom_boot_image failed',
} as const;
export type LibxlCall = keyof typeof libxlCalls;

/** libxl's ERROR_FAIL, for `cannot (re-)build domain: -3`. */
const ERROR_FAIL = -3;
/** What `xl create` exits with when libxl fails. */
const EXIT_CREATE_FAILED = 3;

export interface BuildErrorOptions {
  readonly call: LibxlCall;
  readonly code: XcCode;
  /** Source position and function, e.g. `xg_dom_core.c:689: xc_dom_find_loader`. */
  readonly where: string;
  /** Text of an errno after the libxl line, e.g. `No such file or directory`. */
  readonly errno?: string;
  readonly hint?: string;
  readonly cause?: unknown;
}

export class BuildError extends XenError {
  override readonly name = 'BuildError';
  /** libxl's return code. */
  readonly rc = ERROR_FAIL;
  readonly xcCode: XcCode;

  constructor(message: string, options: BuildErrorOptions) {
    const panic = `xc: error: panic: ${options.where}: ${message}: ${xcCodes[options.code]}`;
    const libxl = `libxl: error: ${libxlCalls[options.call]}${options.errno === undefined ? '' : `: ${options.errno}`}`;
    super(message, {
      exitCode: EXIT_CREATE_FAILED,
      lines: [panic, libxl],
      ...(options.hint === undefined ? {} : { hint: options.hint }),
      cause: options.cause,
    });
    this.xcCode = options.code;
  }
}

export function invalidKernel(message: string, where: string, hint?: string): BuildError {
  return new BuildError(message, { call: 'parseImage', code: 'invalidKernel', where, ...(hint ? { hint } : {}) });
}
