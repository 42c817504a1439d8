import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild-wasm';
import type { Row } from '../row.ts';

const root = join(import.meta.dirname, '../..');

/** The rooms' sources as a host loads them: no tests, and not what only tests use. */
function sources(): string[] {
  return globSync('src/{abi,cpu,hypervisor}/**/*.ts', {
    cwd: root,
    exclude: ['**/*.d.ts', '**/*.proof.ts', '**/*test.ts', 'src/cpu/oracle/**', '**/testing/**'],
  }).sort();
}

/** Bytes of one minified bundle that keeps every export of every file: an upper bound, as nothing is shaken out. */
async function scriptBytes(): Promise<number> {
  const files = sources();
  const contents = [
    ...files.map((file, index) => `import * as m${index} from './${file}';`),
    `export default [${files.map((_, index) => `m${index}`).join(', ')}];`,
  ].join('\n');
  const result = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2024',
    write: false,
    logLevel: 'error',
  });
  return result.outputFiles.reduce((sum, file) => sum + file.contents.length, 0);
}

/** Bytes of the WebAssembly that the processor consists of: it is generated when a host starts, so a process is watched doing it. */
function webAssemblyBytes(): number {
  const watch = `
    const { Module } = WebAssembly;
    let total = 0;
    WebAssembly.Module = class extends Module {
      constructor(bytes) { super(bytes); total += bytes.byteLength; }
    };
    const { processorModule } = await import('./src/cpu/index.ts');
    processorModule();
    console.log(total);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', watch], { cwd: root, encoding: 'utf8' });
  if (child.status !== 0)
    throw new Error(/^\w*Error.*$/m.exec(child.stderr)?.[0] ?? 'src/cpu did not build its WebAssembly');
  return Number(child.stdout);
}

export const row: Row = {
  name: 'hypervisor.size',
  about: 'src/cpu + src/hypervisor + src/abi as one minified bundle, with the WebAssembly they generate',
  unit: 'bytes',
  better: 'lower',
  goal: 1_000_000,
  peers: {},
  measure: async () => (await scriptBytes()) + webAssemblyBytes(),
};
