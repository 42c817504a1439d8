/**
 * Puts xl, the daemon and each worker into one file, which starts sooner than its sources (docs/performance.md), and writes down the interpreter's module, which
 * takes half a second to generate. The set-up makes them, tests and benches before they begin, and a daemon at rest that had to start from sources.
 * They are taken while they are newer than all that went into them: by bin/xl, and by src/toolstack/start-files.ts.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild-wasm';
import { StartFiles } from '../src/toolstack/start-files.ts';
import { INTERPRETER, interpreter, moduleOptions, root, workers } from './bundle-sources.ts';
import { xlScript } from './xl-script.ts';

/** Modules that ask where they are get their place among the sources. */
const places: Plugin = {
  name: 'places',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8');
      const place = JSON.stringify(relative(root, path));
      const placed = contents
        .replaceAll('import.meta.url', `sourceUrl(${place})`)
        .replaceAll('import.meta.dirname', `sourceFolder(${place})`);
      if (placed.includes('import.meta.')) throw new Error(`${path}: of import.meta a bundle knows url and dirname`);
      return { contents: placed, loader: 'ts' };
    });
  },
};

/** For bundles two levels below the root. */
const placing = (url: string, path: string, here: string): string =>
  [
    `const sourceUrl = (place) => ${url}.pathToFileURL(${path}.join(${here}, '../..', place));`,
    `const sourceFolder = (place) => ${path}.join(${here}, '../..', place, '..');`,
  ].join('\n');

const daemon = 'src/host/node/xenolithd.ts';
/** What the bundles depend on beside the sources in them. */
const makers = ['scripts/bundle.ts', 'scripts/bundle-sources.ts', 'scripts/xl-script.ts', 'package-lock.json'];

/** All of it into `folder`, which lies two levels below the root. */
export async function bundle(folder: string): Promise<void> {
  // What is changed while this runs is newer.
  const began = new Date();
  mkdirSync(folder, { recursive: true });
  const put = (name: string, contents: string | Uint8Array): void => {
    const draft = join(folder, `${name}.${process.pid}`);
    writeFileSync(draft, contents);
    utimesSync(draft, began, began);
    renameSync(draft, join(folder, name));
  };
  const [command, modules] = await Promise.all([bundleXl(), bundleModules()]);
  put('xl.cjs', command.contents);
  put(
    'xl-stale',
    `for source in ${command.sources.map((path) => `'${path}'`).join(' ')}; do [ "$root/$source" -nt "$bundle" ] && stale=yes; done\n`,
  );
  for (const { name, contents } of modules) put(name, contents);
  put(INTERPRETER, interpreter());
  put('sources.json', JSON.stringify(Object.fromEntries(modules.map(({ name, sources }) => [name, sources]))));
}

interface Bundled {
  readonly name: string;
  readonly contents: Uint8Array;
  readonly sources: readonly string[];
}

async function bundleXl(): Promise<Omit<Bundled, 'name'>> {
  const banner = placing(`require('node:url')`, `require('node:path')`, '__dirname');
  const { contents, sources } = await xlScript(places, banner);
  return { contents, sources: [...sources, ...makers] };
}

async function bundleModules(): Promise<readonly Bundled[]> {
  const imports = `import * as nodeUrl from 'node:url';\nimport * as nodePath from 'node:path';\n`;
  const { outputFiles, metafile } = await build({
    ...moduleOptions,
    entryPoints: [daemon, ...workers()].map((path) => ({ in: path, out: basename(path, '.ts') })),
    outdir: 'out',
    outExtension: { '.js': '.mjs' },
    minifySyntax: true,
    minifyWhitespace: true,
    plugins: [places],
    banner: { js: imports + placing('nodeUrl', 'nodePath', 'import.meta.dirname') },
  });
  return outputFiles.map(({ path, contents }) => {
    const inputs = Object.keys(metafile.outputs[relative(root, path)]?.inputs ?? {});
    return { name: basename(path), contents, sources: [...inputs, ...makers] };
  });
}

const checkout = join(root, 'node_modules/.xenolith');
const BUSY_MS = 300_000;

/** For tests and benches: what they try and measure is what an installation has. */
export async function bundleWhenStale(): Promise<void> {
  const files = new StartFiles(pathToFileURL(`${checkout}/`));
  const names = [daemon, ...workers()].map((path) => `${basename(path, '.ts')}.mjs`);
  if (!names.every((name) => files.isFresh(name))) await bundle(checkout);
}

/** Daemons that had to start from sources ask for it, each of them; one at a time is enough. A build that was killed leaves its mark for five minutes. */
async function bundleUnlessBusy(): Promise<void> {
  const busy = join(checkout, 'busy');
  mkdirSync(checkout, { recursive: true });
  const since = statSync(busy, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (Date.now() - since < BUSY_MS) return;
  writeFileSync(busy, '');
  try {
    await bundleWhenStale();
  } finally {
    rmSync(busy, { force: true });
  }
}

if (import.meta.main) await (process.argv.includes('--when-stale') ? bundleUnlessBusy() : bundle(checkout));
