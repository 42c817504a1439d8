/**
 * The store of a host with one running guest beside that of real Xen 4.17 with the same configuration, key by key, with permissions.
 * What may differ is the list in docs/xenstore.md, and that alone; this test reads it there.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { eventually, Machine, until } from '../testing/machine.ts';

const uuid = '11111111-aaaa-bbbb-cccc-000000000001';
const root = new URL('../../..', import.meta.url);

/** Path to `permissions value`. */
type Tree = ReadonlyMap<string, string>;

interface Allowed {
  readonly pattern: RegExp;
  readonly what: string;
}

/** The part of recorded-creation.txt that shows the tree when the guest was up. */
function recordedTree(): Tree {
  const text = readFileSync(new URL('src/dom0/xenstore/recorded-creation.txt', root), 'utf8');
  const [, part = ''] = text.split('[after]\n');
  const lines = part.trimEnd().split('\n');
  return new Map(lines.map((line) => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1).trimEnd()]));
}

/** What `xenstore-ls -f -p` prints. */
function listedTree(text: string): Tree {
  const entries = text.trimEnd().split('\n');
  return new Map(
    entries.map((line) => {
      const [, path = '', value = '', perms = ''] = /^(\S+) = "(.*)" +\((.*)\)$/.exec(line) ?? [];
      return [path, `${perms} ${value}`.trimEnd()];
    }),
  );
}

/** The rows of the table of keys: `*` stands for one name, `**` for the node and all below it. */
function documentedDifferences(): Allowed[] {
  const text = readFileSync(new URL('docs/xenstore.md', root), 'utf8');
  const rows = [...text.matchAll(/^\| `(\/[^`]*)` +\|(.*)\|$/gm)];
  return rows.map(([, key = '', what = '']) => {
    const source = key.replaceAll('/**', '(/.*)?').replace(/(?<![.)])\*/g, '[^/]*');
    return { pattern: new RegExp(`^${source}$`), what };
  });
}

const tools = spawnSync('xenstore-ls', ['-h']).error === undefined;

describe('the store of a running guest', () => {
  let guest: GuestTerminal;
  const machine = new Machine();
  const allowed = documentedDifferences();

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    // As large as the recorded one.
    writeFileSync(machine.path('disk.img'), '');
    truncateSync(machine.path('disk.img'), 128 * 1024 * 1024);
    const settings = [
      'name = "testvm"',
      `uuid = "${uuid}"`,
      `kernel = "${kernel}"`,
      `ramdisk = "${ramdisk}"`,
      `extra = "console=hvc0 ${PLAIN_CONSOLE}"`,
      'memory = 256',
      'vcpus = 1',
      'maxvcpus = 2',
      `disk = [ "format=raw,vdev=xvda,access=rw,target=${machine.path('disk.img')}" ]`,
      'vif = [ "mac=00:16:3e:01:02:03,bridge=xenbr0" ]',
    ];
    writeFileSync(machine.path('testvm.cfg'), `${settings.join('\n')}\n`);
    await machine.ok('create', '-q', machine.path('testvm.cfg'));
    guest = machine.console('testvm');
    await guest.ready();
  });
  after(() => machine.close());

  it('is that of real Xen, but for the documented differences', async (t) => {
    const real = recordedTree();
    const unlike = (ours: Tree): string[] =>
      [...new Set([...real.keys(), ...ours.keys()])].filter((path) => real.get(path) !== ours.get(path)).sort();
    const undocumented = (ours: Tree): string[] =>
      unlike(ours)
        .filter((path) => !allowed.some(({ pattern }) => pattern.test(path)))
        .map((path) => `${path}: real ${real.get(path) ?? 'none'}, here ${ours.get(path) ?? 'none'}`);
    // Drivers may still be connecting when the shell is there.
    let ours: Tree = new Map();
    await eventually(async () => {
      ours = listedTree(await machine.xenstore());
      assert.deepEqual(undocumented(ours), []);
    });
    const all = unlike(ours);
    for (const { pattern, what } of allowed) {
      if (!all.some((path) => pattern.test(path))) t.diagnostic(`no longer needed: ${pattern.source} ${what}`);
    }
    assert.ok(real.size > 180 && real.size - all.length > 80, `${real.size} keys, ${all.length} of them unlike`);
  });

  it(
    'is shown and changed by Debian’s own tools',
    { skip: tools ? false : 'xenstore-utils is not installed' },
    async () => {
      const env = { ...machine.env, XENSTORED_RUNDIR: join(machine.run, 'xenstored') };
      const tool = (name: string, ...args: readonly string[]): string =>
        execFileSync(`xenstore-${name}`, args, { env, encoding: 'utf8' });
      // Permissions of long lines are not padded alike.
      const entries = (text: string): string[] => [...listedTree(text)].map((entry) => entry.join(' ')).sort();
      assert.deepEqual(entries(tool('ls', '-f', '-p')), entries(await machine.xenstore()));
      // The guest's kernel takes the letter, does what it says, and empties the node.
      tool('write', '/local/domain/1/control/sysrq', 'h');
      await guest.expect(/sysrq: HELP/);
      await until('the guest to take the letter', () =>
        Promise.resolve(tool('read', '/local/domain/1/control/sysrq') === '\n'),
      );
      tool('write', '/local/domain/1/control/shutdown', 'poweroff');
      assert.equal(await guest.ended, 0);
    },
  );
});
