/** What bundles of a checkout (bundle.ts) and of an npm package (package-bundle.ts) have in common. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BuildOptions } from 'esbuild-wasm';
import { instructionSet } from '../src/cpu/index.ts';

export const root = join(import.meta.dirname, '..');

/** How a module names the file of a worker. */
export const workerUrl = /new URL\('\.\/([\w-]+)\.ts', import\.meta\.url\)/g;

/** Every file that one of the sources starts as a worker, from the root. */
export function workers(): readonly string[] {
  const sources = globSync('src/{host/node,toolstack}/**/*.ts', { cwd: root }).filter(
    (path) => !/\.(boot-)?test\.ts$/.test(path),
  );
  const named = sources.flatMap((path) => {
    const names = [...readFileSync(join(root, path), 'utf8').matchAll(workerUrl)].map(([, name = '']) => name);
    return names.map((name) => join(path, '..', `${name}.ts`));
  });
  return [...new Set(named)];
}

/** Names stay: they are what errors, logs and profiles show. */
export const moduleOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'es2024',
  supported: { using: true },
  packages: 'external',
  metafile: true,
  write: false,
  logLevel: 'error',
} as const satisfies BuildOptions;

/** Beside the worker that would generate it otherwise. */
export const INTERPRETER = 'interpreter.wasm';

export const interpreter = (): Uint8Array => instructionSet().generate().bytes;
