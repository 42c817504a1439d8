/** The programs of the README, as they stand there: copied into a folder of their own, where `xenolith` is installed, and run. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { guestFiles } from '../../toolstack/guest-files/guest-files.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** In the order in which they stand there. */
function programsOfReadme(): string[] {
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  const [, section = ''] = /\n## In a program\n(.*?)\n## /s.exec(text) ?? [];
  return [...section.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, program = '']) => program);
}

describe('a program of the README', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-program-'));
  const programs = programsOfReadme();
  before(() => {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'xenolith'));
    // What is fetched the first time is no part of what is measured by a program's patience.
    return guestFiles();
  });
  after(() => rmSync(folder, { recursive: true }));

  async function run(index: number): Promise<string> {
    const file = join(folder, `program-${index}.ts`);
    const program = programs[index] ?? assert.fail(`the README has no program ${index}`);
    // What it does is seen by one.
    writeFileSync(file, program.replace('const boots = 3;', 'const boots = 1;'));
    const child = spawn(process.execPath, [file], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(code, 0, `${out}\n${err}`);
    const left = readdirSync(tmpdir()).filter((name) => name.startsWith(`xenolith-host-${child.pid}-`));
    assert.deepEqual(left, []);
    return out;
  }

  it('is one of those in examples/, word for word', () => {
    const files = readdirSync(join(root, 'examples')).map((name) => readFileSync(join(root, 'examples', name), 'utf8'));
    assert.deepEqual([...programs].sort(), files.sort());
  });

  it('runs an untrusted script in a copy of a guest', async () => {
    const out = await run(0);
    assert.match(out, /^I run on Linux 6\.1\.\S+, with 1 processor\.\n/);
    assert.match(out, /Network is unreachable/);
    assert.match(out, /exit code 3\n$/);
  });

  it('boots a kernel again and again, with a verdict', async () => {
    assert.match(await run(1), /^boot 1: passed in [\d.]+ s\n1 of 1 boots passed\n$/);
  });

  it('grows a tree of snapshots, and goes back', async () => {
    assert.equal(
      await run(2),
      'broken: broken\n\nleaf: clean\nand set up\n\nroot: clean\n\nroot, broken, again, leaf\n',
    );
  });
});
