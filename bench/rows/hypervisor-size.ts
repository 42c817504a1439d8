import { globSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild-wasm';
import { instructionSet } from '../../src/cpu/index.ts';
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

export const row: Row = {
  name: 'hypervisor.size',
  about: 'src/cpu + src/hypervisor + src/abi as one minified bundle, with the WebAssembly they generate',
  unit: 'bytes',
  better: 'lower',
  goal: 1_000_000,
  peers: {},
  async measure(note) {
    const script = await scriptBytes();
    // The processor generates it when a host starts; a release could carry it instead.
    const webAssembly = instructionSet().generate().bytes.length;
    note(`${script} bytes of JavaScript, ${webAssembly} of WebAssembly`);
    return script + webAssembly;
  },
};
