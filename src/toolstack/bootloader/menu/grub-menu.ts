/**
 * Reads a grub.cfg as GRUB 2 itself does, by running it: generated ones choose the default by variables and conditions, keep kernels in submenus and, from
 * el8 and Fedora 30 on, in files of their own. What only concerns screens and disks does nothing here.
 *
 * Departs from pygrub, which looks at single lines: a saved default and one within a submenu are found, and an entry for Xen's own domain 0 is not taken.
 */
import { BootFailure } from '../boot-failure.ts';
import { MAX_ENTRIES, MAX_INCLUDED, plainPath, type BootEntry, type BootMenu, type MenuFiles } from './boot-menu.ts';
import { loaderEntries } from './loader-entries.ts';
import { readEnvironment } from './grub-environment.ts';
import { isTrue } from './grub-condition.ts';
import { parseGrubScript, type Script, type Statement, type Word } from './grub-syntax.ts';

const MAX_STEPS = 50_000;
const MAX_VALUE = 16_384;

/** An entry or a submenu. */
interface Item {
  readonly title: string;
  readonly id: string | undefined;
  readonly entry: BootEntry | undefined;
  readonly children: readonly Item[];
}

export async function readGrubMenu(text: string, path: string, files: MenuFiles): Promise<BootMenu> {
  const folder = path.slice(0, path.lastIndexOf('/'));
  const run = new Run(files, folder);
  await run.script(parseGrubScript(text));
  const items = await run.items();
  const entries = flatten(items);
  const named = find(items, run.variables.get('default') ?? '0') ?? find(items, run.variables.get('fallback') ?? '0');
  return { entries, defaultEntry: Math.max(0, named === undefined ? 0 : entries.indexOf(named)) };
}

function flatten(items: readonly Item[]): BootEntry[] {
  return items.flatMap(({ entry, children }) => (entry === undefined ? flatten(children) : [entry]));
}

/** By number, identifier or title; `>` leads into a submenu (GRUB manual, "default"). */
function find(items: readonly Item[], wanted: string): BootEntry | undefined {
  const exact = items.find(({ id, title }) => id === wanted || title === wanted);
  const cut = exact === undefined ? wanted.indexOf('>') : -1;
  const name = cut < 0 ? wanted : wanted.slice(0, cut);
  const item =
    exact ??
    items.find(({ id, title }) => id === name || title === name) ??
    (/^\d+$/.test(name) ? items[Number(name)] : undefined);
  if (item === undefined) return undefined;
  return item.entry ?? find(item.children, cut < 0 ? '0' : wanted.slice(cut + 1));
}

/** What GRUB has set before the configuration is read, where that matters. */
const features = [
  'feature_default_font_path',
  'feature_menuentry_id',
  'feature_timeout_style',
  'feature_all_video_module',
  'feature_menuentry_options',
];

interface Loading {
  kernel: string | undefined;
  args: string;
  ramdisks: string[];
}

interface Pending {
  readonly title: string;
  readonly id: string | undefined;
  readonly body: Script;
}

class Run {
  readonly variables = new Map<string, string>(features.map((name) => [name, 'y']));
  readonly #files: MenuFiles;
  readonly #folder: string;
  #menu: (Pending | Item)[] = [];
  #loading: Loading | undefined;
  #steps = 0;
  #included = 0;
  #found = 0;

  constructor(files: MenuFiles, folder: string) {
    this.#files = files;
    this.#folder = folder;
    // As GRUB's build for PV domains says.
    this.variables.set('grub_platform', 'xen').set('grub_cpu', 'x86_64').set('root', 'root');
    this.variables.set('prefix', `(root)${folder}`);
  }

