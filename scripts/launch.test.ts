import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, describe, it } from 'node:test';

const root = join(import.meta.dirname, '..');

describe('bin/launch', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-launch-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, 'program.ts');
  writeFileSync(
    program,
    `const told: unknown = [process.env.NODE_COMPILE_CACHE, ...process.argv.slice(2)];\nconsole.log(JSON.stringify(told));\n`,
  );
  const launch = (command: string, env: NodeJS.ProcessEnv, cwd = root): unknown => {
    const options = { encoding: 'utf8', cwd, env: { PATH: process.env['PATH'], ...env } } as const;
    return JSON.parse(execFileSync(command, [relative(root, program), 'a b', ''], options)) as unknown;
  };

  it('hands on arguments, by whatever link it was called', () => {
    const link = join(folder, 'link');
    symlinkSync(join(root, 'bin/launch'), link);
    const env = { NODE_COMPILE_CACHE: folder };
    for (const [command, cwd] of [
      [join(root, 'bin/launch'), folder],
      ['./launch', join(root, 'bin')],
      [link, folder],
    ] as const)
      assert.deepEqual(launch(command, env, cwd), [folder, 'a b', '']);
  });

  it('hands options on to Node', () => {
    const asked = join(folder, 'asked.ts');
    writeFileSync(asked, 'console.log(process.execArgv.join(), process.argv.slice(2).join());\n');
    const options = ['--no-opt', '--expose-gc'];
    const args = [...options, relative(root, asked), '--help'];
    assert.equal(execFileSync(join(root, 'bin/launch'), args, { encoding: 'utf8' }), '--no-opt,--expose-gc --help\n');
  });

  it("keeps compiled code in the user's own cache", () => {
    const command = join(root, 'bin/launch');
    const where = (env: NodeJS.ProcessEnv): unknown => (launch(command, env) as unknown[])[0];
    assert.equal(where({ XENOLITH_CACHE: join(folder, 'own') }), join(folder, 'own/compiled'));
    assert.equal(where({ XDG_CACHE_HOME: folder, HOME: '/nowhere' }), join(folder, 'xenolith/compiled'));
    assert.equal(where({ XDG_CACHE_HOME: 'relative', HOME: folder }), join(folder, '.cache/xenolith/compiled'));
    assert.equal(where({}), null);
  });

  it('runs what an npm package has in place of the sources, with the Node that npm has fetched, or one that is new enough', () => {
    const installed = join(folder, 'node_modules/xenolith');
    for (const path of ['bin', 'dist/lib', '../node/bin', '../../old'])
      mkdirSync(join(installed, path), { recursive: true });
    copyFileSync(join(root, 'bin/launch'), join(installed, 'bin/launch'));
    writeFileSync(join(installed, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(installed, 'dist/lib/program.js'), 'console.log(process.argv.slice(2).join());');
    writeFileSync(join(installed, 'dist/lib/script.cjs'), 'console.log(require("node:path").basename(__filename));');
    const old = join(folder, 'old');
    writeFileSync(join(old, 'node'), '#!/bin/sh\necho v20.19.0\n', { mode: 0o755 });
    const run = (path: string, ...args: readonly string[]): string =>
      execFileSync(join(installed, 'bin/launch'), args, {
        encoding: 'utf8',
        env: { PATH: path, NODE_COMPILE_CACHE: folder },
        stdio: 'pipe',
      });
    assert.equal(run(dirname(process.execPath), 'src/any/program.ts', 'a', 'b c'), 'a,b c\n');
    for (const path of [`${old}:/usr/bin:/bin`, ''])
      assert.throws(() => run(path, 'src/any/program.ts'), {
        status: 69,
        stderr: /^xenolith: Node\.js 26 is needed, .*: npm rebuild node/,
      });
    symlinkSync(process.execPath, join(installed, '../node/bin/node'));
    assert.equal(run('', 'src/any/script.ts'), 'script.cjs\n');
  });
});
