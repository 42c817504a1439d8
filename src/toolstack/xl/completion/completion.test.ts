/** Completion: the answers for places of command lines, the tables against the commands themselves, and the shells that are there. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { TestDaemon } from '../../testing/test-daemon.ts';
import { commandTable } from '../command-table.ts';
import { commandUsage } from '../command-usage.ts';
import { rows } from '../help.ts';
import { candidates, type Running } from './candidates.ts';
import { optionsOf } from './options.ts';
import { shells } from './scripts.ts';

const one = (text: string) => () => Promise.resolve([{ text, description: '' }]);
const running: Running = {
  domains: () =>
    Promise.resolve([
      { text: 'web', description: 'domain 1' },
      { text: 'db', description: 'domain 2' },
    ]),
  disks: (domain) => Promise.resolve([{ text: domain === 'web' ? 'xvda' : 'xvdb', description: '' }]),
  nics: one('0'),
  pools: one('Pool-0'),
  forwards: one('tcp:127.0.0.1:2222'),
};

/** What can stand where `|` is. */
async function at(line: string): Promise<string[]> {
  const words = line.replace('|', '').split(' ');
  const found = await candidates(words, words.length - 1, running);
  return [...found.words.map(({ text }) => text), ...(found.files ? [':files'] : [])];
}

describe('what can stand at a place of a command line', () => {
  const cases: readonly (readonly [line: string, expected: readonly string[]])[] = [
    ['vcpu-|', ['vcpu-list', 'vcpu-pin', 'vcpu-set']],
    ['-v dest|', ['destroy']],
    ['-|', ['-v', '-f', '-N', '-t', '-T']],
    ['list |', ['web', 'db']],
    ['list w|', ['web']],
    ['list web |', []],
    ['list --l|', ['--long']],
    ['vcpu-list web |', ['web', 'db']],
    ['create |', [':files']],
    ['create -c --defconfig=|', [':files']],
    ['create --defconfig = |', [':files']],
    ['save web |', [':files']],
    ['restore -p |', [':files']],
    ['migrate |', ['web', 'db']],
    ['migrate -C |', [':files']],
    ['migrate web |', []],
    ['fork |', ['web', 'db', ':files']],
    ['fork -n 2 d|', ['db', ':files']],
    ['fork web |', []],
    ['block-detach web |', ['xvda']],
    ['block-detach -f db |', ['xvdb']],
    ['network-detach web |', ['0']],
    ['sched-credit -d |', ['web', 'db']],
    ['sched-credit --domain=d|', ['--domain=db']],
    ['sched-credit -w 5 -|', optionsOf('sched-credit').flatMap(({ names }) => names)],
    ['cpupool-migrate web |', ['Pool-0']],
    ['trigger web n|', ['nmi']],
    ['console -t |', ['pv', 'serial', 'vuart']],
    ['network-forward -r |', ['tcp:127.0.0.1:2222']],
    ['help shut|', ['shutdown']],
    ['help shutdown |', []],
    ['shut |', ['web', 'db']],
    ['nosuch |', []],
    ['completion |', ['bash', 'zsh', 'fish']],
    ['domname |', []],
  ];
  for (const [line, expected] of cases) it(line, async () => assert.deepEqual(await at(line), expected));
});

describe('the tables', () => {
  const test = new TestDaemon();
  before(() => test.start());
  after(() => test.close());

  it('know every command, in help and in completion', () => {
    const names = Object.keys(commandTable);
    assert.deepEqual(Object.keys(commandUsage).sort(), [...names].sort());
    assert.deepEqual(rows.map(({ name }) => name).sort(), [...names].sort());
  });

  for (const [name, { later }] of Object.entries(commandTable)) {
    it(`have only options that xl ${name} takes, and examples with them`, async () => {
      const options = optionsOf(name);
      for (const { names, takesValue } of later === undefined ? options : []) {
        assert.ok(names.length > 0);
        for (const option of names) {
          // Its options come after the domain only.
          const first = name === 'config-update' ? ['0'] : [];
          const argv = [...first, option, ...(takesValue ? ['1'] : []), '-h'];
          const { out, code } = await test.xl(name, ...argv);
          assert.deepEqual([out.startsWith('Usage: xl ['), code], [true, 0], `${name} ${argv.join(' ')}`);
        }
      }
      const { examples } = commandUsage[name] ?? assert.fail();
      assert.ok(examples.length > 0);
      for (const [line] of examples) {
        const own = /(?:^|[(|] ?)xl (\S+)([^|)<]*)/.exec(line) ?? assert.fail(line);
        assert.equal(own[1], name);
        // What follows the domain is the guest's own command line there.
        const ours = name === 'exec' ? (own[2] ?? '').replace(/ web .*/, '') : (own[2] ?? '');
        for (const word of ours.split(' ').filter((text) => /^-./.test(text)))
          assert.ok(
            options.some(({ names }) => names.includes(word)),
            `${word} in ${line}`,
          );
      }
    });
  }
});

