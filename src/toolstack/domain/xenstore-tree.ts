/**
 * What the toolstack keeps in xenstore about a domain, in libxl's order: first what makes the domain known, then, once it is built,
 * what its kernel needs, then the console (xen/tools/libs/light/libxl_create.c, libxl_dom.c, libxl_console.c).
 */
import type { Xenstore, XenstoreView } from '../../dom0/xenstore/index.ts';

export interface DomainNames {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
}

export function domainPath(domid: number): string {
  return `/local/domain/${domid}`;
}

function vmPath(uuid: string): string {
  return `/vm/${uuid}`;
}

function libxlPath(domid: number): string {
  return `/libxl/${domid}`;
}

function consoleBackendPath(domid: number): string {
  return `/local/domain/0/backend/console/${domid}/0`;
}

/** What belongs to domain 0 and to nobody before the first domain: xen-init-dom0's part, and the device model's. */
export function initialise(xs: Xenstore, memoryKiB: number): void {
  xs.transaction((t) => {
    t.write('/local/domain/0/name', 'Domain-0');
    t.write('/local/domain/0/domid', '0');
    for (const feature of ['poweroff', 'reboot', 'suspend']) t.write(`/local/domain/0/control/feature-${feature}`, '1');
    t.write('/local/domain/0/memory/static-max', memoryKiB);
    t.write('/local/domain/0/memory/target', memoryKiB);
    t.write('/local/pool/0/name', 'Pool-0');
    t.mkdir('/vm');
    t.mkdir('/libxl');
  });
}

const guestWritable = [
  'control/shutdown',
  'control/feature-poweroff',
  'control/feature-reboot',
  'control/feature-suspend',
  'control/sysrq',
  'data',
  'drivers',
  'feature',
  'attr',
  'error',
] as const;

/** libxl__domain_make */
export function writeSkeleton(xs: Xenstore, { domid, name, uuid }: DomainNames): void {
  const dom = domainPath(domid);
  const vm = vmPath(uuid);
  const readable = `n0,r${domid}`;
  const writable = `n${domid}`;
  xs.transaction((t) => {
    make(t, dom, readable);
    make(t, vm, readable);
    make(t, libxlPath(domid), 'n0');
    put(t, `${libxlPath(domid)}/device`, '', 'n0');
    t.write(`${dom}/vm`, vm);
    t.write(`${dom}/name`, name);
    t.write(`${vm}/name`, name);
    for (const directory of ['cpu', 'memory', 'device']) put(t, `${dom}/${directory}`, '', readable);
    put(t, `${dom}/device/suspend/event-channel`, '', writable);
    put(t, `${dom}/control`, '', readable);
    for (const path of guestWritable) put(t, `${dom}/${path}`, '', writable);
    t.write(`${vm}/uuid`, uuid);
    t.write(`${dom}/control/platform-feature-multiprocessor-suspend`, '1');
    t.write(`${dom}/control/platform-feature-xs_reset_watches`, '1');
    t.write(`${libxlPath(domid)}/type`, 'pv');
  });
  xs.write(`${libxlPath(domid)}/dm-version`, 'qemu_xen');
}

export interface BuiltDomain {
  readonly maxMemKiB: number;
  readonly targetMemKiB: number;
  readonly videoRamKiB: number;
  readonly storeMfn: number;
  readonly storePort: number;
  readonly maxVcpus: number;
  readonly availableVcpus: readonly number[];
  readonly kernel: string;
  readonly ramdisk?: string | undefined;
  readonly cmdline?: string | undefined;
  /** Milliseconds since 1970. */
  readonly startTime: number;
}

/** libxl__build_post */
export function writeBuilt(xs: Xenstore, { domid, uuid }: DomainNames, built: BuiltDomain): void {
  const dom = domainPath(domid);
  const vm = vmPath(uuid);
  xs.transaction((t) => {
    t.write(`${dom}/memory/static-max`, built.maxMemKiB);
    t.write(`${dom}/memory/target`, built.targetMemKiB);
    t.write(`${dom}/memory/videoram`, built.videoRamKiB);
    t.write(`${dom}/domid`, domid);
    t.write(`${dom}/store/port`, built.storePort);
    t.write(`${dom}/store/ring-ref`, built.storeMfn);
    for (let vcpu = 0; vcpu < built.maxVcpus; vcpu++) {
      t.write(`${dom}/cpu/${vcpu}/availability`, built.availableVcpus.includes(vcpu) ? 'online' : 'offline');
    }
    t.write(`${vm}/image/ostype`, 'linux');
    t.write(`${vm}/image/kernel`, built.kernel);
    t.write(`${vm}/start_time`, (built.startTime / 1000).toFixed(2));
    if (built.ramdisk !== undefined) t.write(`${vm}/image/ramdisk`, built.ramdisk);
    if (built.cmdline !== undefined) t.write(`${vm}/image/cmdline`, built.cmdline);
  });
}

