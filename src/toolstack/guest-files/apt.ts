/**
 * Fetches packages with the machine's own apt, from wherever its sources point, without root and without installing
 * anything. Where apt's lists are missing or out of date, a private set of lists is kept in the cache folder.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checksum, type Cache } from './cache.ts';
import { GuestFilesError } from './guest-files-error.ts';
import type { OnProgress } from './progress.ts';

export interface Package {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly depends: string;
  readonly size: number;
  readonly sha256: string;
}

/** A package file as apt names it. */
export interface Archive {
  readonly name: string;
  readonly file: string;
  readonly size: number;
}

/** A line of apt's sources. */
export interface DebianSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
}

/** Architectures that guests run. */
export type Architecture = 'amd64' | 'i386';

const LISTS_KEY = 'apt-lists';
const POLL_MS = 200;
const HINT = 'without apt, give a kernel and a ramdisk of your own: --kernel FILE --ramdisk FILE';

export class Apt {
  readonly #cache: Cache;
  readonly #architecture: Architecture;
  readonly #progress: OnProgress;
  /** Options that point apt at the private lists, once those are in use. */
  #private: readonly string[] | undefined;

  constructor(cache: Cache, architecture: Architecture, progress: OnProgress) {
    this.#cache = cache;
    this.#architecture = architecture;
    this.#progress = progress;
  }

  /** What the lists know of the package's newest version. */
  async show(name: string): Promise<Package> {
    let found = await this.#tryShow(name);
    if (found === undefined && this.#private === undefined) {
      await this.#usePrivateLists({ refresh: false });
      found = await this.#tryShow(name);
    }
    if (found === undefined) {
      throw new GuestFilesError(`apt knows no package ${name} for ${this.#architecture}`, { hint: HINT });
    }
    return found;
  }

  /** Downloads the package into `folder`; gives the path of the file. */
  async download(wanted: Package, folder: string): Promise<string> {
    try {
      return await this.#download(wanted, folder);
    } catch (error) {
      // Lists that are out of date name files that are no longer there.
      if (!(error instanceof GuestFilesError)) throw error;
      await this.#usePrivateLists({ refresh: true });
      const current = await this.#tryShow(wanted.name);
      if (current === undefined) throw error;
      return this.#download(current, folder);
    }
  }

