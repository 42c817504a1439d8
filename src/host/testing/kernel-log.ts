/** What a kernel may say of warnings and worse: what the same kernel says on real Xen 4.17. */
import assert from 'node:assert/strict';
import type { GuestTerminal } from './guest-terminal.ts';

/** Messages of levels 0 (emergency) to 4 (warning) that Debian's kernels have in a PV domain of Xen 4.17, and why. */
const known: readonly { readonly line: RegExp; readonly why: string }[] = [
  {
    line: /ACPI: MPS support code is not built-in, using acpi=off/,
    why: 'a PV domain has no ACPI, and the cloud kernel no MPS',
  },
  { line: /Grant table initialized/, why: 'printed without a level' },
  {
    line: /xen:xen_privcmd: No target domain found, blocking all hypercalls/,
    why: 'the module asks for a device model’s target',
  },
  { line: /Unknown kernel command line parameters/, why: 'words for user space' },
  { line: /hrtimer: interrupt took \d+ ns/, why: 'a busy host lets a vCPU wait in the midst of an interrupt' },
];

/** Signs of trouble that may come at any level. */
const trouble =
  /BUG|WARNING|Oops|Call Trace|Kernel panic|general protection|segfault|\bstall|lockup|blocked for more|unhandled|\bMMU\b/;

const WORST_OF_INTEREST = 4;

export async function assertHealthyLog(guest: GuestTerminal): Promise<void> {
  const lines = (await guest.run('dmesg -r')).split('\n');
  assert.ok(lines.length > 150, 'the whole log is there');
  const complaints = lines.filter((line) => {
    const level = Number(/^<(\d+)>/.exec(line)?.[1] ?? 0) & 7;
    const bad = level <= WORST_OF_INTEREST || trouble.test(line);
    return bad && !known.some((one) => one.line.test(line));
  });
  assert.deepEqual(complaints, []);
  assert.equal(await guest.run('cat /proc/sys/kernel/tainted'), '0');
}
