/** What xentop writes of a sample, as lines: the batch mode prints them, the screen shows as many as fit. */
import type { DomainStatistics, HostStatistics } from '../../daemon/statistics-protocol.ts';
import { columns, states, type Column, type Sample } from './columns.ts';

/** What is shown of each domain beside its line. */
export interface View {
  readonly vcpus: boolean;
  readonly networks: boolean;
  readonly disks: boolean;
  /** The heads again before each domain. */
  readonly repeatHeader: boolean;
  readonly fullName: boolean;
  /** Of the column that domains are sorted by. */
  readonly sort: number;
  /** How many domains were scrolled past. */
  readonly skip: number;
}

/** A piece of a line; `heading` and `sorted` are how a terminal shows it. */
export interface Piece {
  readonly text: string;
  readonly heading?: boolean;
  readonly sorted?: boolean;
}

export type Line = readonly Piece[];

/** Above the domains, on a screen. */
export function summaryLines({ domains, ...host }: HostStatistics, time: Date): readonly Line[] {
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()];
  const counts = countStates(domains);
  const used = host.totalKiB - host.freeKiB;
  return [
    `xentop - ${clock.map((part) => String(part).padStart(2, '0')).join(':')}   Xen ${host.xenVersion}`,
    `${domains.length} domains: ${counts}`,
    `Mem: ${host.totalKiB}k total, ${used}k used, ${host.freeKiB}k free    CPUs: ${host.nrCpus} @ ${Math.floor(host.cpuKhz / 1000)}MHz`,
  ].map((text) => [{ text }]);
}

/** A domain counts as the first of these that it is. */
const counted = [
  ['running', 'r'],
  ['blocked', 'b'],
  ['paused', 'p'],
  ['shutdown', 's'],
  ['crashed', 'c'],
  ['dying', 'd'],
] as const;

function countStates(domains: readonly DomainStatistics[]): string {
  const counts = { running: 0, blocked: 0, paused: 0, crashed: 0, dying: 0, shutdown: 0 };
  for (const domain of domains) {
    const first = counted.find(([, letter]) => states.find((state) => state.letter === letter)?.is(domain));
    if (first !== undefined) counts[first[0]]++;
  }
  return Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}

export function domainLines(sample: Sample, view: View, names: NameWidth): readonly Line[] {
  const domains = sorted(sample, view).slice(view.skip);
  if (view.fullName) names.fit(domains);
  const table = columns.map((column, index) => widthOf(column, index, domains, sample, names));
  const header = tableLine((index) => columns[index]?.title ?? '', table, view.sort, true);
  return domains.flatMap((domain, row) => [
    ...(row === 0 || view.repeatHeader ? [header] : []),
    tableLine((index) => cell(index, domain, sample, view), table, view.sort, false),
    ...(view.vcpus ? vcpuLines(domain) : []),
    ...(view.networks ? networkLines(domain) : []),
    ...(view.disks ? diskLines(domain) : []),
  ]);
}

/** With whole names the column of names is as wide as the longest that was ever shown. */
export class NameWidth {
  width = columns[0]?.width ?? 0;

  fit(domains: readonly DomainStatistics[]): void {
    for (const { name } of domains) this.width = Math.max(this.width, Buffer.byteLength(name));
  }
}

export function sorted(sample: Sample, { sort }: Pick<View, 'sort'>): readonly DomainStatistics[] {
  const { domains } = sample.host;
  const column = columns[sort];
  return column === undefined ? domains : domains.toSorted((a, b) => column.compare(a, b, sample));
}

function widthOf(
  column: Column,
  index: number,
  domains: readonly DomainStatistics[],
  sample: Sample,
  names: NameWidth,
): number {
  if (index === 0) return names.width;
  if (column.grows !== true) return column.width;
  // xentop makes room for one more than the number.
  return Math.max(column.width, ...domains.map((domain) => String(Number(column.text(domain, sample)) + 1).length));
}

function cell(index: number, domain: DomainStatistics, sample: Sample, view: View): string {
  const text = columns[index]?.text(domain, sample) ?? '';
  return index === 0 && !view.fullName ? text.slice(0, columns[0]?.width) : text;
}

function tableLine(text: (index: number) => string, widths: readonly number[], sort: number, heading: boolean): Line {
  return widths.flatMap((width, index) => [
    ...(index === 0 ? [] : [{ text: ' ', heading }]),
    { text: text(index).padStart(width), heading, sorted: index === sort },
  ]);
}

const VCPUS_A_LINE = 5;

function vcpuLines({ vcpus }: DomainStatistics): readonly Line[] {
  const online = vcpus.flatMap(({ online: on, cpuTimeNs }, vcpu) => (on ? [{ vcpu, cpuTimeNs }] : []));
  let text = 'VCPUs(sec): ';
  for (const { vcpu, cpuTimeNs } of online) {
    if (vcpu !== 0 && vcpu % VCPUS_A_LINE === 0) text += '\n        ';
    text += ` ${String(vcpu).padStart(2)}: ${String(Math.floor(cpuTimeNs / 1e9)).padStart(10)}s`;
  }
  return text.split('\n').map((line) => [{ text: line }]);
}

const wide = (value: number): string => String(value).padStart(8);

function networkLines({ nics }: DomainStatistics): readonly Line[] {
  const half = (name: string, { bytes, packets, dropped }: (typeof nics)[number]['toGuest']): string =>
    `${name}: ${wide(bytes)}bytes ${wide(packets)}pkts ${wide(0)}err ${wide(dropped)}drop`;
  return nics.map(({ fromGuest, toGuest }, index) => [
    { text: `Net${index} ${half('RX', fromGuest)}  ${half('TX', toGuest)}` },
  ]);
}

/** With the numbers that Linux' MAJOR and MINOR make of a device's (linux/kdev_t.h). */
function diskLines({ disks }: DomainStatistics): readonly Line[] {
  return disks.map((disk) => {
    const hex = (value: number): string => value.toString(16).padStart(2);
    const numbers = `[${hex(Math.floor(disk.devid / 256))}:${hex(disk.devid & 0xff)}] `;
    const sectors = (value: number): string => String(value).padStart(10);
    return [
      {
        text: [
          `VBD BlkBack ${String(disk.devid).padStart(4)} ${numbers} OO: ${wide(0)}`,
          `RD: ${wide(disk.readRequests)}`,
          `WR: ${wide(disk.writeRequests)}`,
          `RSECT: ${sectors(disk.readSectors)}`,
          `WSECT: ${sectors(disk.writeSectors)}`,
        ].join('   '),
      },
    ];
  });
}

export function plain(lines: readonly Line[]): string {
  return lines.map((line) => `${line.map(({ text }) => text).join('')}\n`).join('');
}
