import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { autoConfigs, autoFolders } from '../config/auto-folder.ts';
import { TestDaemon } from '../testing/test-daemon.ts';

describe('the folders of domains that come up with the daemon', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-auto-'));
  after(() => rmSync(folder, { recursive: true }));

  it("are the one that the environment names, or the user's and the host's, or none", () => {
    assert.deepEqual(autoFolders({ XENOLITH_AUTO_DIR: '/a', XENOLITH_RUN_DIR: '/b' }), ['/a']);
    assert.deepEqual(autoFolders({ XDG_CONFIG_HOME: '/home/x/.config' }), [
      '/home/x/.config/xenolith/auto',
      '/etc/xenolith/auto',
    ]);
    assert.deepEqual(autoFolders({ XENOLITH_RUN_DIR: '/b' }), []);
  });

  it("are read in the order of names, without hidden files, the first folder's file winning", () => {
    for (const [name, files] of Object.entries({ mine: ['20-b', '.hidden', '10-c'], host: ['10-c', '15-d', 'a'] })) {
      mkdirSync(join(folder, name));
      for (const file of files) writeFileSync(join(folder, name, file), '');
    }
    const found = autoConfigs([join(folder, 'mine'), join(folder, 'host'), join(folder, 'nowhere')]);
    assert.deepEqual(
      found.map((path) => path.slice(folder.length)),
      ['/mine/10-c', '/host/15-d', '/mine/20-b', '/host/a'],
    );
  });
});

describe('a daemon with domains of its own', () => {
  it('makes them in order, skips what runs, and goes on after what is wrong', async () => {
    const test = new TestDaemon();
    const auto = test.path('auto');
    mkdirSync(auto);
    symlinkSync(test.config('web'), join(auto, '20-web'));
    symlinkSync(test.config('db'), join(auto, '10-db.cfg'));
    symlinkSync(test.config('again', 'name="web"'), join(auto, '30-again'));
    writeFileSync(join(auto, '05-broken'), 'name = \n');
    writeFileSync(join(auto, '06-nokernel'), 'name="nokernel"\ntype="pv"\nkernel="/boot/nosuch"\n');
    symlinkSync('/nowhere', join(auto, '07-dangling'));
    const lines: string[] = [];
    await test.start({ log: (line) => lines.push(line), autoConfigs: autoConfigs([auto]) });
    const { err } = await test.xl('list');
    assert.equal(err, '');
    for (let turn = 0; turn < 6000 && !lines.some((line) => line.includes('30-again')); turn++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    const about = (name: string): string[] =>
      lines.filter((line) => line.startsWith('auto:') && line.includes(`/${name}`)).map((line) => line.slice(6));
    assert.match(about('05-broken').join(), /syntax error/);
    assert.match(about('06-nokernel').join('\n'), /failed to open file '\/boot\/nosuch'/);
    assert.match(about('07-dangling').join(), /ENOENT/);
    assert.deepEqual(
      lines.filter((line) => / is domain \d+$/.test(line)).map((line) => line.replace(/^auto: \S*\//, '')),
      ['10-db.cfg: db is domain 2', '20-web: web is domain 3'],
    );
    assert.match(about('30-again').join(), /web runs already$/);
    const { out } = await test.xl('list');
    assert.deepEqual(
      out
        .split('\n')
        .slice(1, -1)
        .map((line) => line.split(/ +/)[0]),
      ['Domain-0', 'db', 'web'],
    );
    // They are looked after, as those that xl makes.
    const guest = test.host.guests.at(-1);
    guest?.shutDown(0);
    for (let turn = 0; turn < 6000 && (await test.xl('domid', 'web')).code === 0; turn++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.notEqual((await test.xl('domid', 'web')).code, 0);
    await test.close();
  });
});
