/** One file for each kernel: UAPI group, "The Boot Loader Specification", type #1. What el8 and Fedora 30 and later have beside a grub.cfg. */
import { MAX_ENTRIES, type BootEntry, type MenuFiles } from './boot-menu.ts';

/** With /boot on a file system of its own, and without. */
const folders = ['/loader/entries', '/boot/loader/entries'];
const SUFFIX = '.conf';

export interface LoaderEntry {
  /** What a saved default names: the file's name. */
  readonly id: string;
  readonly entry: BootEntry;
}

/** Newest first. `expand` puts GRUB's variables in. */
export async function loaderEntries(files: MenuFiles, expand: (text: string) => string): Promise<LoaderEntry[]> {
  for (const folder of folders) {
    const names = (await files.names(folder)).filter((name) => name.endsWith(SUFFIX)).slice(0, MAX_ENTRIES);
    if (names.length === 0) continue;
    const found: LoaderEntry[] = [];
    for (const name of names) {
      const text = await files.readText(`${folder}/${name}`);
      if (text !== undefined) found.push({ id: name.slice(0, -SUFFIX.length), entry: entryOf(text, expand) });
    }
    return found.sort((a, b) => compareVersions(b.id, a.id));
  }
  return [];
}

function entryOf(text: string, expand: (text: string) => string): BootEntry {
  const values = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [, key, value = ''] = /^\s*([a-z-]+)[ \t]+(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined) values.set(key, [...(values.get(key) ?? []), expand(value)]);
  }
  const all = (key: string): string[] => values.get(key) ?? [];
  return {
    title: all('title')[0] ?? '',
    kernel: all('linux')[0],
    ramdisks: all('initrd').flatMap((line) => line.split(/\s+/).filter((path) => path !== '')),
    args: all('options').join(' ').replace(/\s+/g, ' ').trim(),
  };
}

/** As rpm compares: runs of digits as numbers, runs of letters as text, what separates them not at all. */
export function compareVersions(a: string, b: string): number {
  const left = a.match(/\d+|[A-Za-z]+/g) ?? [];
  const right = b.match(/\d+|[A-Za-z]+/g) ?? [];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const [x, y] = [left[at] ?? '', right[at] ?? ''];
    const [isNumber, isOther] = [/^\d/.test(x), /^\d/.test(y)];
    if (isNumber !== isOther) return isNumber ? 1 : -1;
    const [p, q] = isNumber ? [x.replace(/^0+/, ''), y.replace(/^0+/, '')] : [x, y];
    if (isNumber && p.length !== q.length) return p.length - q.length;
    if (p !== q) return p < q ? -1 : 1;
  }
  return left.length - right.length;
}
