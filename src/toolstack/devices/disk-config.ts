/** A disk of a configuration, and who serves it (xen/tools/libs/light/libxl_device.c, libxl__device_disk_set_backend). */
import { statSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import type { JsonObject } from '../config/json.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { XenError } from '../xen-error.ts';

export type DiskBackend = 'phy' | 'qdisk';

/** A disk with libxl's defaults filled in. */
export interface DiskDevice {
  readonly vdev: string;
  readonly path: string;
  readonly format: string;
  readonly backend: DiskBackend;
  readonly script: string | undefined;
  readonly readWrite: boolean;
  readonly removable: boolean;
  readonly cdrom: boolean;
  readonly directIoSafe: boolean;
  readonly discard: boolean;
  readonly specification: string;
  readonly trusted: boolean;
}

/** libxl__device_disk_setdefault. Throws LibxlError; the message is what is wrong. */
export function withDefaults(config: JsonObject): DiskDevice {
  const text = (member: string): string | undefined => optional(config, member);
  const backendDomain = text('backend_domname');
  // Recorded: libxl says nothing about a backend domain that does not exist.
  if (backendDomain !== undefined && backendDomain !== '0' && backendDomain !== 'Domain-0')
    throw new LibxlError('FAIL', [], `there is no backend domain "${backendDomain}"`);
  const vdev = text('vdev') ?? '';
  const path = text('pdev_path') ?? '';
  const format = text('format') ?? 'raw';
  const script = text('script');
  const readWrite = config['readwrite'] === 1;
  const cdrom = config['is_cdrom'] === 1;
  const colo = config['colo_enable'] === 'True';
  const wanted = text('backend');
  const specification = text('specification') ?? 'xen';
  const refuse = (what: string): never => {
    const line = libxlLine('libxl__device_disk_set_backend', what);
    throw new LibxlError('INVAL', [line], what);
  };
  let kind: FileKind = 'other';
  if (format === 'empty') {
    if (!cdrom) refuse(`Disk vdev=${vdev} is empty but not cdrom`);
    if (path !== '') refuse(`Disk vdev=${vdev} is empty but an image has been provided: ${path}`);
  } else if ((wanted === undefined || wanted === 'phy') && script === undefined) {
    const found = kindOf(path);
    if (typeof found === 'object') refuse(`Disk vdev=${vdev} failed to stat: ${path}: ${found.error}`);
    else kind = found;
  }
  const suits: Readonly<Record<DiskBackend, boolean>> = {
    phy:
      specification === 'xen' &&
      !colo &&
      (format === 'empty' || (format === 'raw' && (script !== undefined || kind !== 'other'))),
    qdisk: specification === 'xen' && script === undefined,
  };
  const candidates = (['phy', 'qdisk'] as const).filter((candidate) => wanted === undefined || candidate === wanted);
  const backend = candidates.find((candidate) => suits[candidate]);
  if (backend === undefined) return refuse(`no suitable backend for disk ${vdev}`);
  const discard = config['discard_enable'];
  return {
    vdev,
    path,
    format,
    backend,
    script,
    readWrite,
    removable: config['removable'] === 1,
    cdrom,
    directIoSafe: config['direct_io_safe'] === true,
    discard: discard === undefined ? readWrite : discard === 'True',
    specification,
    trusted: config['trusted'] !== 'False',
  };
}

type FileKind = 'file' | 'block device' | 'other';

function kindOf(path: string): FileKind | { readonly error: string } {
  try {
    const found = statSync(path);
    return found.isBlockDevice() ? 'block device' : found.isFile() ? 'file' : 'other';
  } catch (error) {
    const { errno, message } = error as NodeJS.ErrnoException;
    const text = errno === undefined ? message : getSystemErrorMessage(errno);
    return { error: text.charAt(0).toUpperCase() + text.slice(1) };
  }
}

function optional(config: JsonObject, member: string): string | undefined {
  const value = config[member];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length > 4096) throw new XenError(`bad request: disk ${member}`);
  return value;
}
