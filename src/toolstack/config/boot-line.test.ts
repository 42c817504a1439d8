import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { XenError } from '../xen-error.ts';
import { parseBootFile, readBootLine } from './boot-line.ts';

const parse = (text: string): string => parseBootFile(text, 'grub');

describe("the host's boot line", () => {
  it('is what GRUB would hand to Xen', () => {
    const file = [
      'GRUB_DEFAULT=0',
      'GRUB_CMDLINE_XEN_DEFAULT="dom0_mem=2048M,max:4096M loglvl=all"',
      "GRUB_CMDLINE_XEN='noreboot'   # for every entry",
      '#GRUB_CMDLINE_XEN="commented=out"',
    ];
    assert.equal(parse(file.join('\n')), 'noreboot dom0_mem=2048M,max:4096M loglvl=all');
  });

  it('is read as a shell reads it', () => {
    for (const [text, value] of [
      ['GRUB_CMDLINE_XEN=loglvl=all', 'loglvl=all'],
      ['  export GRUB_CMDLINE_XEN="a\\"b\\\\c"', 'a"b\\c'],
      [`GRUB_CMDLINE_XEN="a "'b c'`, 'a b c'],
      ['GRUB_CMDLINE_XEN=', ''],
      ['GRUB_CMDLINE_XEN="a"\nGRUB_CMDLINE_XEN="b"', 'b'],
      ['GRUB_CMDLINE_XEN="a";', 'a'],
      ['', ''],
    ] as const)
      assert.equal(parse(text), value, text);
  });

  it('is refused where a shell would expand something, or the quotes do not end', () => {
    for (const value of ['"$OTHER"', '"`uname`"', '"a', "'a", 'a b', '$(date)']) {
      const text = `\nGRUB_CMDLINE_XEN=${value}`;
      assert.throws(
        () => parse(text),
        (error) => error instanceof XenError && error.message.startsWith('grub:2: cannot read'),
      );
    }
  });

  it('is in the file that the environment names, which has to be there then', () => {
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-boot-'));
    const path = join(folder, 'grub');
    assert.throws(() => readBootLine({ XENOLITH_BOOT_CONFIG: path }), /cannot read the boot line/);
    assert.equal(readBootLine({ XDG_CONFIG_HOME: folder }), undefined);
    writeFileSync(path, 'GRUB_CMDLINE_XEN="loglvl=all"\n');
    assert.equal(readBootLine({ XENOLITH_BOOT_CONFIG: path }), 'loglvl=all');
    rmSync(folder, { recursive: true });
  });
});
