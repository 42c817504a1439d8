/**
 * The columns of xentop 4.17: what each shows of a domain, and how domains are sorted by it. Other programs read them, so widths and texts are xentop's
 * to the byte (xen/tools/xentop/xentop.c).
 */
import type { DomainStatistics, HostStatistics } from '../../daemon/statistics-protocol.ts';

/** Two looks at the host: of processor time there is a share only between them. */
export interface Sample {
  readonly host: HostStatistics;
  readonly before: HostStatistics | undefined;
  readonly secondsBetween: number;
}

export interface Column {
  readonly title: string;
  readonly width: number;
  /** Of those whose numbers may outgrow it: the width grows with them. */
  readonly grows?: true;
  text(domain: DomainStatistics, sample: Sample): string;
  /** Negative: `a` stands above `b`. */
  compare(a: DomainStatistics, b: DomainStatistics, sample: Sample): number;
}

const SHUTDOWN_crash = 3;
const isCrashed = ({ shutdown, shutdownReason }: DomainStatistics): boolean =>
  shutdown && shutdownReason === SHUTDOWN_crash;

/** In the order of their letters, which is also that of their urgency. */
export const states = [
  { letter: 'd', is: ({ dying }: DomainStatistics): boolean => dying },
  { letter: 's', is: (domain: DomainStatistics): boolean => domain.shutdown && !isCrashed(domain) },
  { letter: 'b', is: ({ blocked }: DomainStatistics): boolean => blocked },
  { letter: 'c', is: isCrashed },
  { letter: 'p', is: ({ paused }: DomainStatistics): boolean => paused },
  { letter: 'r', is: ({ running }: DomainStatistics): boolean => running },
] as const;

type Count = (domain: DomainStatistics) => number;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const ofDisks =
  (key: 'readRequests' | 'writeRequests' | 'readSectors' | 'writeSectors'): Count =>
  ({ disks }) =>
    sum(disks.map((disk) => disk[key]));
/** Domain 0's view, as xentop's: what it transmits is what the guest receives. */
const ofNics =
  (way: 'toGuest' | 'fromGuest'): Count =>
  ({ nics }) =>
    sum(nics.map((nic) => nic[way].bytes));
const kibibytes =
  (bytes: Count): Count =>
  (domain) =>
    Math.floor(bytes(domain) / 1024);

/** In percent of a processor. */
function cpuShare(domain: DomainStatistics, { before, secondsBetween }: Sample): number {
  const then = before?.domains.find(({ domid }) => domid === domain.domid);
  if (then === undefined || secondsBetween <= 0) return 0;
  return (domain.cpuTimeNs - then.cpuTimeNs) / 1e7 / secondsBetween;
}

const share = (kib: number, { host }: Sample): number => (host.totalKiB === 0 ? 0 : (kib / host.totalKiB) * 100);
const most = ({ maxMemKiB }: DomainStatistics): number => maxMemKiB ?? Infinity;

/** A number; the largest stands first. */
function counter(title: string, width: number, value: Count, grows?: 'grows'): Column {
  return {
    title,
    width,
    ...(grows === undefined ? {} : { grows: true as const }),
    text: (domain) => String(value(domain)),
    compare: (a, b) => value(b) - value(a),
  };
}

export const columns: readonly Column[] = [
  {
    title: 'NAME',
    width: 10,
    text: ({ name }) => name,
    compare: (a, b) => compareText(a.name.toLowerCase(), b.name.toLowerCase()),
  },
  {
    title: 'STATE',
    width: 6,
    text: (domain) => states.map(({ letter, is }) => (is(domain) ? letter : '-')).join(''),
    compare: (a, b) => urgency(a) - urgency(b),
  },
  {
    ...counter('CPU(sec)', 10, ({ cpuTimeNs }) => cpuTimeNs),
    text: ({ cpuTimeNs }) => String(Math.floor(cpuTimeNs / 1e9)),
  },
  {
    title: 'CPU(%)',
    width: 6,
    text: (domain, sample) => cpuShare(domain, sample).toFixed(1),
    compare: (a, b, sample) => cpuShare(b, sample) - cpuShare(a, sample),
  },
  counter('MEM(k)', 10, ({ memKiB }) => memKiB),
  {
    ...counter('MEM(%)', 6, ({ memKiB }) => memKiB),
    text: ({ memKiB }, sample) => share(memKiB, sample).toFixed(1),
  },
  {
    title: 'MAXMEM(k)',
    width: 10,
    text: ({ maxMemKiB }) => (maxMemKiB === null ? 'no limit' : String(maxMemKiB)),
    compare: byMaxMem,
  },
  {
    title: 'MAXMEM(%)',
    width: 9,
    text: ({ maxMemKiB }, sample) => (maxMemKiB === null ? 'n/a' : share(maxMemKiB, sample).toFixed(1)),
    compare: byMaxMem,
  },
  counter('VCPUS', 5, ({ vcpus }) => vcpus.length),
  counter('NETS', 4, ({ nics }) => nics.length),
  counter('NETTX(k)', 8, kibibytes(ofNics('toGuest')), 'grows'),
  counter('NETRX(k)', 8, kibibytes(ofNics('fromGuest')), 'grows'),
  counter('VBDS', 4, ({ disks }) => disks.length),
  // Requests that had to wait since the backend had no structures left for them, which cannot happen to ours.
  counter('VBD_OO', 8, () => 0),
  counter('VBD_RD', 8, ofDisks('readRequests'), 'grows'),
  counter('VBD_WR', 8, ofDisks('writeRequests'), 'grows'),
  counter('VBD_RSECT', 10, ofDisks('readSectors'), 'grows'),
  counter('VBD_WSECT', 10, ofDisks('writeSectors'), 'grows'),
  // The number of a security label; Flask is disabled.
  counter('SSID', 4, () => 0),
];

function byMaxMem(a: DomainStatistics, b: DomainStatistics): number {
  return most(a) === most(b) ? 0 : most(b) - most(a);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Of the first state that it is in: a domain that is dying stands above one that runs. */
function urgency(domain: DomainStatistics): number {
  const first = states.findIndex(({ is }) => is(domain));
  return first < 0 ? states.length : first;
}
