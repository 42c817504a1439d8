/**
 * Makes what an npm package has in place of the sources, which Node does not run under `node_modules`: the library, the programs of `bin` and the workers that any of
 * them starts, all beside each other, each by the name of its source; the interpreter's module; and declarations. `npm pack` calls it, and bin/launch runs what it has made.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Plugin } from 'esbuild-wasm';
import { sourceDigest } from '../src/host/node/build-info.ts';
import { INTERPRETER, interpreter, moduleOptions, root, workers } from './bundle-sources.ts';
import { runTool } from './run-tool.ts';
import { xlScript } from './xl-script.ts';

const library = 'src/host/node/xenolith.ts';
/** How a module names the file of a worker, or of a program that it starts. */
const started = /new URL\('(?:[\w./-]+\/)?([\w-]+)\.ts', import\.meta\.url\)/g;
/** What a command of `bin` hands to bin/launch. */
const launched = /launch"? (src\/\S+\.ts) /g;

/** In the package they lie beside whoever starts them. */
const beside = (path: string): string =>
  readFileSync(path, 'utf8').replaceAll(started, "new URL('./$1.js', import.meta.url)");

const modulePlaces: Plugin = {
  name: 'module-places',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => ({ contents: beside(path), loader: 'ts' }));
  },
};

const scriptPlaces: Plugin = {
  name: 'script-places',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const contents = beside(path).replaceAll('import.meta.url', 'scriptUrl');
      if (contents.includes('import.meta.')) throw new Error(`${path}: of import.meta a script knows url only`);
      return { contents, loader: 'ts' };
    });
  },
};

/** The programs that the commands of `bin` are, but xl, which is a script. */
function programs(): string[] {
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { bin: Record<string, string> };
  return Object.entries(bin).flatMap(([name, path]) =>
    name === 'xl' ? [] : [...readFileSync(join(root, path), 'utf8').matchAll(launched)].map(([, file = '']) => file),
  );
}

/** Into `dist`: `lib` with the code, `agent/guest` with the sources of the guests' agent, which is compiled where it is needed, and `types`. */
export async function bundlePackage(dist: string): Promise<void> {
  const lib = join(dist, 'lib');
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(lib, { recursive: true });
  const files = new Set([library, ...programs(), ...workers()]);
  const { outputFiles } = await build({
    ...moduleOptions,
    entryPoints: [...files].map((path) => ({ in: path, out: basename(path, '.ts') })),
    outdir: lib,
    // Names of classes are what errors and logs show.
    keepNames: true,
    // Its sources are not there to be read.
    define: { XENOLITH_BUILD_ID: JSON.stringify(sourceDigest()) },
    plugins: [modulePlaces],
  });
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
  const xl = await xlScript(scriptPlaces, `const scriptUrl = require('node:url').pathToFileURL(__filename);`);
  writeFileSync(join(lib, 'xl.cjs'), xl.contents);
  writeFileSync(join(lib, INTERPRETER), interpreter());
  cpSync(join(root, 'src/toolstack/agent/guest'), join(dist, 'agent/guest'), { recursive: true });
  const code = await runTool(root, 'tsc', ['-p', 'scripts/package-types.json', '--outDir', join(dist, 'types')]);
  if (code !== 0) throw new Error('the declarations cannot be made');
}

if (import.meta.main) await bundlePackage(join(root, 'dist'));
