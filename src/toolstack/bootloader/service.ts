/**
 * The bootloader of a domain that is being created: libxl's part around pygrub (xen/tools/libs/light/libxl_bootloader.c). It opens the first disk for
 * reading, leaves what was found in files for the builder, and words a failure as xl does. What went wrong stands in the log that xl names.
 *
 * Departs from libxl: pygrub is no process, and the only bootloader there is.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DiskError, diskFormats, type Disk, type DiskFormat, type DiskImages } from '../../dom0/disk/index.ts';
import type { JsonObject } from '../config/json.ts';
import type { RunDirectory } from '../daemon/run-directory.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { BootFailure } from './boot-failure.ts';
import { bootFilesOf, type BootFiles } from './bootloader.ts';
import { readPygrubOptions } from './pygrub-options.ts';

export interface BootloaderRequest {
  readonly domid: number;
  /** `bootloader=` of the configuration. */
  readonly bootloader: string;
  readonly args: readonly string[];
  /** With a bootloader these are in the guest's disk. */
  readonly kernel: string | undefined;
  readonly ramdisk: string | undefined;
  /** Added to what the disk says. */
  readonly cmdline: string | undefined;
  /** As the configuration has it. */
  readonly disk: JsonObject | undefined;
}

/** Paths of files on this host. */
export interface BootloaderFiles {
  readonly kernel: string;
  readonly ramdisk: string | undefined;
  readonly cmdline: string | undefined;
  /** To be called when they have been read. */
  remove(): void;
}

/** Throws LibxlError. */
export type BootloaderService = (request: BootloaderRequest) => Promise<BootloaderFiles>;

/** What pygrub, and a program that cannot be run, exit with. */
const statuses = { failed: 1, missing: 255 } as const;

export function bootloaderService(place: {
  readonly run: Pick<RunDirectory, 'path' | 'logs'>;
  readonly images: DiskImages | undefined;
}): BootloaderService {
  const { run, images } = place;
  return async (request) => {
    const { domid, disk, bootloader } = request;
    if (disk === undefined) throw failure(domid, [noDisk(domid)], 'the domain has no disk to boot from');
    const fail = (status: keyof typeof statuses, reason: string): LibxlError => {
      const log = join(run.logs, `bootloader.${domid}.log`);
      writeFileSync(log, `${reason}\n`, { flag: 'a', mode: 0o600 });
      return failure(domid, failed(domid, log, statuses[status]), reason);
    };
    if (!/(^|\/)pygrub$/.test(bootloader))
      throw fail('missing', `there is no bootloader ${bootloader}; pygrub is the one there is`);
    try {
      if (images === undefined) throw new BootFailure('disks cannot be opened here');
      return store(run, domid, await load(request, disk, images));
    } catch (error) {
      if (error instanceof BootFailure || error instanceof DiskError) throw fail('failed', error.message);
      throw error;
    }
  };
}

async function load(request: BootloaderRequest, config: JsonObject, images: DiskImages): Promise<BootFiles> {
  const { args, kernel, ramdisk, cmdline } = request;
  // As libxl calls it; what stands later wins.
  const given = { kernel, ramdisk, args: cmdline === '' ? undefined : cmdline };
  const own = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
  const options = readPygrubOptions([...own, ...args]);
  if (options.listEntries) throw new BootFailure('--list-entries boots nothing');
  const path = config['pdev_path'];
  if (typeof path !== 'string' || path === '') throw new BootFailure('the first disk is empty');
  await using opened = await open(images, path, formatOf(config['format']));
  return await bootFilesOf(opened.disk, options);
}

async function open(images: DiskImages, path: string, format: DiskFormat): Promise<AsyncDisposable & { disk: Disk }> {
  const disk = await images.open(path, { format, readOnly: true, shared: true });
  return { disk, [Symbol.asyncDispose]: () => disk.close() };
}

function formatOf(format: unknown): DiskFormat {
  const known = diskFormats.find((name) => name === (format ?? 'raw'));
  if (known === undefined) throw new BootFailure(`disks of the format ${String(format)} cannot be read`);
  return known;
}

/** In a folder that is named as libxl's. */
function store(
  run: Pick<RunDirectory, 'path'>,
  domid: number,
  { kernel, ramdisk, cmdline }: BootFiles,
): BootloaderFiles {
  const folder = join(run.path, `bootloader.${domid}.d`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  const write = (name: string, bytes: Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, bytes, { mode: 0o600 });
    return path;
  };
  return {
    kernel: write('kernel', kernel),
    ramdisk: ramdisk === undefined ? undefined : write('ramdisk', ramdisk),
    cmdline,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function noDisk(domid: number): string {
  return libxlLine('libxl__bootloader_run', `Domain ${domid}:cannot run bootloader with no boot disk`);
}

function failed(domid: number, log: string, status: number): string[] {
  return [
    libxlLine('bootloader_finished', `Domain ${domid}:bootloader failed - consult logfile ${log}`),
    libxlLine('libxl_report_child_exitstatus', `bootloader [${process.pid}] exited with error status ${status}`),
  ];
}

function failure(domid: number, lines: readonly string[], message: string): LibxlError {
  const rebuild = libxlLine('domcreate_rebuild_done', `Domain ${domid}:cannot (re-)build domain: -3`);
  return new LibxlError('FAIL', [...lines, rebuild], message, undefined, message);
}
