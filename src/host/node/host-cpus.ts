/**
 * The host's processors under their numbers here, and threads on them: which ones a thread may use (sched_setaffinity(2), by node:ffi as docs/adr/0010
 * has it), and where it was last (/proc). Linux with glibc only: elsewhere threads run where the host's scheduler likes.
 */
import { readFileSync } from 'node:fs';
import { quietFfi } from './quiet-ffi.ts';

/** Documentation/filesystems/proc.rst, "Contents of the stat fields": `task_cpu`, counted from what follows the name in brackets. */
const TASK_CPU = 36;
/** CPU_SETSIZE of glibc, in bytes. */
const SET_BYTES = 128;

type SetAffinity = (tid: number, size: bigint, mask: Buffer) => number;

export class HostCpus {
  /** The kernel's numbers of those that the process may use. */
  readonly #numbers: readonly number[];
  /** Threads, whomever they serve now. One that has ended stays here, as its number may be another's: to free that once more does no harm. */
  readonly #confined = new Set<number>();
  #setAffinity: SetAffinity | 'missing' | undefined;

  constructor(numbers: readonly number[] = usable()) {
    this.#numbers = numbers;
  }

  /** False when the host's kernel cannot, or will not. A thread that was never confined needs no call to be free. */
  confine(tid: number, cpus: readonly number[]): boolean {
    const numbers = cpus.flatMap((cpu) => this.#numbers[cpu] ?? []);
    const everywhere = numbers.length === this.#numbers.length;
    if (everywhere && !this.#confined.has(tid)) return true;
    this.#setAffinity ??= load();
    if (this.#setAffinity === 'missing') return false;
    const mask = Buffer.alloc(SET_BYTES);
    for (const number of numbers) mask[number >>> 3] = (mask[number >>> 3] ?? 0) | (1 << (number & 7));
    if (this.#setAffinity(tid, BigInt(SET_BYTES), mask) !== 0) return false;
    if (everywhere) this.#confined.delete(tid);
    else this.#confined.add(tid);
    return true;
  }

  /** Where a thread of this process was last; undefined where that is not known. */
  lastOf(tid: number): number | undefined {
    try {
      const stat = readFileSync(`/proc/self/task/${tid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const cpu = this.#numbers.indexOf(Number(fields[TASK_CPU]));
      return cpu < 0 ? undefined : cpu;
    } catch {
      return undefined;
    }
  }
}

function usable(): number[] {
  try {
    const status = readFileSync('/proc/self/status', 'latin1');
    return parseList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '');
  } catch {
    return [];
  }
}

/** `0-3,8` (Documentation/core-api/printk-formats.rst, "bitmap and its derivatives"). */
export function parseList(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [first = NaN, last = first] = part === '' ? [] : part.split('-').map(Number);
    if (!(first <= last && last < SET_BYTES * 8)) return [];
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

function load(): SetAffinity | 'missing' {
  try {
    const { dlopen } = quietFfi();
    return dlopen('libc.so.6', { sched_setaffinity: { arguments: ['i32', 'u64', 'buffer'], return: 'i32' } }).functions
      .sched_setaffinity;
  } catch {
    return 'missing';
  }
}
