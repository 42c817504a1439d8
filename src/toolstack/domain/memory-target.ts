/** How much memory a domain should have, and may have: libxl_set_memory_target and libxl_domain_setmaxmem (libxl_mem.c). */
import type { Xenstore } from '../../dom0/xenstore/index.ts';
import { HypercallError, type DomainControl } from '../../hypervisor/control.ts';
import { errorText, LibxlError, libxlLine } from './libxl-error.ts';
import { domainPath } from './xenstore-tree.ts';

/** LIBXL_MIN_DOM0_MEM */
const leastDom0KiB = 128 * 1024;
/** libxl's LIBXL_MAXMEM_CONSTANT: room for what a domain owns beside its RAM. */
export const maxMemSlackKiB = 1024;

type Where = Parameters<typeof libxlLine>[0];

interface MemoryDomain {
  readonly domid: number;
  /** Undefined: there is no such domain. */
  readonly control: DomainControl | undefined;
  readonly uuid: string;
}

/** Asks the guest's balloon driver through xenstore, and allows it no more than that. */
export function setMemoryTarget(xs: Xenstore, domain: MemoryDomain, wantedKiB: number): void {
  const { domid, uuid } = domain;
  const path = `${domainPath(domid)}/memory`;
  readKiB(xs, domid, `${path}/target`, 'libxl_set_memory_target_read', 'target ');
  const most = readKiB(xs, domid, `${path}/static-max`, 'libxl_set_memory_target_max', '');
  const videoRam = Number(xs.read(`${path}/videoram`) ?? 0);
  const target = wantedKiB - videoRam;
  // libxl computes with unsigned numbers, so less than nothing is a lot.
  if (target < 0 || target > most) {
    const text = 'memory_dynamic_max must be less than or equal to memory_static_max\n';
    throw new LibxlError('INVAL', [libxlLine('libxl_set_memory_target', prefixed(domid, text))]);
  }
  if (domid === 0) {
    // Domain 0 is this process, whose memory the host's own system hands out.
    if (target < leastDom0KiB) {
      const text = `New target ${target} for dom0 is below the minimum threshold`;
      throw new LibxlError('INVAL', [libxlLine('libxl_set_memory_target_dom0', text)]);
    }
  } else {
    limit(domain, target + videoRam + maxMemSlackKiB, 'libxl_set_memory_target_limit', (kib, why) => {
      return `xc_domain_setmaxmem memkb=${kib} failed rc=-1\n: ${why}`;
    });
  }
  xs.transaction((t) => {
    t.write(`${path}/target`, target);
    t.write(`/vm/${uuid}/memory`, Math.floor(target / 1024));
  });
}

/** Nothing is asked of the guest: it may have more, or less, from now on. */
export function setMaxMemory(xs: Xenstore, domain: MemoryDomain, mostKiB: number): void {
  const { domid } = domain;
  const path = `${domainPath(domid)}/memory`;
  const target = readKiB(xs, domid, `${path}/target`, 'libxl_domain_setmaxmem_read', '');
  if (mostKiB < target) {
    const text = 'memory_static_max must be greater than or or equal to memory_dynamic_max: Success';
    throw new LibxlError('FAIL', [libxlLine('libxl_domain_setmaxmem', prefixed(domid, text))]);
  }
  limit(domain, mostKiB + maxMemSlackKiB, 'libxl_domain_setmaxmem_limit', (kib, why) => {
    return `xc_domain_setmaxmem domid=${domid} memkb=${kib} failed rc=-1\n: ${why}`;
  });
  xs.write(`${path}/static-max`, mostKiB);
}

function readKiB(xs: Xenstore, domid: number, path: string, where: Where, what: string): number {
  const text = xs.read(path);
  if (text !== undefined) return Number(text);
  const message = `Cannot get ${what}memory info from ${path}: No such file or directory`;
  throw new LibxlError('FAIL', [libxlLine(where, prefixed(domid, message))]);
}

function limit(
  { domid, control }: MemoryDomain,
  kib: number,
  where: Where,
  text: (kib: number, why: string) => string,
): void {
  try {
    control?.setMaxMem(kib);
  } catch (error) {
    if (!(error instanceof HypercallError)) throw error;
    throw new LibxlError('FAIL', [
      libxlLine(where, prefixed(domid, text(kib, errorText(error)))),
      // Departs from Xen: a domain's frames are numbered within the memory that was set aside when it was made.
      `xl: domain ${domid} cannot have more memory than \`maxmem=' of its configuration set aside`,
    ]);
  }
}

function prefixed(domid: number, text: string): string {
  return domid === 0 ? text : `Domain ${domid}:${text}`;
}
