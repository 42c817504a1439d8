/**
 * What is made of disks and networks. The programs are ours, not fio and iperf3: fio of Debian is linked with the clients of three storage clusters, which no
 * ramdisk has room for, and amounts of work that end by themselves are what the bench takes turns with.
 */
import type { Targets, Workload } from './workloads.ts';

/** A peer's guest listens here when the host's end is to reach it. */
export const PORT_OF_GUEST = 5001;

const targets: Targets = { qemu: 1, xen: 10 };
const MIB = 2 ** 20;
const BLOCK = 4096;

const megabytes = { unit: 'MB/s', scale: 1e6, better: 'higher', targets } as const;
const transfers = { unit: 'k/s', scale: 1e3 * BLOCK, better: 'higher', targets } as const;
/** A unit is a trip, and a figure the time of one. */
const trip = { unit: 'µs', scale: 1e6, better: 'lower', targets } as const;

const sequential = (what: 'read' | 'write') => (mib: number) => `$B/disk ${what} $D ${mib} ${MIB} 1`;
const random = (what: 'read' | 'write', depth: number) => (count: number) =>
  `$B/disk ${what} $D ${count} ${BLOCK} ${depth} random`;

const disk: readonly Workload[] = [
  {
    ...megabytes,
    name: 'disk.read',
    about: 'a raw disk past the guest’s page cache, from one end to the other, 1 MiB after the other',
    command: sequential('read'),
    start: 16,
  },
  {
    ...megabytes,
    name: 'disk.write',
    about: 'the same, written',
    command: sequential('write'),
    start: 16,
  },
  {
    ...transfers,
    name: 'disk.read1',
    about: 'reads of 4 KiB anywhere, one after the other',
    command: random('read', 1),
    start: 100,
  },
  {
    ...transfers,
    name: 'disk.read32',
    about: 'reads of 4 KiB anywhere, 32 under way',
    command: random('read', 32),
    start: 100,
  },
  {
    ...transfers,
    name: 'disk.write1',
    about: 'writes of 4 KiB anywhere, one after the other',
    command: random('write', 1),
    start: 100,
  },
  {
    ...transfers,
    name: 'disk.write32',
    about: 'writes of 4 KiB anywhere, 32 under way',
    command: random('write', 32),
    start: 100,
  },
];

const network: readonly Workload[] = [
  {
    ...megabytes,
    name: 'net.out',
    about: 'one TCP connection, from the guest to the host',
    command: (mib) => `$B/tcp-pair stream $H ${mib}`,
    start: 1,
  },
  {
    ...megabytes,
    name: 'net.in',
    about: 'one TCP connection, from the host to the guest',
    command: (mib) => `$B/tcp-pair receive $H ${mib}`,
    start: 1,
  },
  {
    ...megabytes,
    name: 'net.pair',
    about: 'one TCP connection, from one guest to another',
    command: (mib) => `$B/tcp-pair stream $G ${mib}`,
    start: 1,
  },
  {
    ...trip,
    name: 'net.trip-out',
    about: 'a byte from the guest to the host and back, over TCP',
    command: (trips) => `$B/tcp-pair echo $H ${trips}`,
    start: 20,
  },
  {
    ...trip,
    name: 'net.trip-in',
    about: 'a byte from the host to the guest and back, over a connection that the host has opened by a forward',
    command: (trips) => `$B/tcp-pair called ${PORT_OF_GUEST} $H $F ${trips}`,
    start: 20,
  },
  {
    ...trip,
    name: 'net.trip-pair',
    about: 'a byte from one guest to another and back',
    command: (trips) => `$B/tcp-pair echo $G ${trips}`,
    start: 20,
  },
];

export const deviceWorkloads: readonly Workload[] = [
  ...disk.map((workload) => ({ ...workload, equipment: 'disk' }) as const),
  ...network.map((workload) => ({ ...workload, equipment: 'network' }) as const),
];
