/** What Xenolith and its peers are made to do side by side, and what the project wants to reach. Names are stable: others keep histories by them. */
import type { Equipment, PeerName } from '../peers/peer.ts';
import { deviceWorkloads } from './device-workloads.ts';

/** The least ratio of Xenolith to the peer; more is better, whatever is measured. */
export type Targets = Readonly<Partial<Record<PeerName, number>>>;

export interface Workload {
  readonly name: string;
  /** What is measured, in one line for a person. */
  readonly about: string;
  readonly unit: string;
  /** What is better. `higher`: a rate, units by the second. `lower`: a time, seconds by the unit. */
  readonly better: 'higher' | 'lower';
  /** Of a rate, units of the program in one of `unit`; of a time, how many of `unit` are a second. */
  readonly scale: number;
  /** What the machine has to have for it; nothing unless it says so. */
  readonly equipment?: Equipment;
  /**
   * The shell command for an amount of work. $B is the folder with the programs, $X is busybox; the programs print what bench/programs/bench.h says. Missing for the boot, which
   * is timed from outside.
   */
  readonly command?: (amount: number) => string;
  /** An amount that even the slowest peer does in a moment; more is found out. */
  readonly start: number;
  readonly targets: Targets;
}

const hotLoop: Targets = { qemu: 2, v86: 5 };
const memory: Targets = { qemu: 1, v86: 5 };
/** Real Xen pays for its protection as we do; QEMU without Xen does not. */
const kernelPath: Targets = { qemu: 0.5, xen: 1, v86: 5 };

const program =
  (name: string) =>
  (amount: number): string =>
    `$B/${name} ${amount}`;

const rate = { better: 'higher', scale: 1e6 } as const;
const thousands = { better: 'higher', scale: 1e3 } as const;

export const workloads: readonly Workload[] = [
  {
    name: 'boot',
    about: 'from the start of the emulator, or of xl create, to the kernel’s line "Run /init"',
    unit: 's',
    scale: 1,
    start: 1,
    better: 'lower',
    targets: { qemu: 1, xen: 3, v86: 5 },
  },
  {
    ...rate,
    name: 'sha256',
    about: 'dd if=/dev/zero | sha256sum of busybox',
    unit: 'MB/s',
    command: (mib) =>
      `$B/timed ${mib * 2 ** 20} $X sh -c '$X dd if=/dev/zero bs=1M count=${mib} 2>/dev/null | $X sha256sum'`,
    start: 1,
    targets: hotLoop,
  },
  {
    ...rate,
    name: 'compiler',
    about: 'tokens taken apart, looked up, parsed, folded, compiled and run',
    unit: 'M tokens/s',
    command: program('compiler'),
    start: 100,
    targets: hotLoop,
  },
  {
    ...rate,
    name: 'float-scalar',
    about: 'double-precision SSE, one number at a time',
    unit: 'Mflop/s',
    command: program('float-scalar'),
    start: 30,
    targets: hotLoop,
  },
  {
    ...rate,
    name: 'float-packed',
    about: 'single-precision SSE, four numbers at a time',
    unit: 'Mflop/s',
    command: program('float-packed'),
    start: 30,
    targets: hotLoop,
  },
  {
    ...rate,
    name: 'x87',
    about: 'extended precision on the x87',
    unit: 'Mflop/s',
    command: program('x87'),
    start: 10,
    targets: { v86: 5 },
  },
  {
    ...rate,
    name: 'copy',
    about: 'memcpy of 1 MB pieces of 32 MB',
    unit: 'MB/s',
    command: program('copy'),
    start: 50,
    targets: memory,
  },
  {
    ...rate,
    name: 'random',
    about: 'reads from all over 256 MB, each depending on the one before: TLB misses',
    unit: 'M reads/s',
    command: program('random'),
    start: 100,
    targets: memory,
  },
  {
    ...thousands,
    name: 'syscall',
    about: 'getppid in a loop',
    unit: 'k calls/s',
    command: program('syscall'),
    start: 100,
    targets: kernelPath,
  },
  {
    ...thousands,
    name: 'dd',
    about: 'dd bs=1 of busybox from /dev/zero to /dev/null: a read and a write for each byte',
    unit: 'k bytes/s',
    command: (amount) => `$B/timed ${amount} $X dd if=/dev/zero of=/dev/null bs=1 count=${amount}`,
    start: 5000,
    targets: kernelPath,
  },
  {
    ...thousands,
    name: 'fork-exec',
    about: 'processes that are started and end at once, one after the other',
    unit: 'k/s',
    command: program('fork-exec'),
    start: 10,
    targets: kernelPath,
  },
  {
    ...thousands,
    name: 'pipe',
    about: 'a byte to and fro between two processes',
    unit: 'k trips/s',
    command: program('pipe'),
    start: 50,
    targets: kernelPath,
  },
  {
    ...thousands,
    name: 'page-fault',
    about: 'mmap of 1 MB, a touch of each page, munmap',
    unit: 'k pages/s',
    command: program('page-fault'),
    start: 3,
    targets: kernelPath,
  },
  ...deviceWorkloads,
];
