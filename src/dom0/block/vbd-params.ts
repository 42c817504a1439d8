/** Which disk a backend's directory asks for: `params`, as libxl writes it for each type of backend (libxl_disk.c, device_disk_add). */
import type { DeviceGlue } from '../backend/index.ts';
import { diskFormats, type DiskFormat } from '../disk/index.ts';

export interface DiskWanted {
  /** Empty: a drive without a disk. */
  readonly path: string;
  readonly format: DiskFormat;
  readonly readOnly: boolean;
}

/** QEMU's names of formats, as libxl writes them. */
const formatNames: Readonly<Record<string, DiskFormat>> = { aio: 'raw', raw: 'raw', qcow2: 'qcow2', vhd: 'vhd' };

/** Throws an Error with a sentence for a person. */
export function diskOf(device: Pick<DeviceGlue, 'read' | 'type'>): DiskWanted {
  const params = device.read('params') ?? '';
  const readOnly = device.read('mode') !== 'w';
  if (device.type !== 'qdisk') {
    const script = device.read('script')?.split('/').at(-1) ?? 'block';
    if (script !== 'block') throw new Error(`hotplug script "${script}" is not supported; there is only "block"`);
    return { path: params, format: 'raw', readOnly };
  }
  const colon = params.indexOf(':');
  const name = params.slice(0, Math.max(colon, 0));
  const format = Object.hasOwn(formatNames, name) ? formatNames[name] : undefined;
  if (format === undefined)
    throw new Error(`disk format "${name}" is not supported; there are ${diskFormats.join(', ')}`);
  return { path: params.slice(colon + 1), format, readOnly };
}
