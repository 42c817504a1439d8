/** Writes a domain's core into a file, page by page: what is in memory at a time does not depend on the domain's size. */
import { open, type FileHandle } from 'node:fs/promises';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { XenVersion } from '../../hypervisor/control.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { systemMessage } from '../system-message.ts';
import { p2mEntries, planCore, type CoreImage, type DumpedDomain } from './core-image.ts';

const ESRCH = 3;
const EINVAL = 22;
/** Pages at a time: 1 MiB. */
const batch = 256;

export interface DumpOptions {
  /** Bytes written of so many; called now and then. */
  readonly progress?: (done: number, total: number) => void;
}

/**
 * As libxc does it, while the domain runs, if it does: whoever wants a still picture pauses it. The file is for its owner alone, and one that was there
 * is overwritten. Throws LibxlError.
 */
export async function dumpCore(
  domain: DumpedDomain,
  version: XenVersion,
  path: string,
  { progress }: DumpOptions = {},
): Promise<void> {
  const failed = (what: string, error: unknown): LibxlError => dumpError(domain.domid, path, what, error);
  let file: FileHandle;
  try {
    file = await open(path, 'w', 0o600);
  } catch (error) {
    throw failed(`Could not open corefile ${path}`, error);
  }
  try {
    const image = planCore(domain, version);
    if (image === undefined) throw failed('No VCPU context could be grabbed', new Error('none'));
    await writeImage(file, domain, image, progress ?? (() => undefined));
  } catch (error) {
    throw error instanceof LibxlError ? error : failed('Failed to write buffer', error);
  } finally {
    await file.close();
  }
}

export function noDomainToDump(domid: number, path: string): LibxlError {
  return dumpError(domid, path, 'Could not get info for domain', { errno: -ESRCH });
}

function dumpError(domid: number, path: string, what: string, error: unknown): LibxlError {
  const { errno, text } = systemError(error);
  const prefix = domid === 0 ? '' : `Domain ${domid}:`;
  return new LibxlError('FAIL', [
    `xc: error: ${what} (${errno} = ${text}): Internal error`,
    libxlLine('libxl_domain_core_dump', `${prefix}Core dumping domain to ${path}: ${text}`),
  ]);
}

async function writeImage(
  file: FileHandle,
  domain: DumpedDomain,
  image: CoreImage,
  progress: (done: number, total: number) => void,
): Promise<void> {
  const { head, mfns, names } = image;
  const total = head.length + mfns.length * PAGE_SIZE;
  await writeAll(file, head);
  // A copy: the guest goes on writing.
  const buffer = new Uint8Array(batch * PAGE_SIZE);
  for (let first = 0; first < mfns.length; first += batch) {
    if (domain.info().dying) throw new Error('the domain was destroyed meanwhile');
    const some = mfns.subarray(first, first + batch);
    some.forEach((mfn, i) => buffer.set(domain.frames.view(mfn), i * PAGE_SIZE));
    await writeAll(file, buffer.subarray(0, some.length * PAGE_SIZE));
    progress(head.length + (first + some.length) * PAGE_SIZE, total);
  }
  for (let first = 0; first < mfns.length; first += batch)
    await writeAll(file, p2mEntries(image, first, Math.min(batch, mfns.length - first)));
  await writeAll(file, names);
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten;
}

/** What is no error of the system's is an invalid argument, as libxc's own refusals leave it. */
function systemError(error: unknown): { errno: number; text: string } {
  const { errno = -EINVAL } = error as NodeJS.ErrnoException;
  return { errno: -errno, text: systemMessage({ errno }) };
}
