import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { bundleXl } from './xl-bundle.ts';

const root = join(import.meta.dirname, '..');

describe('xl in one file', () => {
  // Two levels below the root, as where it is installed.
  const folder = mkdtempSync(join(root, 'node_modules/.xenolith-test-'));
  after(() => rmSync(folder, { recursive: true }));

  it('answers as the sources do', async () => {
    await bundleXl(folder);
    const help = (file: string): string =>
      execFileSync(process.execPath, [file, 'help', 'create'], { encoding: 'utf8' });
    assert.equal(help(join(folder, 'xl.cjs')), help(join(root, 'src/toolstack/xl/main.ts')));
  });

  it('knows where the program of the daemon is, and all that it was made of', () => {
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
});
