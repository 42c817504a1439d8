/**
 * A split device in xenstore, as libxl keeps it: the frontend's directory, the backend's, and a copy of the latter under `/libxl`, which is
 * what libxl lists and trusts (xen/tools/libs/light/libxl_device.c).
 */
import { XenbusState } from '../../abi/io/xenbus.ts';
import type { Xenstore, XenstoreView } from '../../dom0/xenstore/index.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import type { Clock } from '../domain/services.ts';

export interface SplitDevice {
  readonly domid: number;
  readonly devid: number;
  /** What the guest's driver knows it as: `vbd`, `vif`. */
  readonly kind: string;
  /** Who serves it: `vbd`, `qdisk`, `vif`. */
  readonly backendKind: string;
}

export type Nodes = Readonly<Record<string, string | number>>;

export interface DeviceGlue {
  readonly xs: Xenstore;
  readonly clock: Clock;
}

/** LIBXL_INIT_TIMEOUT and LIBXL_HOTPLUG_TIMEOUT together, LIBXL_DESTROY_TIMEOUT. */
const addTimeoutMs = 50_000;
const removeTimeoutMs = 10_000;

export const frontendPath = ({ domid, kind, devid }: SplitDevice): string =>
  `/local/domain/${domid}/device/${kind}/${devid}`;
export const backendPath = ({ domid, backendKind, devid }: SplitDevice): string =>
  `/local/domain/0/backend/${backendKind}/${domid}/${devid}`;
export const libxlDevicePath = ({ domid, kind, devid }: Pick<SplitDevice, 'domid' | 'kind' | 'devid'>): string =>
  `/libxl/${domid}/device/${kind}/${devid}`;

/** libxl__device_exists */
export function deviceExists(xs: XenstoreView, device: SplitDevice): boolean {
  return xs.exists(backendPath(device)) || xs.exists(libxlDevicePath(device));
}

/** libxl__device_generic_add: all three directories at once. `back` holds `online` and `state` as well. */
export function writeDevice(xs: Xenstore, device: SplitDevice, front: Nodes, back: Nodes): void {
  const [frontend, backend, kept] = [frontendPath(device), backendPath(device), libxlDevicePath(device)];
  xs.transaction((t) => {
    t.rm(kept);
    t.write(`${kept}/frontend`, frontend);
    t.write(`${kept}/backend`, backend);
    t.rm(frontend);
    t.mkdir(frontend);
    t.setPerms(frontend, `n${device.domid},r0`);
    t.write(`${frontend}/backend`, backend);
    for (const [key, value] of Object.entries(front)) t.write(`${frontend}/${key}`, value);
    t.rm(backend);
    t.mkdir(backend);
    t.setPerms(backend, `n0,r${device.domid}`);
    t.write(`${backend}/frontend`, frontend);
    for (const [key, value] of Object.entries(back)) t.write(`${backend}/${key}`, value);
    for (const [key, value] of Object.entries(back)) t.write(`${kept}/${key}`, value);
  });
}

/**
 * Resolves when the backend is ready for the frontend. Throws LibxlError with libxl's lines when what the device stands for cannot be had;
 * the device stays in xenstore then, as libxl leaves it.
 */
export async function backendReady(glue: DeviceGlue, device: SplitDevice): Promise<void> {
  const path = backendPath(device);
  const status = await within(glue, `${path}/hotplug-status`, addTimeoutMs, (value) =>
    value === 'connected' || value === 'error' ? value : undefined,
  );
  if (status === 'connected') return;
  const { domid } = device;
  const reason = glue.xs.read(`${path}/hotplug-error`) ?? 'error detected';
  const what =
    status === undefined
      ? libxlLine('device_backend_callback', `Domain ${domid}:unable to add device with path ${path}`)
      : libxlLine('device_hotplug_child_death_cb', `script: ${reason}`);
  throw new LibxlError('FAIL', [what, unable('add', device)], reason);
}

/**
 * libxl__initiate_device_generic_remove. `no`: the guest has to let go within ten seconds, or the device stays; `auto`: it is taken away
 * then; `yes`: it is taken away now.
 */
export async function removeDevice(glue: DeviceGlue, device: SplitDevice, force: 'no' | 'auto' | 'yes'): Promise<void> {
  const { xs } = glue;
  const path = backendPath(device);
  const closed = xs.transaction((t) => {
    if (force === 'yes') cleanPath(t, frontendPath(device));
    const state = t.read(`${path}/state`);
    if (state === undefined) return 'gone';
    t.write(`${path}/online`, 0);
    if (Number(state) !== XenbusState.Closed) t.write(`${path}/state`, XenbusState.Closing);
    return 'asked';
  });
  if (closed === 'asked') {
    const state = await within(glue, `${path}/state`, removeTimeoutMs, (value) =>
      value === undefined || Number(value) === XenbusState.Closed ? true : undefined,
    );
    if (state === undefined && force === 'auto') return removeDevice(glue, device, 'yes');
    if (state === undefined && force === 'no') {
      const late = libxlLine(
        'device_backend_callback',
        `Domain ${device.domid}:unable to remove device with path ${path}`,
      );
      throw new LibxlError('TIMEDOUT', [late, unable('remove', device)]);
    }
    // The hotplug script's part: a guest that reboots finds its disk in use otherwise, while its last device still writes to it.
    await within(glue, `${path}/hotplug-status`, removeTimeoutMs, (value) => (value === undefined ? true : undefined));
  }
  forgetDevice(xs, device);
}

/** libxl__device_destroy: what is in xenstore, and directories that were there only for it. */
export function forgetDevice(xs: Xenstore, device: SplitDevice): void {
  xs.transaction((t) => {
    cleanPath(t, frontendPath(device));
    cleanPath(t, backendPath(device));
    cleanPath(t, libxlDevicePath(device));
  });
}

/** All split devices of a domain but its consoles, whose backend is no driver. */
export function devicesOf(xs: XenstoreView, domid: number): SplitDevice[] {
  const all = `/libxl/${domid}/device`;
  return (xs.ls(all) ?? []).flatMap((kind) =>
    (xs.ls(`${all}/${kind}`) ?? []).flatMap((dev) => {
      const backend = /^\/local\/domain\/0\/backend\/([^/]+)\/\d+\/\d+$/.exec(
        xs.read(`${all}/${kind}/${dev}/backend`) ?? '',
      );
      const backendKind = backend?.[1];
      if (backendKind === undefined || backendKind === 'console') return [];
      return [{ domid, devid: Number(dev), kind, backendKind }];
    }),
  );
}

export function unable(what: 'add' | 'remove', { domid, kind, devid }: SplitDevice): string {
  return libxlLine('device_addrm_aocomplete', `Domain ${domid}:Unable to ${what} ${kind} with id ${devid}`);
}

/** What `accept` makes of the node; undefined when it makes nothing of it in time. */
async function within<T>(
  { xs, clock }: DeviceGlue,
  path: string,
  milliseconds: number,
  accept: (value: string | undefined) => T | undefined,
): Promise<T | undefined> {
  const over = new AbortController();
  const found = xs.until(path, accept, { signal: over.signal });
  const late = clock.sleep(milliseconds, over.signal).then(() => undefined);
  try {
    return await Promise.race([found, late]);
  } finally {
    over.abort();
    await Promise.allSettled([found, late]);
  }
}

/** libxl__xs_path_cleanup: the node, and those above it that are empty then. */
function cleanPath(t: XenstoreView, path: string): void {
  t.rm(path);
  for (let at = parentOf(path); at !== '' && t.ls(at)?.length === 0; at = parentOf(at)) t.rm(at);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
