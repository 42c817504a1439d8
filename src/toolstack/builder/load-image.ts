/** Reads and checks the files that a PV domain is built from; nothing of the domain is needed for it. */
import { getSystemErrorMessage } from 'node:util';
import { BuildError, type LibxlCall } from './build-error.ts';
import { domainBuilder, silent, type BuildLog } from './build-log.ts';
import { CorruptData } from './compression/corrupt-data.ts';
import { Aside } from './compression/aside.ts';
import { extractElf, parseKernel, type PvKernel } from './kernel-image.ts';
import type { Ramdisk } from './ramdisk.ts';
import { readWhole } from './read-whole.ts';

export interface PvImage {
  readonly kernel: PvKernel;
  readonly ramdisk: Ramdisk | undefined;
}

export interface PvFiles {
  readonly kernel: string;
  readonly ramdisk?: string | undefined;
  readonly cmdline?: string;
}

/** Throws BuildError. The main thread stays free: unpacking happens in a thread of its own. */
export async function loadPvImage(files: PvFiles, log: BuildLog = silent): Promise<PvImage> {
  // Starts while the files are read.
  const aside = new Aside();
  try {
    return await load(files, aside, log);
  } finally {
    void aside.close();
  }
}

async function load(files: PvFiles, aside: Aside, log: BuildLog): Promise<PvImage> {
  domainBuilder(log, `xc_dom_allocate: cmdline="${files.cmdline ?? ''}", features=""`);
  domainBuilder(log, `xc_dom_kernel_file: filename="${files.kernel}"`);
  const kernelFile = await read(files.kernel, 'kernelFile', log);
  let ramdiskFile: Uint8Array | undefined;
  if (files.ramdisk !== undefined && files.ramdisk !== '') {
    domainBuilder(log, `xc_dom_module_file: filename="${files.ramdisk}"`);
    ramdiskFile = await read(files.ramdisk, 'ramdiskFile', log);
  }
  domainBuilder(log, 'xc_dom_parse_image: called');
  const kernel = parseKernel(await extractElf(kernelFile, (payload) => aside.unpack(payload), log), log);
  if (ramdiskFile === undefined) return { kernel, ramdisk: undefined };
  // What other systems take as a module is their business: pv-grub, for one, takes a text file.
  const isLinux = kernel.notes.strings.get('GUEST_OS') === 'linux';
  const ramdisk = isLinux ? await inspect(ramdiskFile, files.ramdisk ?? '', aside) : { bytes: ramdiskFile };
  return { kernel, ramdisk };
}

/** Gives the memory of the files back, without waiting for a collection: they are most of what building leaves behind. */
export function release({ kernel, ramdisk }: PvImage): void {
  for (const bytes of [kernel.elf.bytes, ramdisk?.bytes, ramdisk?.unzipped]) {
    const buffer = bytes?.buffer;
    if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
  }
}

async function inspect(bytes: Uint8Array, path: string, aside: Aside): Promise<Ramdisk> {
  try {
    return await aside.inspectRamdisk(bytes);
  } catch (error) {
    if (!(error instanceof CorruptData)) throw error;
    throw new BuildError(`ramdisk '${path}' is not a usable initramfs: ${error.message}`, {
      call: 'ramdiskFile',
      code: 'internal',
      where: 'xc_dom_module_file',
      cause: error,
    });
  }
}

async function read(path: string, call: LibxlCall, log: BuildLog): Promise<Uint8Array> {
  try {
    const bytes = await readWhole(path);
    domainBuilder(log, `xc_dom_malloc_filemap    : ${Math.ceil(bytes.length / 1024)} kB`);
    return bytes;
  } catch (cause) {
    const errno = errorText(cause);
    const text = `failed to open file '${path}': ${errno}`;
    throw new BuildError(text, { call, code: 'internal', where: 'xg_dom_core.c:205', errno, cause });
  }
}

/** As strerror(3) words it, which libuv mostly does too, apart from the first letter. */
function errorText(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const { code, errno } = cause as NodeJS.ErrnoException;
  if (code === 'EISDIR') return 'Is a directory';
  if (errno === undefined) return cause.message;
  const message = getSystemErrorMessage(errno);
  return message.charAt(0).toUpperCase() + message.slice(1);
}
