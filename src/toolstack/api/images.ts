/** Guests that are there to boot: fetched with apt and built once, then from the cache. No root, and nothing gets installed. */
import { resolve } from 'node:path';
import type { DiskHost } from '../../dom0/disk/index.ts';
import { Cache, cacheFolder } from '../guest-files/cache.ts';
import { DEFAULT_KERNEL_PACKAGE, guestFiles } from '../guest-files/guest-files.ts';
import { noProgress, type OnProgress } from '../guest-files/progress.ts';
import { provideDebianDisk } from '../root-image/debian-disk.ts';
import { defaultOptions } from '../root-image/options.ts';
import { abortable } from './abortable.ts';
import { pathOf } from './config-text.ts';
import { withApiErrors } from './errors.ts';
import type { GuestConfig } from './guest-config.ts';
import type { WaitOptions } from './wait-options.ts';

export type { OnProgress, Progress } from '../guest-files/progress.ts';

/** For all images. */
export interface ImageOptions extends WaitOptions {
  /** Hears what takes long. */
  readonly onProgress?: OnProgress;
}

/** What the small system has. */
export interface BusyboxOptions extends ImageOptions {
  /** A Debian package with a kernel. Default `linux-image-cloud-amd64`. */
  readonly kernelPackage?: string;
  /** More files, by their path in the guest. */
  readonly files?: Readonly<Record<string, { readonly content: string | Uint8Array; readonly executable?: boolean }>>;
}

/** What the whole Debian has. The disk that is there already stays as it is. */
export interface DebianOptions extends ImageOptions {
  /** The guest's disk, qcow2. It is made when it is not there, and left as it is when it is. */
  readonly disk: string | URL;
  /** Lines of `authorized_keys` for root. */
  readonly sshKeys?: readonly string[];
  /** More packages of Debian. */
  readonly packages?: readonly string[];
}

/** Guests to spread into the configuration of one: `{ ...(await images.busybox()), name }`. */
export interface Images {
  /** Debian's kernel with a small system in memory: busybox, a shell on the console, the agent. Boots within seconds. */
  busybox(options?: BusyboxOptions): Promise<GuestConfig>;
  /** A whole Debian on a disk of its own, with a network and the agent. Making the first one takes some minutes. */
  debian(options: DebianOptions): Promise<GuestConfig>;
}

/** @internal */
export function imagesOn(diskHost: DiskHost): Images {
  return {
    async busybox({ onProgress = noProgress, kernelPackage = DEFAULT_KERNEL_PACKAGE, files = {}, signal } = {}) {
      const extraFiles = Object.fromEntries(
        Object.entries(files).map(([path, { content, executable = false }]) => {
          const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
          return [path, { content: bytes, executable }];
        }),
      );
      const fetching = guestFiles({ package: kernelPackage, extraFiles, onProgress });
      const { kernel, ramdisk } = await withApiErrors(() => abortable(fetching, signal));
      return { kernel, ramdisk, cmdline: 'console=hvc0', memory: 128, agent: true };
    },
    async debian({ disk, onProgress = noProgress, sshKeys = [], packages = [], signal }) {
      const path = resolve(pathOf(disk));
      const wanted = {
        ...defaultOptions,
        sshKeys,
        packages: [...defaultOptions.packages, ...packages],
        path,
        fresh: false,
      };
      const making = provideDebianDisk(wanted, diskHost, new Cache(cacheFolder()), onProgress);
      await withApiErrors(() => abortable(making, signal));
      const options = { bootloader: 'pygrub' };
      return { disks: [{ target: path, format: 'qcow2' }], network: 'nat', memory: 512, agent: true, options };
    },
  };
}
