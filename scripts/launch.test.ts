import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
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

  it("keeps compiled code in the user's own cache", () => {
    const command = join(root, 'bin/launch');
    const where = (env: NodeJS.ProcessEnv): unknown => (launch(command, env) as unknown[])[0];
    assert.equal(where({ XENOLITH_CACHE: join(folder, 'own') }), join(folder, 'own/compiled'));
    assert.equal(where({ XDG_CACHE_HOME: folder, HOME: '/nowhere' }), join(folder, 'xenolith/compiled'));
    assert.equal(where({ XDG_CACHE_HOME: 'relative', HOME: folder }), join(folder, '.cache/xenolith/compiled'));
    assert.equal(where({}), null);
  });
});
