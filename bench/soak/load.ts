/** What a soaked guest does: jobs that each repeat one kind of work, check what it gives, and count the times. */
import { createHash } from 'node:crypto';

export interface Job {
  readonly name: string;
  /** Does its work once; the exit code tells whether the result was right. Works for about $SLICE seconds when it can choose. */
  readonly command: string;
}

const zeros = (bytes: number, algorithm: 'sha256' | 'md5'): string =>
  createHash(algorithm).update(new Uint8Array(bytes)).digest('hex');
const lines = Array.from({ length: 4000 }, (_, n) => `${n + 1}\n`);
const sorted = createHash('md5')
  .update([...lines].sort().join(''))
  .digest('hex');

/** Where the image has the programs of bench/soak/programs. */
export const PROGRAMS = '/soak';
/** Where it has those of bench/programs. */
export const BENCH = '/bench';

const is = (expected: string, command: string): string => `[ "$(${command})" = "${expected}" ]`;

export const jobs: readonly Job[] = [
  { name: 'sha256', command: is(`${zeros(2 << 20, 'sha256')}  -`, 'head -c 2097152 /dev/zero | sha256sum') },
  { name: 'md5', command: is(`${zeros(4 << 20, 'md5')}  -`, 'head -c 4194304 /dev/zero | md5sum') },
  {
    name: 'sort and gzip',
    command: is(`${sorted}  -`, 'seq 1 4000 | sort | gzip | gunzip | md5sum'),
  },
  { name: 'compiler', command: `${BENCH}/compiler 20 >/dev/null` },
  {
    name: 'forks',
    command: is(
      '20',
      'n=0; while [ $n -lt 20 ]; do (exit 3); [ $? = 3 ] && n=$((n + $(/bin/busybox echo 1))); done; echo $n',
    ),
  },
  {
    name: 'files',
    command:
      'd=$(mktemp -d /tmp/f.XXXXXX) && dd if=/dev/urandom of=$d/a bs=64k count=32 2>/dev/null && cp $d/a $d/b && cmp $d/a $d/b && rm -r $d',
  },
  {
    name: 'modules',
    // Those that nothing in this guest uses.
    command:
      'for m in libcrc32c xen_gntalloc xen_gntdev xen_blkfront; do modprobe $m && grep -q "^$m " /proc/modules && ' +
      'rmmod $m && ! grep -q "^$m " /proc/modules || exit 1; done',
  },
  ...['protection', 'own-code', 'signals', 'moves'].map((name) => ({
    name,
    command: `${PROGRAMS}/${name} $SLICE >/dev/null`,
  })),
];

/** Seconds that a job of the C programs lasts. */
const SLICE = 5;
/** Before it is taken for stuck: a loaded host may give it little of its time. */
const STUCK = 300;

/** Where the guest counts; one file for each job. */
export const COUNTS = '/tmp/soak';
const fileOf = ({ name }: Job): string => `${COUNTS}/${name.replaceAll(' ', '-')}`;

/** A script that starts all jobs in the background; each stops when the file `stop` is there. */
export function loadScript(): string {
  const loop = (job: Job): string =>
    `(n=0; while [ ! -e ${COUNTS}/stop ]; do if timeout ${STUCK} sh -c '${job.command.replaceAll("'", "'\\''")}'; then n=$((n + 1)); echo $n >${fileOf(job)}; ` +
    `else echo "failed after $n: code $?" >${fileOf(job)}; exit; fi; done) </dev/null >/dev/null 2>&1 &`;
  return ['#!/bin/sh', `mkdir -p ${COUNTS}; export SLICE=${SLICE}`, ...jobs.map(loop), ''].join('\n');
}

/** Prints what each job has counted, a line each. */
export const countsCommand = jobs.map((job) => `cat ${fileOf(job)} 2>/dev/null || echo 0`).join('; ');

export interface Count {
  readonly job: Job;
  /** Times that it was right; undefined when it was wrong once. */
  readonly times: number | undefined;
  readonly text: string;
}

export function readCounts(printed: string): Count[] {
  const texts = printed.split('\n');
  return jobs.map((job, n) => {
    const text = texts[n]?.trim() ?? '';
    return { job, times: /^\d+$/.test(text) ? Number(text) : undefined, text };
  });
}
