/** What a process really holds in memory, after Linux' /proc. */
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { processorShape } from '../../src/host/node/processor-shape.ts';
import { computeLayout } from '../../src/hypervisor/domain-memory.ts';
import type { DomainSummary } from '../../src/toolstack/daemon/protocol.ts';

const PAGE = 4096;
const WASM_PAGE = 65536;
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
export function overhead(pid: number, before: number, domain: DomainSummary): number {
  const maxPages = domain.maxMemKiB / KIB_PER_PAGE;
  const layout = computeLayout({ ...defaults, maxPages, maxVcpus: domain.vcpusOnline, processor: processorShape });
  if (layout === undefined) throw new Error('the domain has no layout');
  const ram = residentPart(pid, layout.wasmPages * WASM_PAGE, layout.framesAt, maxPages * PAGE);
  return (resident(pid) ?? 0) - ram - before;
}

/**
 * Bytes held of the part [offset, offset + length) of the one mapping that is `size` bytes long. V8 sets aside far more addresses
 * around a WebAssembly.Memory than it has bytes, so nothing else borders on it.
 */
function residentPart(pid: number, size: number, offset: number, length: number): number {
  const of = mappings(pid).filter(({ from, to }) => to - from === size);
  const [mapping] = of;
  if (mapping === undefined || of.length > 1)
    throw new Error(`the daemon has ${of.length} mappings of ${size} bytes, the size of the domain's memory`);
  const entries = Buffer.alloc((length / PAGE) * ENTRY);
  const file = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    readSync(file, entries, 0, entries.length, ((mapping.from + offset) / PAGE) * ENTRY);
  } finally {
    closeSync(file);
  }
  let pages = 0;
  for (let at = ENTRY - 1; at < entries.length; at += ENTRY) if (((entries[at] ?? 0) & HELD) !== 0) pages++;
  return pages * PAGE;
}

interface Mapping {
  readonly from: number;
  readonly to: number;
}

/** Readable and writable mappings of a process; neighbours are one. */
function mappings(pid: number): Mapping[] {
  const found: Mapping[] = [];
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
    if (match === null) continue;
    const from = parseInt(match[1] ?? '', 16);
    const to = parseInt(match[2] ?? '', 16);
    const last = found.at(-1);
    if (last?.to === from) found[found.length - 1] = { from: last.from, to };
    else found.push({ from, to });
  }
  return found;
}
