import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { StartFiles } from '../src/toolstack/start-files.ts';
import { bundle } from './bundle.ts';
import { workers } from './bundle-sources.ts';

const root = join(import.meta.dirname, '..');

describe('programs in one file each', async () => {
  // Two levels below the root, as where they are installed.
  const folder = mkdtempSync(join(root, 'node_modules/.xenolith-test-'));
  after(() => rmSync(folder, { recursive: true }));
  await bundle(folder);

  it('xl answers as the sources do', () => {
    const help = (file: string): string =>
      execFileSync(process.execPath, [file, 'help', 'create'], { encoding: 'utf8' });
    assert.equal(help(join(folder, 'xl.cjs')), help(join(root, 'src/toolstack/xl/xl.ts')));
  });

  it('the daemon answers as the sources do', () => {
    const help = (file: string): string => execFileSync(process.execPath, [file, '--help'], { encoding: 'utf8' });
    assert.equal(help(join(folder, 'xenolithd.mjs')), help(join(root, 'src/host/node/xenolithd.ts')));
  });

  it('xl knows where the program of the daemon is, and all that it was made of', () => {
    assert.match(readFileSync(join(folder, 'xl.cjs'), 'utf8'), /sourceUrl\("src\/toolstack\/daemon\/start\.ts"\)/);
    const stale = readFileSync(join(folder, 'xl-stale'), 'utf8');
    const sources = [...stale.matchAll(/'([^']+)'/g)].map(([, path]) => path ?? '');
    for (const path of ['src/toolstack/xl/run.ts', 'src/toolstack/xl/commands/list.ts', 'package-lock.json'])
      assert.ok(sources.includes(path), path);
    for (const path of sources) assert.ok(existsSync(join(root, path)), path);
    const run = `root='${root}'; bundle='${folder}/xl.cjs'; stale=; . '${folder}/xl-stale'; echo "$stale"`;
    assert.equal(execFileSync('sh', ['-c', run], { encoding: 'utf8' }), '\n');
    assert.equal(
      execFileSync('sh', ['-c', `touch -d '2001-01-01' '${folder}/xl.cjs'; ${run}`], { encoding: 'utf8' }),
      'yes\n',
    );
  });

  it('workers are taken while they are newer than their sources', () => {
    const files = (): StartFiles => new StartFiles(pathToFileURL(`${folder}/`));
    for (const worker of workers()) {
      const source = pathToFileURL(join(root, worker));
      const name = `${basename(worker, '.ts')}.mjs`;
      assert.equal(files().of(source).href, pathToFileURL(join(folder, name)).href);
      utimesSync(join(folder, name), 1e9, 1e9);
      assert.equal(files().of(source).href, source.href);
    }
    assert.equal(files().isFresh('nobody.mjs'), false);
  });

  it('the interpreter is the one that the sources generate', async () => {
    const { processorModule } = await import('../src/cpu/index.ts');
    const ahead = new WebAssembly.Module(readFileSync(join(folder, 'interpreter.wasm')));
    assert.deepEqual(WebAssembly.Module.exports(ahead), WebAssembly.Module.exports(processorModule()));
  });
});
