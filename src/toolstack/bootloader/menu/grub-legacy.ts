/** menu.lst and grub.conf of GRUB before version 2, which el5, el6 and images for Amazon's PV instances have. */
import { MAX_ENTRIES, plainPath, type BootEntry, type BootMenu } from './boot-menu.ts';

export function readLegacyMenu(text: string): BootMenu {
  const entries: BootEntry[] = [];
  let defaultEntry = 0;
  for (const line of text.split('\n')) {
    const [, command = '', rest = ''] = /^\s*([a-z]+)(?:\s*=\s*|\s+|$)(.*?)\s*$/.exec(line) ?? [];
    const entry = entries.at(-1);
    if (command === 'title') {
      if (entries.length >= MAX_ENTRIES) break;
      entries.push({ title: rest, kernel: undefined, ramdisks: [], args: '' });
    } else if (entry === undefined) {
      // `default saved` is in a file that GRUB writes by block number; pygrub takes the first entry, too.
      if (command === 'default' && /^\d+$/.test(rest)) defaultEntry = Number(rest);
    } else if (command === 'kernel') {
      const [path, ...args] = rest.split(/\s+/).filter((word) => !/^--(type|no-mem-option)/.test(word));
      entries[entries.length - 1] = { ...entry, kernel: plainPath(path ?? ''), args: args.join(' ') };
    } else if (command === 'initrd') {
      entries[entries.length - 1] = { ...entry, ramdisks: rest.split(/\s+/).map(plainPath) };
    }
  }
  return { entries, defaultEntry: defaultEntry < entries.length ? defaultEntry : 0 };
}
