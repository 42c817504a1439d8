import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parseText } from './grammar.ts';
import { configKeys, remarks } from './keys.ts';
import { Settings } from './settings.ts';

function said(text: string): readonly string[] {
  return remarks(
    new Settings(
      parseText(text, 't.cfg', () => undefined),
      't.cfg',
      () => undefined,
    ),
  );
}

describe('the table of keys', () => {
  it('has every key that is read', () => {
    const folder = new URL('.', import.meta.url).pathname;
    const read = new Set<string>();
    // network.cfg and console.cfg are other files than a domain's.
    for (const file of globSync('*.ts', {
      cwd: folder,
      exclude: ['*.test.ts', 'network-config.ts', 'console-config.ts'],
    })) {
      const text = readFileSync(`${folder}/${file}`, 'utf8');
      for (const [, name] of text.matchAll(/settings\.(?:string|long|bool|list|strings)\('([a-z_0-9]+)'/g))
        read.add(name ?? '');
    }
    assert(read.size > 50);
    assert.deepEqual(
      [...read].filter((name) => !configKeys.has(name)),
      [],
    );
  });

  it('tells once of what is without effect, and of what nobody knows', () => {
    assert.deepEqual(said('name="x"\ndisk=["a"]\nvfb=["b"]\nvncpasswd="y"\nnosuchthing=1\nkernal="k"\n'), [
      't.cfg: warning: not supported yet and without effect: vfb (line 3)',
      "t.cfg:5: warning: unknown parameter `nosuchthing' is ignored",
      "t.cfg:6: warning: unknown parameter `kernal' is ignored; did you mean `kernel'?",
    ]);
  });

  it('is silent about what asks for nothing', () => {
    assert.deepEqual(said('vfb=[]\nvnc=0\nfirmware=""\nnomigrate=1\n'), []);
  });
});
