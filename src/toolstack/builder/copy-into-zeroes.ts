/**
 * Copies into memory that is zero already, and leaves out what is zero in the source too: a kernel's .bss and .brk are some ten megabytes of a file, and a page that
 * nobody has written costs the host nothing.
 */
import { PAGE_SIZE } from '../../abi/numbers.ts';

const ZEROES = Buffer.alloc(PAGE_SIZE);

/** `target` is as long as `source` or longer. */
export function copyIntoZeroes(target: Uint8Array, source: Uint8Array): void {
  const bytes = Buffer.from(source.buffer, source.byteOffset, source.length);
  let from = 0;
  for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
    const end = Math.min(at + PAGE_SIZE, bytes.length);
    // Most pages are told apart by their first byte.
    if (bytes[at] !== 0 || bytes.compare(ZEROES, 0, end - at, at, end) !== 0) continue;
    if (at > from) target.set(bytes.subarray(from, at), from);
    from = end;
  }
  if (from < bytes.length) target.set(bytes.subarray(from), from);
}
