/** A kernel and a ramdisk to boot: fetched and built once, then from the cache. */
import type { Architecture } from './apt.ts';
import { Cache, cacheFolder } from './cache.ts';
import { makeInitramfs, type InitramfsOptions } from './initramfs.ts';
import { fetchKernel } from './kernel-package.ts';
import { noProgress, type OnProgress } from './progress.ts';

export { GUEST_PROMPT, PLAIN_CONSOLE } from './guest-scripts.ts';
export { GuestFilesError } from './guest-files-error.ts';
export type { OnProgress, Progress } from './progress.ts';

/** The kernel that is booted when nobody asks for another. */
export const DEFAULT_KERNEL_PACKAGE = 'linux-image-cloud-amd64';

export interface GuestFilesOptions extends InitramfsOptions {
  /** A package with a kernel, or a meta package that stands for one. */
  readonly package?: string;
  readonly onProgress?: OnProgress;
  /** amd64 unless another is asked for: of the kernel and of busybox. */
  readonly architecture?: Architecture;
  /** Another cache folder than the one of the environment. */
  readonly cache?: string;
}

export interface GuestFiles {
  readonly kernel: string;
  readonly ramdisk: string;
  /** As `uname -r` shows it. */
  readonly release: string;
}

/** Throws GuestFilesError. */
export async function guestFiles(options: GuestFilesOptions = {}): Promise<GuestFiles> {
  const onProgress = options.onProgress ?? noProgress;
  const cache = new Cache(options.cache ?? cacheFolder());
  const name = options.package ?? DEFAULT_KERNEL_PACKAGE;
  const kernel = await fetchKernel(name, cache, onProgress, options.architecture);
  const ramdisk = await makeInitramfs(kernel, cache, onProgress, options);
  return { kernel: kernel.vmlinuz, ramdisk, release: kernel.release };
}
