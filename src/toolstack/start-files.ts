/**
 * Programs and workers start sooner from one file than from a hundred sources, of which Node resolves, reads and links each by itself in every thread. scripts/bundle.ts makes such
 * files; one is good while it is newer than all that it was made of. `XENOLITH_NAMES` in the environment is for profilers, which tell of the sources.
 */
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';

const root = new URL('../../', import.meta.url);

/** What lies beside the bundles: of each, the paths from the root of all that it was made of. */
type Sources = Readonly<Record<string, readonly string[] | undefined>>;

export class StartFiles {
  readonly #folder: URL;
  /** Each is looked at once: a process whose sources change under it goes on with what it has begun with. */
  readonly #known = new Map<string, URL>();

  constructor(folder: URL) {
    this.#folder = folder;
  }

  /** A source's bundle, or itself. */
  of(source: URL): URL {
    const name = `${basename(source.pathname, '.ts')}.mjs`;
    const file = this.#known.get(name) ?? (this.isFresh(name) ? new URL(name, this.#folder) : source);
    this.#known.set(name, file);
    return file;
  }

  /** Whether the bundle is there and newer than all of its sources. */
  isFresh(name: string): boolean {
    try {
      const sources = JSON.parse(readFileSync(new URL('sources.json', this.#folder), 'utf8')) as Sources;
      const made = statSync(new URL(name, this.#folder)).mtimeMs;
      return sources[name]?.every((path) => statSync(new URL(path, root)).mtimeMs < made) ?? false;
    } catch {
      return false;
    }
  }
}

/** Of this checkout. */
export const startFiles = new StartFiles(new URL('node_modules/.xenolith/', root));

/** Where to start a program or a worker from. In an npm package there are bundles only, under their own names. */
export function startFile(source: URL): URL {
  return !source.pathname.endsWith('.ts') || process.env['XENOLITH_NAMES'] !== undefined
    ? source
    : startFiles.of(source);
}
