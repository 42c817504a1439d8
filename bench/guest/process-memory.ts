/** What a process really holds in memory, after Linux' /proc. */
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { processorShape } from '../../src/host/node/processor-shape.ts';
import { computeLayout } from '../../src/hypervisor/domain-memory.ts';
import type { DomainSummary } from '../../src/toolstack/daemon/protocol.ts';

const PAGE = 4096;
const WASM_PAGE = 65536;
const GIB = 2 ** 30;
const KIB_PER_PAGE = PAGE / 1024;
/** An entry of /proc/PID/pagemap is 8 bytes; bit 63: the page is in memory, bit 62: swapped out (Documentation/admin-guide/mm/pagemap.rst). */
const ENTRY = 8;
const HELD = 0xc0;
/** What libxl gives to a domain that does not ask for more. */
const defaults = { maxEvtchnPort: 1023, maxGrantFrames: 64 } as const;

/** Bytes of a process's resident memory; undefined where /proc does not tell. */
export function resident(pid: number): number | undefined {
  if (!existsSync(`/proc/${pid}/pagemap`)) return undefined;
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** Bytes that a process with one domain has come to hold since it held `before`, without the domain's RAM. */
export function overhead(pid: number, before: number | undefined, domain: DomainSummary): number | Error {
  const now = resident(pid);
  if (before === undefined || now === undefined) return new Error('needs /proc/PID/pagemap, which only Linux has');
  const rams = residentRams(pid, domain);
  if (rams instanceof Error) return rams;
  const [ram, other] = rams;
  if (ram === undefined || other !== undefined)
    return new Error(`the daemon has ${rams.length} mappings that may be the domain's memory`);
  return now - ram - before;
}

/** Bytes held of the RAM of each domain that has as much memory and as many vCPUs as this one. */
export function residentRams(pid: number, domain: DomainSummary): readonly number[] | Error {
  const maxPages = domain.maxMemKiB / KIB_PER_PAGE;
  const layout = computeLayout({ ...defaults, maxPages, maxVcpus: domain.vcpusOnline, processor: processorShape });
  if (layout === undefined) return new Error('the domain has no layout');
  const size = layout.wasmPages * WASM_PAGE;
  return memoryEnds(pid)
    .filter((end) => end.bytes >= size)
    .map(({ at }) => heldBytes(pid, at - size + layout.framesAt, maxPages * PAGE));
}

function heldBytes(pid: number, address: number, length: number): number {
  const entries = Buffer.alloc((length / PAGE) * ENTRY);
  const file = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    readSync(file, entries, 0, entries.length, (address / PAGE) * ENTRY);
  } finally {
    closeSync(file);
  }
  let pages = 0;
  for (let at = ENTRY - 1; at < entries.length; at += ENTRY) if (((entries[at] ?? 0) & HELD) !== 0) pages++;
  return pages * PAGE;
}

/**
 * Where a readable and writable mapping ends at addresses that are only set aside: V8 does so behind every WebAssembly.Memory, to the 4 GiB that guest
 * code can form and beyond. Below it another mapping may border on it, so its beginning tells nothing.
 */
function memoryEnds(pid: number): { readonly at: number; readonly bytes: number }[] {
  const ends: { at: number; bytes: number }[] = [];
  let from = 0;
  let to = 0;
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (....)/.exec(line);
    if (match === null) continue;
    const [start, end] = [parseInt(match[1] ?? '', 16), parseInt(match[2] ?? '', 16)];
    const access = match[3] ?? '';
    if (access.startsWith('rw-')) {
      if (start !== to) from = start;
      to = end;
    } else if (access.startsWith('---') && start === to && end - start >= GIB) ends.push({ at: to, bytes: to - from });
  }
  return ends;
}
