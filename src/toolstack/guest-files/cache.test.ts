import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Cache, cacheFolder } from './cache.ts';
import { GuestFilesError } from './guest-files-error.ts';

describe('the cache', () => {
  let folder = '';
  before(async () => void (folder = await mkdtemp(join(tmpdir(), 'xenolith-'))));
  after(() => rm(folder, { recursive: true }));

  let made = 0;
  const make = async (draft: string): Promise<Record<string, string>> => {
    made++;
    await writeFile(join(draft, 'file'), 'content');
    return { release: '6.1' };
  };

  it('makes an entry once', async () => {
    const cache = new Cache(join(folder, 'once'));
    made = 0;
    const first = await cache.get('a/b', make);
    const second = await cache.get('a/b', make);
    assert.equal(made, 1);
    assert.deepEqual(second, first);
    assert.equal(await readFile(join(first.folder, 'file'), 'utf8'), 'content');
    assert.equal(first.facts['release'], '6.1');
  });

  it('makes a damaged entry anew', async () => {
    const cache = new Cache(join(folder, 'damaged'));
    const { folder: entry } = await cache.get('x', make);
    for (const damage of [
      () => writeFile(join(entry, 'file'), 'c0ntent'),
      () => writeFile(join(entry, 'file'), ''),
      () => rm(join(entry, 'file')),
      () => writeFile(join(entry, 'manifest.json'), '{'),
      () => rm(join(entry, 'manifest.json')),
    ]) {
      await damage();
      assert.equal(await cache.find('x'), undefined);
      assert.equal(await readFile(join((await cache.get('x', make)).folder, 'file'), 'utf8'), 'content');
    }
  });

  it('lets many make the same entry at once', async () => {
    const cache = new Cache(join(folder, 'many'));
    const entries = await Promise.all(Array.from({ length: 8 }, () => cache.get('same', make)));
    assert.equal(new Set(entries.map((entry) => entry.digest)).size, 1);
  });

  it('leaves nothing behind when making fails', async () => {
    const cache = new Cache(join(folder, 'failing'));
    const failing = cache.get('x', () => Promise.reject(new Error('no network')));
    await assert.rejects(failing, /no network/);
    assert.deepEqual(await readdir(cache.folder), []);
  });

  it('sweeps up after processes that were ended', async () => {
    const cache = new Cache(join(folder, 'swept'));
    // No process has a number as high as this (linux: PID_MAX_LIMIT).
    await mkdir(join(cache.folder, '.making-99999999-x'), { recursive: true });
    await cache.get('x', make);
    assert.deepEqual(await readdir(cache.folder), ['x']);
  });

  it('says what to do when its folder cannot be written', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    await assert.rejects(
      new Cache(join(file, 'cache')).get('x', make),
      (error) => error instanceof GuestFilesError && /XENOLITH_CACHE/.test(error.hint ?? ''),
    );
  });

  it('lies where the environment says', () => {
    assert.equal(cacheFolder({ XENOLITH_CACHE: '/c', XDG_CACHE_HOME: '/x' }), '/c');
    assert.equal(cacheFolder({ XDG_CACHE_HOME: '/x' }), '/x/xenolith');
    assert.match(cacheFolder({ XDG_CACHE_HOME: 'relative' }), /\/\.cache\/xenolith$/);
  });
});
