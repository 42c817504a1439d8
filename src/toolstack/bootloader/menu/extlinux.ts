/** Configurations of syslinux and its kin (syslinux: doc/syslinux.txt, doc/menu.txt), and the extlinux.conf that U-Boot reads as well. */
import { MAX_ENTRIES, MAX_INCLUDED, type BootEntry, type BootMenu, type MenuFiles } from './boot-menu.ts';

interface Label {
  readonly label: string;
  title: string;
  kernel: string | undefined;
  ramdisks: string[];
  append: string | undefined;
  isDefault: boolean;
}

/** What several files that include each other come to. */
interface Found {
  readonly labels: Label[];
  default: string;
  /** APPEND before the first label holds for all that have none. */
  append: string;
  included: number;
}

export async function readExtlinuxMenu(text: string, path: string, files: MenuFiles): Promise<BootMenu> {
  const found: Found = { labels: [], default: '', append: '', included: 0 };
  const folder = path.slice(0, path.lastIndexOf('/'));
  await readLines(text, folder, files, found);
  const { labels } = found;
  const [wanted] = found.default.split(/\s+/);
  const marked = labels.findIndex(({ isDefault }) => isDefault);
  const named = labels.findIndex(({ label }) => label === wanted);
  return {
    entries: labels.map((label) => entryOf(label, folder, found.append)),
    defaultEntry: Math.max(0, marked >= 0 ? marked : named),
  };
}

async function readLines(text: string, folder: string, files: MenuFiles, found: Found): Promise<void> {
  for (const line of text.split('\n')) {
    const [, word = '', rest = ''] = /^\s*([^\s#]\S*)\s*(.*?)\s*$/.exec(line) ?? [];
    const label = found.labels.at(-1);
    switch (word.toLowerCase()) {
      case 'include': {
        const included = ++found.included <= MAX_INCLUDED ? await files.readText(absolute(rest, folder)) : undefined;
        if (included !== undefined) await readLines(included, folder, files, found);
        break;
      }
      case 'label':
        if (found.labels.length >= MAX_ENTRIES) return;
        found.labels.push(newLabel(rest));
        break;
      case 'default':
      case 'ontimeout':
        found.default ||= rest;
        break;
      case 'append':
        if (label === undefined) found.append = rest;
        else label.append = rest === '-' ? '' : rest;
        break;
      case 'kernel':
      case 'linux':
        if (label !== undefined) label.kernel = rest;
        break;
      case 'initrd':
        if (label !== undefined) label.ramdisks = rest.split(',');
        break;
      case 'menu':
        if (label !== undefined) readMenu(rest, label);
        break;
      default:
        break;
    }
  }
}

function newLabel(label: string): Label {
  return { label, title: label, kernel: undefined, ramdisks: [], append: undefined, isDefault: false };
}

function readMenu(rest: string, label: Label): void {
  const [, word = '', value = ''] = /^(\S+)\s*(.*)$/.exec(rest) ?? [];
  if (word.toLowerCase() === 'default') label.isDefault = true;
  if (word.toLowerCase() === 'label') label.title = value.replaceAll('^', '');
}

function entryOf({ title, kernel, ramdisks, append }: Label, folder: string, common: string): BootEntry {
  let line = append ?? common;
  let path = kernel;
  let images = ramdisks;
  // Xen's own multiboot loader: hypervisor --- kernel --- ramdisk, of which a domain boots the latter two, as by pygrub.
  if (kernel !== undefined && /(^|\/)mboot\.c32$/.test(kernel)) {
    const [last, ...before] = line
      .split('---')
      .map((module) => module.trim())
      .reverse();
    const [command = '', ...args] = (before[0] ?? '').split(/\s+/);
    path = command === '' ? undefined : command;
    images = last === undefined ? [] : [last];
    line = args.join(' ');
  }
  const words = line.split(/\s+/).filter((word) => word !== '');
  const named = words
    .filter((word) => /^initrd=/i.test(word))
    .flatMap((word) => word.slice('initrd='.length).split(','));
  return {
    title,
    kernel: path === undefined ? undefined : absolute(path, folder),
    ramdisks: (images.length > 0 ? images : named).map((image) => absolute(image, folder)),
    args: words.filter((word) => !/^initrd=/i.test(word)).join(' '),
  };
}

/** Relative to where the configuration lies. */
function absolute(path: string, folder: string): string {
  return path.startsWith('/') ? path : `${folder}/${path}`;
}