/** How much console output xenconsoled may buffer; libxl's LIBXL_XENCONSOLE_LIMIT. */
export const consoleLimit = 1_048_576;

/** libxl__device_console_add for the primary console. */
export function writeConsole(xs: Xenstore, domid: number, port: number, mfn: number): void {
  const front = `${domainPath(domid)}/console`;
  const back = consoleBackendPath(domid);
  const kept = `${libxlPath(domid)}/device/console/0`;
  const readable = `n0,r${domid}`;
  const backend = { 'frontend-id': domid, online: 1, state: 1, protocol: 'vt100' };
  xs.transaction((t) => {
    t.rm(kept);
    t.write(`${kept}/frontend`, front);
    t.write(`${kept}/backend`, back);
    make(t, front, readable);
    t.write(`${front}/backend`, back);
    put(t, `${front}/backend-id`, '0', `n${domid},r0`);
    put(t, `${front}/limit`, String(consoleLimit), readable);
    put(t, `${front}/type`, 'xenconsoled', readable);
    put(t, `${front}/output`, 'pty', readable);
    put(t, `${front}/tty`, '', readable);
    put(t, `${front}/port`, String(port), readable);
    put(t, `${front}/ring-ref`, String(mfn), readable);
    make(t, back, readable);
    t.write(`${back}/frontend`, front);
    for (const [key, value] of Object.entries(backend)) t.write(`${back}/${key}`, value);
    for (const [key, value] of Object.entries(backend)) t.write(`${kept}/${key}`, value);
  });
}

/** A new name, for `xl rename` and for a domain that is preserved. */
export function writeName(xs: Xenstore, { domid, uuid }: DomainNames, name: string): void {
  xs.transaction((t) => {
    t.write(`${domainPath(domid)}/name`, name);
    t.write(`${vmPath(uuid)}/name`, name);
  });
}

/** A domain that is kept as it died gives up its UUID, so that its successor can have it, and those who have it already keep it. */
export function moveVm(xs: Xenstore, domid: number, from: string, to: string, name: string): void {
  const readable = `n0,r${domid}`;
  xs.transaction((t) => {
    const alone = isAloneWith(t, domid, vmPath(from));
    make(t, vmPath(to), readable);
    copy(t, vmPath(from), vmPath(to));
    t.write(`${vmPath(to)}/uuid`, to);
    t.write(`${vmPath(to)}/name`, name);
    t.write(`${domainPath(domid)}/vm`, vmPath(to));
    t.write(`${domainPath(domid)}/name`, name);
    if (alone) t.rm(vmPath(from));
  });
}

/** Everything about the domain; directories of domain 0 that were only there for it as well. */
export function removeDomain(xs: Xenstore, { domid, uuid }: DomainNames): void {
  xs.transaction((t) => {
    const backends = '/local/domain/0/backend';
    for (const kind of t.ls(backends) ?? []) {
      t.rm(`${backends}/${kind}/${domid}`);
      if ((t.ls(`${backends}/${kind}`) ?? []).length === 0) t.rm(`${backends}/${kind}`);
    }
    if (t.ls(backends)?.length === 0) t.rm(backends);
    const vm = vmPath(uuid);
    if (isAloneWith(t, domid, vm)) t.rm(vm);
    t.rm(domainPath(domid));
    t.rm(libxlPath(domid));
  });
}

/** Others may have the same UUID: a domain's successor after a reboot, or what it is on this very host once it has moved. */
function isAloneWith(t: XenstoreView, domid: number, vm: string): boolean {
  const sharers = (t.ls('/local/domain') ?? []).filter((other) => t.read(`/local/domain/${other}/vm`) === vm);
  return sharers.length === 1 && sharers[0] === String(domid);
}

function make(t: XenstoreView, path: string, perms: string): void {
  t.rm(path);
  put(t, path, '', perms);
}

function put(t: XenstoreView, path: string, value: string, perms: string): void {
  t.write(path, value);
  t.setPerms(path, perms);
}

function copy(t: XenstoreView, from: string, to: string): void {
  for (const name of t.ls(from) ?? []) {
    t.write(`${to}/${name}`, t.read(`${from}/${name}`) ?? '');
    copy(t, `${from}/${name}`, `${to}/${name}`);
  }
}