  /** The menu, with each entry's commands run after all of the configuration, as when it is chosen. */
  async items(): Promise<Item[]> {
    const items: Item[] = [];
    for (const pending of this.#menu) {
      if (!('body' in pending)) {
        items.push(pending);
        continue;
      }
      const loading: Loading = (this.#loading = { kernel: undefined, args: '', ramdisks: [] });
      await this.script(pending.body);
      const { title, id } = pending;
      items.push({ title, id, entry: { title, ...loading }, children: [] });
    }
    this.#loading = undefined;
    return items;
  }

  async script(script: Script): Promise<boolean> {
    let result = true;
    for (const statement of script) {
      if (++this.#steps > MAX_STEPS) throw new BootFailure('the menu is too long');
      result = await this.#statement(statement);
    }
    return result;
  }

  async #statement(statement: Statement): Promise<boolean> {
    if (statement.kind === 'if') {
      for (const { condition, then } of statement.clauses) {
        if (await this.script(condition)) return this.script(then);
      }
      return this.script(statement.otherwise);
    }
    const [name = '', ...args] = statement.words.flatMap((word) => this.#expand(word));
    if (statement.block !== undefined) return this.#withBlock(name, args, statement.block);
    return this.#command(name, args);
  }

  async #withBlock(name: string, args: readonly string[], body: Script): Promise<boolean> {
    if (this.#loading !== undefined) return false;
    const { title, id } = headOf(args);
    if (name === 'menuentry') {
      this.#add({ title, id, body });
    } else if (name === 'submenu') {
      const outer = this.#menu;
      this.#menu = [];
      await this.script(body);
      const children = await this.items();
      this.#menu = outer;
      this.#add({ title, id, entry: undefined, children });
    }
    return true;
  }

  #add(item: Pending | Item): void {
    if (++this.#found > MAX_ENTRIES) throw new BootFailure('the menu is too long');
    this.#menu.push(item);
  }

  async #command(name: string, args: readonly string[]): Promise<boolean> {
    switch (name) {
      case 'set':
        return args.every((arg) => this.#assign(arg));
      case 'unset':
        args.forEach((arg) => this.variables.delete(arg));
        return true;
      case 'false':
      case 'keystatus':
        return false;
      case 'test':
        return isTrue(args, this.#files);
      case '[':
        return isTrue(args.slice(0, args.at(-1) === ']' ? -1 : undefined), this.#files);
      case '!':
        return !(await this.#command(args[0] ?? '', args.slice(1)));
      case 'load_env':
        return this.#loadEnvironment(args);
      case 'source':
      case 'configfile':
      case '.':
        return this.#include(args[0]);
      case 'blscfg':
        return this.#loaderEntries();
      case 'linux':
      case 'linux16':
      case 'linuxefi':
        return this.#kernel(args);
      case 'initrd':
      case 'initrd16':
      case 'initrdefi':
        this.#loading?.ramdisks.push(...args.filter((arg) => !arg.startsWith('--')).map(plainPath));
        return true;
      default:
        this.#assign(name);
        return true;
    }
  }

  #assign(text: string): boolean {
    const [, name, value = ''] = /^(\w+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined) return false;
    this.variables.set(name, value.slice(0, MAX_VALUE));
    return true;
  }

  #kernel([path, ...args]: readonly string[]): boolean {
    if (this.#loading === undefined || path === undefined) return false;
    this.#loading.kernel = plainPath(path);
    this.#loading.args = args.map((arg) => (/[ \t]/.test(arg) ? `"${arg}"` : arg)).join(' ');
    return true;
  }

  async #loadEnvironment(args: readonly string[]): Promise<boolean> {
    const option = args.findIndex((arg) => arg === '--file' || arg === '-f');
    const path = option < 0 ? `${this.#folder}/grubenv` : plainPath(args[option + 1] ?? '');
    const names = args.filter((arg, at) => !arg.startsWith('-') && (option < 0 || at !== option + 1));
    const text = await this.#files.readText(path);
    if (text === undefined) return false;
    for (const [name, value] of readEnvironment(text)) {
      // GRUB boots this one once and then forgets it, which takes writing to the guest's disk.
      if (name === 'next_entry') continue;
      if (names.length === 0 || names.includes(name)) this.variables.set(name, value);
    }
    return true;
  }

  async #include(path: string | undefined): Promise<boolean> {
    if (path === undefined || ++this.#included > MAX_INCLUDED) return false;
    const text = await this.#files.readText(plainPath(path));
    return text !== undefined && this.script(parseGrubScript(text));
  }

  async #loaderEntries(): Promise<boolean> {
    if (!this.variables.has('kernelopts')) {
      this.variables.set('kernelopts', this.variables.get('default_kernelopts') ?? '');
    }
    const expand = (text: string): string =>
      text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, a?: string, b?: string) => this.#value(a ?? b ?? ''));
    for (const { id, entry } of await loaderEntries(this.#files, expand)) {
      this.#add({ title: entry.title, id, entry, children: [] });
    }
    return true;
  }

  #value(name: string): string {
    return this.variables.get(name) ?? '';
  }

  /** Without quotes, what a variable holds falls into words, and none is left of an empty one. */
  #expand({ parts, quoted }: Word): string[] {
    const words: string[] = [''];
    for (const part of parts) {
      const text = 'text' in part ? part.text : this.#value(part.variable);
      if ('text' in part || part.quoted) {
        words.push((words.pop() ?? '') + text);
        continue;
      }
      const [first = '', ...others] = text.split(/[ \t\n]+/);
      words.push((words.pop() ?? '') + first, ...others);
    }
    if (words.some((word) => word.length > MAX_VALUE)) throw new BootFailure('a line of the menu is too long');
    return quoted ? words : words.filter((word) => word !== '');
  }
}

const withArgument: readonly string[] = ['--class', '--users', '--hotkey', '--id', '--source'];

/** The title and the identifier among a menuentry's arguments. */
function headOf(args: readonly string[]): { title: string; id: string | undefined } {
  let title: string | undefined;
  let id: string | undefined;
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? '';
    if (withArgument.includes(arg)) {
      at++;
      if (arg === '--id') id = args[at];
    } else if (arg.startsWith('--id=')) {
      id = arg.slice('--id='.length);
    } else if (!arg.startsWith('--')) {
      title ??= arg;
    }
  }
  return { title: title ?? '', id };
}