/** Presses Tab in a real shell: what it offers. Skipped where the shell is not installed. */
const hasShell = (name: string): boolean => spawnSync(name, ['-c', 'exit 0']).status === 0;

describe('completion in a shell', () => {
  const test = new TestDaemon();
  const bin = test.path('bin');
  const xl = `#!/bin/sh\nexec ${process.execPath} ${new URL('../xl.ts', import.meta.url).pathname} "$@"\n`;

  before(async () => {
    await test.start();
    for (const name of ['web', 'webserver']) assert.equal((await test.xl('create', '-q', test.config(name))).code, 0);
    mkdirSync(bin);
    writeFileSync(test.path('bin/xl'), xl, { mode: 0o755 });
    for (const [name, text] of Object.entries(shells)) writeFileSync(test.path(name), text);
    mkdirSync(test.path('files'));
    writeFileSync(test.path('files/one.cfg'), '');
    writeFileSync(test.path('files/web.save'), '');
  });
  after(() => test.close());

  const run = (shell: string, script: string): Promise<string[]> =>
    // Not execFileSync: the daemon is in this process, and answers meanwhile.
    new Promise((resolve, reject) => {
      const env = { ...process.env, ...test.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, TERM: 'dumb' };
      execFile(shell, ['-c', script], { env, cwd: test.path('files'), timeout: 600_000 }, (error, out, complaint) => {
        if (error) reject(new Error(`${complaint}\n${out}`, { cause: error }));
        else resolve(out.trim().split('\n'));
      });
    });

  const bash = (...words: readonly string[]): Promise<string[]> => {
    const list = words.map((word) => `'${word}'`).join(' ');
    return run(
      'bash',
      `source ${test.path('bash')}; COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _xl_complete 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
  };

  it('bash: commands, domains, options and files', { skip: !hasShell('bash') }, async () => {
    assert.deepEqual(await bash('xl', 'shut'), ['shutdown']);
    assert.deepEqual(await bash('xl', 'destroy', 'we'), ['web', 'webserver']);
    assert.deepEqual(await bash('xl', 'list', '--v'), ['--verbose']);
    assert.deepEqual(await bash('xl', 'create', '-f', 'o'), ['one.cfg']);
    assert.deepEqual(await bash('xl', 'create', '--defconfig', '=', 'o'), ['one.cfg']);
    assert.deepEqual(await bash('xl', 'fork', 'we'), ['web', 'webserver', 'web.save']);
  });

  it('fish: the same, with descriptions', { skip: !hasShell('fish') }, async () => {
    const fish = (line: string): Promise<string[]> => run('fish', `source ${test.path('fish')}; complete -C '${line}'`);
    assert.deepEqual(await fish('xl destroy we'), ['web\tdomain 1', 'webserver\tdomain 2']);
    assert.deepEqual(await fish('xl shut'), ['shutdown\tIssue a shutdown signal to a domain']);
    assert.deepEqual(
      (await fish('xl create o')).map((line) => line.split('\t')[0]),
      ['one.cfg'],
    );
    assert.deepEqual(
      (await fish('xl create --defconfig=o')).map((line) => line.split('\t')[0]),
      ['--defconfig=one.cfg'],
    );
    assert.deepEqual((await fish('xl fork web')).map((line) => line.split('\t')[0]).sort(), [
      'web',
      'web.save',
      'webserver',
    ]);
  });

  it('zsh: the same, by its own completion system', { skip: !hasShell('zsh') }, async () => {
    // A shell within a shell: completion needs a line editor, and zsh/zpty is a terminal for one. What is typed waits there until it can be read.
    const zsh = (line: string, completed: string): Promise<string[]> =>
      run(
        'zsh',
        `zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; autoload -Uz compinit; compinit -u -d ${test.path('dump')}; source ${test.path('zsh')}; print re''ady"
zpty -r shell seen '*ready*'
zpty -w -n shell '${line}'$'\\t'
zpty -r shell seen '*${completed}*'
print -r -- $seen`,
      );
    for (const [line, completed] of [
      ['xl shutd', 'shutdown'],
      ['xl domid webs', 'webserver'],
      ['xl create --defconfig=o', 'one.cfg'],
      ['xl fork web.s', 'web.save'],
      ['xl fork webs', 'webserver'],
    ] as const)
      assert.ok((await zsh(line, completed)).join('\n').includes(completed), line);
  });
});