  /**
   * All packages that a system without any needs for these, by apt's own solver; `names` may be its patterns. Where apt gets them from is in its
   * sources, and the lists are those of the machine unless they are missing.
   */
  async resolve(names: readonly string[]): Promise<readonly Archive[]> {
    return this.#withEmptySystem(async (options) => {
      const list = (): Promise<string> =>
        this.#run('apt-get', [...options, '--print-uris', '--yes', 'install', ...names], undefined);
      let output: string;
      try {
        output = await list();
      } catch (error) {
        if (!(error instanceof GuestFilesError) || error.cause !== 'exit' || this.#private !== undefined) throw error;
        await this.#usePrivateLists({ refresh: false });
        output = await list();
      }
      return [...output.matchAll(/^'[^']+' (\S+) (\d+) /gm)].map(([, file = '', size]) => ({
        name: file.split('_')[0] ?? '',
        file,
        size: Number(size),
      }));
    });
  }

  /** Downloads what `resolve` found for the names into `folder`, checked by apt. */
  async downloadAll(names: readonly string[], archives: readonly Archive[], folder: string): Promise<void> {
    const total = archives.reduce((sum, { size }) => sum + size, 0);
    const step = `downloading ${archives.length} packages`;
    const report = (done: number): void => this.#progress({ step, done, total });
    report(0);
    await mkdir(join(folder, 'partial'), { recursive: true });
    const timer = setInterval(() => void sizeOf(folder).then(report, () => undefined), POLL_MS);
    try {
      await this.#withEmptySystem(async (options) => {
        const where = ['-o', `Dir::Cache::archives=${folder}/`];
        await this.#run('apt-get', [...options, ...where, '--download-only', '--yes', 'install', ...names], undefined);
      });
    } finally {
      clearInterval(timer);
    }
    await rm(join(folder, 'partial'), { recursive: true, force: true });
    report(total);
  }

  /** The Debian archives that the machine's apt knows: others are no part of a system that has nothing but Debian. */
  async debianSources(): Promise<readonly DebianSource[]> {
    const format = '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY)';
    const found = new Map<string, { uri: string; suite: string; components: Set<string> }>();
    for (const line of (await this.#run('apt-get', ['indextargets', '--format', format], undefined)).split('\n')) {
      const [origin, uri, suite, component, target] = line.split(' ');
      if (origin !== 'Debian' || target !== 'Packages' || !uri || !suite || !component) continue;
      const source = found.get(`${uri} ${suite}`) ?? { uri, suite, components: new Set() };
      source.components.add(component);
      found.set(`${uri} ${suite}`, source);
    }
    return [...found.values()].map(({ uri, suite, components }) => ({ uri, suite, components: [...components] }));
  }

  /** Options for apt to believe that nothing is installed; what it keeps on the side is in memory or thrown away. */
  #withEmptySystem<T>(use: (options: readonly string[]) => Promise<T>): Promise<T> {
    return this.#cache.withScratch(async (scratch) => {
      const status = join(scratch, 'status');
      await writeFile(status, '');
      await mkdir(join(scratch, 'archives', 'partial'), { recursive: true });
      const settings = [
        `Dir::State::status=${status}`,
        `Dir::State::extended_states=${join(scratch, 'extended_states')}`,
        `Dir::Cache::archives=${join(scratch, 'archives')}/`,
        'Dir::Cache::pkgcache=',
        'Dir::Cache::srcpkgcache=',
        `APT::Architecture=${this.#architecture}`,
        `APT::Architectures=${this.#architecture}`,
        'APT::Install-Recommends=0',
        'APT::Install-Suggests=0',
        'APT::Sandbox::User=root',
        // The lock belongs to the machine's own apt, whose state is not touched.
        'Debug::NoLocking=1',
      ];
      return use(settings.flatMap((setting) => ['-o', setting]));
    });
  }

  async #download(wanted: Package, folder: string): Promise<string> {
    const step = `downloading ${wanted.name} ${wanted.version}`;
    const report = (done: number): void => this.#progress({ step, done, total: wanted.size });
    report(0);
    const timer = setInterval(() => void sizeOf(folder).then(report, () => undefined), POLL_MS);
    try {
      await this.#run('apt-get', ['download', `${this.#qualified(wanted.name)}=${wanted.version}`], folder);
    } finally {
      clearInterval(timer);
    }
    const file = (await readdir(folder)).find((name) => name.startsWith(`${wanted.name}_`) && name.endsWith('.deb'));
    if (file === undefined) throw new GuestFilesError(`apt-get download ${wanted.name} left no file`, { hint: HINT });
    const path = join(folder, file);
    if (wanted.sha256 !== '' && (await checksum(path)) !== wanted.sha256) {
      throw new GuestFilesError(`${wanted.name} ${wanted.version} does not match its checksum after the download`);
    }
    report(wanted.size);
    return path;
  }

  async #tryShow(name: string): Promise<Package | undefined> {
    let output: string;
    try {
      output = await this.#run('apt-cache', ['show', '--no-all-versions', this.#qualified(name)], undefined);
    } catch (error) {
      if (error instanceof GuestFilesError && error.cause === 'exit') return undefined;
      throw error;
    }
    const fields = paragraph(output);
    const version = fields.get('Version');
    const architecture = fields.get('Architecture');
    if (version === undefined || (architecture !== this.#architecture && architecture !== 'all')) return undefined;
    return {
      name: fields.get('Package') ?? name,
      version,
      architecture,
      depends: fields.get('Depends') ?? '',
      size: Number(fields.get('Size') ?? 0),
      sha256: fields.get('SHA256') ?? '',
    };
  }

  async #usePrivateLists(options: { readonly refresh: boolean }): Promise<void> {
    const key = `${LISTS_KEY}/${this.#architecture}`;
    if (options.refresh) await this.#cache.remove(key);
    const { folder } = await this.#cache.get(key, async (draft) => {
      this.#progress({ step: `reading the package lists for ${this.#architecture}` });
      await mkdir(join(draft, 'lists', 'partial'), { recursive: true });
      try {
        await this.#run('apt-get', [...this.#listOptions(draft), 'update'], undefined);
      } catch (error) {
        // One source of several may be out of order; the rest may well do.
        const lists = await readdir(join(draft, 'lists'));
        if (!lists.some((name) => name.includes('_Packages'))) throw error;
      }
      return {};
    });
    this.#private = this.#listOptions(folder);
  }

  #listOptions(folder: string): string[] {
    return [
      `Dir::State::lists=${join(folder, 'lists')}`,
      // What else apt keeps on the side: in memory, and none of the machine's own.
      'Dir::Cache::pkgcache=',
      'Dir::Cache::srcpkgcache=',
      `APT::Architecture=${this.#architecture}`,
      `APT::Architectures=${this.#architecture}`,
      // A download as root would be done by the user _apt, who cannot write to a private folder.
      'APT::Sandbox::User=root',
      // Hooks of the machine are not for private lists, and some need root.
      'APT::Update::Post-Invoke=',
      'APT::Update::Post-Invoke-Success=',
    ].flatMap((option) => ['-o', option]);
  }

  #qualified(name: string): string {
    return `${name}:${this.#architecture}`;
  }

  #run(program: 'apt-get' | 'apt-cache', args: readonly string[], folder: string | undefined): Promise<string> {
    const options = [...(this.#private ?? []), '-o', 'Acquire::Retries=2'];
    return new Promise((resolve, reject) => {
      execFile(
        program,
        [...options, ...args],
        { ...(folder === undefined ? {} : { cwd: folder }), env: { ...process.env, LC_ALL: 'C' }, maxBuffer: 1 << 26 },
        (error, stdout, stderr) => {
          if (error === null) {
            resolve(stdout);
          } else if (error.code === 'ENOENT') {
            reject(new GuestFilesError(`${program} is not there: this needs a Debian machine`, { hint: HINT }));
          } else {
            const reason =
              stderr
                .trim()
                .split('\n')
                .filter((line) => line.startsWith('E:'))
                .join(' ') || error.message;
            reject(new GuestFilesError(`${program} failed: ${reason}`, { hint: HINT, cause: 'exit' }));
          }
        },
      );
    });
  }
}

/** The fields of the first paragraph of a control file. */
function paragraph(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of (text.split('\n\n')[0] ?? '').split('\n')) {
    const match = /^([A-Za-z0-9-]+): *(.*)$/.exec(line);
    if (match?.[1] !== undefined) fields.set(match[1], match[2] ?? '');
  }
  return fields;
}

async function sizeOf(folder: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return total;
}
