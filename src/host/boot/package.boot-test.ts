/** What `npm pack` makes, installed into an empty folder: its commands, its library and its declarations, without the sources. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { Machine } from '../testing/machine.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);

interface PackageJson {
  readonly bin?: Readonly<Record<string, string>>;
  readonly man?: readonly string[];
  readonly scripts?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: unknown;
}
const packageJson = (folder: string): PackageJson =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson;

const forkingProgram = `
import { Host, images } from 'xenolith';

await using host = await Host.open();
await using guest = await host.create({ ...(await images.busybox()), name: 'parent' });
await guest.files.write('/tmp/word', 'inherited');
await using clone = await guest.fork();
const { stdout, exitCode } = await clone.exec(['cat', '/tmp/word']);
console.log(clone.name, stdout, exitCode);
`;

describe('the npm package in an empty folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-package-'));
  const installed = join(folder, 'node_modules');
  const commands = join(installed, '.bin');
  const machine = new Machine({}, commands);

  /** What the package depends on, as it is here, so that no registry is asked; without scripts, as what they fetch is there. */
  function vendor(name: string): string {
    const [from, to] = [join(root, 'node_modules', name), join(folder, 'vendor', name)];
    mkdirSync(to, { recursive: true });
    // By links, where they can be: the runtime is large.
    for (const path of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
      if (path.startsWith('node_modules')) continue;
      if (statSync(join(from, path)).isDirectory()) mkdirSync(join(to, path));
      else
        try {
          linkSync(join(from, path), join(to, path));
        } catch {
          cpSync(join(from, path), join(to, path));
        }
    }
    const { scripts: _s, dependencies: _d, devDependencies: _v, ...kept } = packageJson(from);
    rmSync(join(to, 'package.json'));
    writeFileSync(join(to, 'package.json'), JSON.stringify(kept));
    return to;
  }

  before(async () => {
    await guestFiles();
    const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
    const file = stdout.trim().split('\n').at(-1) ?? '';
    const here = Object.fromEntries(
      Object.keys(packageJson(root).dependencies ?? {}).map((name) => [name, vendor(name)]),
    );
    const dependencies = Object.fromEntries(Object.entries(here).map(([key, path]) => [key, `file:${path}`]));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
    await run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', `./${file}`], {
      cwd: folder,
    });
  });
  after(async () => {
    await machine.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('has no sources, and a command for each of its programs', async () => {
    const { bin = {} } = packageJson(join(installed, 'xenolith'));
    assert.ok(!existsSync(join(installed, 'xenolith/src')));
    assert.ok(!existsSync(join(installed, 'xenolith/package-lock.json')));
    assert.deepEqual(Object.keys(bin).sort(), ['debian-image', 'xenolithd', 'xenstore-ls', 'xentop', 'xl', 'xl-image']);
    for (const [command, said] of [
      ['debian-image', /^Usage: debian-image /],
      ['xenolithd', /^Usage: xenolithd /],
      ['xentop', /^Usage: xentop /],
      ['xl-image', /^[Uu]sage: xl-image /],
    ] as const)
      assert.match((await run(join(commands, command), ['--help'], { env: machine.env })).stdout, said, command);
  });

  it('has pages of the manual and completions', async () => {
    const { man = [] } = packageJson(join(installed, 'xenolith'));
    assert.deepEqual(man, ['docs/man/xl.1']);
    for (const page of man) assert.match(readFileSync(join(installed, 'xenolith', page), 'utf8'), /^\.TH /m);
    assert.match(await machine.ok('completion', 'bash'), /complete /);
  });

  it('runs a guest by xl, with a daemon of its own', async () => {
    assert.match(await machine.ok('info'), /^build_id +: [0-9a-f]{40}$/m);
    const { kernel, ramdisk } = await guestFiles();
    const guest = await machine.boot({
      name: 'web',
      kernel,
      ramdisk,
      memory: 128,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      vif: [''],
    });
    // The program below has one that boots to the end.
    await guest.expect(/Linux version/);
    assert.equal(await guest.leave(), 0);
    assert.match(await machine.xenstore(), /^\/local\/domain\/1\/name = "web"/m);
    assert.match((await run(join(commands, 'xentop'), ['-b', '-i', '1'], { env: machine.env })).stdout, /\bweb\b/);
    await machine.ok('destroy', 'web');
    assert.equal((await machine.list()).length, 1);
    assert.match((await machine.daemon('--status')).out, /^xenolithd runs /);
  });

  it('forks a guest in a program', async () => {
    writeFileSync(join(folder, 'fork.js'), forkingProgram);
    const { stdout } = await run(join(commands, 'node'), ['fork.js'], { cwd: folder, env: machine.env });
    assert.equal(stdout, 'parent-1 inherited 0\n');
  });

  it('tells a program its types', async () => {
    writeFileSync(
      join(folder, 'typed.ts'),
      `${forkingProgram}\n// @ts-expect-error\nawait guest.fork({ nmae: '' });\n`,
    );
    const options = ['--strict', '--noEmit', '--target', 'es2024', '--lib', 'es2024,esnext.disposable,dom'];
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
    await run(process.execPath, [tsc, ...options, '--module', 'nodenext', ...types, 'typed.ts'], { cwd: folder });
  });
});
