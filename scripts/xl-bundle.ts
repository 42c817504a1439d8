/**
 * Puts all of xl into one file, which starts a quarter faster than its sources: Node resolves, reads and links each module by itself, and an `xl list` has little
 * else to do (docs/performance.md). The set-up makes it; bin/xl takes it while it is newer than all that went into it, and the sources otherwise.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild-wasm';

const root = join(import.meta.dirname, '..');

/** Modules that ask where they are get their place among the sources. */
const places: Plugin = {
  name: 'places',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8');
      const place = JSON.stringify(relative(root, path));
      const placed = contents.replaceAll('import.meta.url', `sourceUrl(${place})`);
      if (placed.includes('import.meta.')) throw new Error(`${path}: of import.meta a bundle knows url only`);
      return { contents: placed, loader: 'ts' };
    });
  },
};

/** Of CommonJS, whose modules are loaded where they are asked for: most commands need few of Node's. */
const entry = `
import { run } from './src/toolstack/xl/run.ts';
void run(process.argv.slice(2), {
  out: (text: string) => void process.stdout.write(text),
  err: (line: string) => void process.stderr.write(line + '\\n'),
  env: process.env,
}).then((code: number) => process.exit(code));
`;

const banner = `const sourceUrl = (place) => require('node:url').pathToFileURL(require('node:path').join(__dirname, '../..', place));`;

/** Into `folder`, which lies two levels below the root: `xl.cjs`, and `xl-stale`, shell that sets $stale when a source is newer. */
export async function bundleXl(folder: string): Promise<void> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: entry, resolveDir: root, loader: 'ts' },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'cjs',
    target: 'es2024',
    plugins: [places],
    banner: { js: banner },
    metafile: true,
    write: false,
    logLevel: 'error',
  });
  const inputs = Object.keys(metafile.inputs).filter((path) => path !== '<stdin>');
  const code = outputFiles[0]?.contents ?? new Uint8Array();
  mkdirSync(folder, { recursive: true });
  const sources = [...inputs, 'scripts/xl-bundle.ts', 'package-lock.json'].map((path) => `'${path}'`).join(' ');
  writeFileSync(
    join(folder, 'xl-stale'),
    `for source in ${sources}; do [ "$root/$source" -nt "$bundle" ] && stale=yes; done\n`,
  );
  writeFileSync(join(folder, 'xl.cjs'), code);
}

if (import.meta.main) await bundleXl(join(root, 'node_modules/.xenolith'));
