/**
 * Makes what an npm package has in place of the sources, which Node does not run under `node_modules`: the library in one file, the workers that it starts beside it, and
 * declarations. `npm pack` calls it.
 */
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Plugin } from 'esbuild-wasm';
import { runTool } from './run-tool.ts';

const root = join(import.meta.dirname, '..');
const entry = 'src/host/node/xenolith.ts';
/** How a module names the file of a worker. */
const workerUrl = /new URL\('\.\/([\w-]+)\.ts', import\.meta\.url\)/g;

/** Workers lie beside whoever starts them, as in the sources. */
const workersBeside: Plugin = {
  name: 'workers-beside',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll(workerUrl, "new URL('./$1.js', import.meta.url)"),
      loader: 'ts',
    }));
  },
};

/** Every file that one of the sources starts as a worker. */
function workers(): string[] {
  const sources = globSync('src/{host/node,toolstack}/**/*.ts', { cwd: root }).filter(
    (path) => !/\.(boot-)?test\.ts$/.test(path),
  );
  return sources.flatMap((path) => {
    const names = [...readFileSync(join(root, path), 'utf8').matchAll(workerUrl)].map(([, name = '']) => name);
    return names.map((name) => join(path, '..', `${name}.ts`));
  });
}

/** Into `dist`: `lib` with the code, `agent/guest` with the sources of the guests' agent, which is compiled where it is needed, and `types`. */
export async function bundlePackage(dist: string): Promise<void> {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(join(dist, 'lib'), { recursive: true });
  const { outputFiles } = await build({
    entryPoints: [entry, ...new Set(workers())].map((path) => ({ in: join(root, path), out: basename(path, '.ts') })),
    absWorkingDir: root,
    outdir: join(dist, 'lib'),
    bundle: true,
    // Names of classes are what errors and logs show.
    keepNames: true,
    platform: 'node',
    format: 'esm',
    target: 'es2024',
    supported: { using: true },
    packages: 'external',
    plugins: [workersBeside],
    write: false,
    logLevel: 'error',
  });
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
  cpSync(join(root, 'src/toolstack/agent/guest'), join(dist, 'agent/guest'), { recursive: true });
  const code = await runTool(root, 'tsc', ['-p', 'scripts/package-types.json', '--outDir', join(dist, 'types')]);
  if (code !== 0) throw new Error('the declarations cannot be made');
}

if (import.meta.main) await bundlePackage(join(root, 'dist'));
