/**
 * Makes what an npm package has in place of the sources, which Node does not run under `node_modules`: the library in one file, the workers that it starts beside it, the
 * interpreter's module, and declarations. `npm pack` calls it.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Plugin } from 'esbuild-wasm';
import { INTERPRETER, interpreter, moduleOptions, root, workers, workerUrl } from './bundle-sources.ts';
import { runTool } from './run-tool.ts';

const entry = 'src/host/node/xenolith.ts';

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

/** Into `dist`: `lib` with the code, `agent/guest` with the sources of the guests' agent, which is compiled where it is needed, and `types`. */
export async function bundlePackage(dist: string): Promise<void> {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(join(dist, 'lib'), { recursive: true });
  const { outputFiles } = await build({
    ...moduleOptions,
    entryPoints: [entry, ...workers()].map((path) => ({ in: path, out: basename(path, '.ts') })),
    outdir: join(dist, 'lib'),
    // Names of classes are what errors and logs show.
    keepNames: true,
    plugins: [workersBeside],
  });
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
  writeFileSync(join(dist, 'lib', INTERPRETER), interpreter());
  cpSync(join(root, 'src/toolstack/agent/guest'), join(dist, 'agent/guest'), { recursive: true });
  const code = await runTool(root, 'tsc', ['-p', 'scripts/package-types.json', '--outDir', join(dist, 'types')]);
  if (code !== 0) throw new Error('the declarations cannot be made');
}

if (import.meta.main) await bundlePackage(join(root, 'dist'));
