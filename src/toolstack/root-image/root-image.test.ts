import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { DiskHost } from '../../dom0/disk/index.ts';
import { DiskBytes } from '../bootloader/disk-bytes.ts';
import { readGrubMenu } from '../bootloader/menu/grub-menu.ts';
import { partitionsOf } from '../bootloader/partitions.ts';
import { memoryDisk } from '../bootloader/testing/images.ts';
import { Cache } from '../guest-files/cache.ts';
import { GuestFilesError } from '../guest-files/guest-files-error.ts';
import { bootRecord, FIRST_PARTITION } from './boot-record.ts';
import { dataFolder, provideDebianDisk } from './debian-disk.ts';
import { guestConfig } from './guest-config.ts';
import { checkOptions, defaultOptions, type RootImageOptions } from './options.ts';
import { namespaceOptions, runIsolated } from './namespaces.ts';

const uuid = '01234567-89ab-cdef-0123-456789abcdef';
const sources = [
  { uri: 'http://archive.example/debian/', suite: 'stable', components: ['main', 'contrib'] },
  { uri: 'http://archive.example/security/', suite: 'stable-security', components: ['main'] },
];
const text = (options: Partial<RootImageOptions>, path: string): string | undefined =>
  guestConfig({ ...defaultOptions, ...options }, uuid, sources).get(path)?.content;

describe('the configuration of a root image', () => {
  it('has a menu that the bootloader understands', async () => {
    const none = {
      exists: () => Promise.resolve(false),
      readText: () => Promise.resolve(undefined),
      names: () => Promise.resolve([]),
    };
    const { entries, defaultEntry } = await readGrubMenu(
      text({}, 'boot/grub/grub.cfg') ?? '',
      '/boot/grub/grub.cfg',
      none,
    );
    assert.deepEqual(entries[defaultEntry], {
      title: 'Debian GNU/Linux',
      kernel: '/vmlinuz',
      ramdisks: ['/initrd.img'],
      args: `root=UUID=${uuid} ro console=hvc0`,
    });
    assert.equal(entries.length, 3);
  });

  it('names the file system and the archives', () => {
    assert.match(text({}, 'etc/fstab') ?? '', new RegExp(`^UUID=${uuid} / ext4 `));
    const stanzas = text({}, 'etc/apt/sources.list.d/debian.sources')?.split('\n\n') ?? [];
    assert.deepEqual(
      stanzas.map((stanza) => stanza.split('\n').slice(1, 4)),
      [
        ['URIs: http://archive.example/debian/', 'Suites: stable', 'Components: main contrib'],
        ['URIs: http://archive.example/security/', 'Suites: stable-security', 'Components: main'],
      ],
    );
  });

  it('lets in whom it is told to', () => {
    const keys = { sshKeys: ['ssh-ed25519 AAAA somebody', 'ssh-rsa BBBB'] };
    const files = guestConfig({ ...defaultOptions, ...keys }, uuid, sources);
    assert.deepEqual(files.get('root/.ssh/authorized_keys'), {
      content: 'ssh-ed25519 AAAA somebody\nssh-rsa BBBB\n',
      mode: 0o600,
    });
    const login = 'etc/systemd/system/serial-getty@hvc0.service';
    assert.match(text({}, login) ?? '', /agetty -o '-p -f -- \\\\u' --autologin root --keep-baud/);
    assert.match(text({ rootPassword: 'secret' }, login) ?? '', /agetty -o '-p -- \\\\u' --keep-baud/);
    assert.ok(
      ![...guestConfig({ ...defaultOptions, rootPassword: 'secret' }, uuid, sources).values()].some(({ content }) =>
        content.includes('secret'),
      ),
    );
  });
});

describe('the options of a root image', () => {
  it('are refused where files would break or sizes are absurd', () => {
    const wrong: Partial<RootImageOptions>[] = [
      { sizeMiB: 10 },
      { sizeMiB: 1000.5 },
      { sizeMiB: NaN },
      { hostname: 'a b' },
      { hostname: '-a' },
      { hostname: 'a\nb' },
      { kernel: '--option' },
      { packages: ['x; y'] },
      { sshKeys: ['no key'] },
      { sshKeys: ['ssh-rsa AAAA a\nssh-rsa AAAAB'] },
      { rootPassword: '' },
      { rootPassword: 'a\nroot2:b' },
    ];
    for (const change of wrong)
      assert.throws(() => checkOptions({ ...defaultOptions, ...change }), GuestFilesError, JSON.stringify(change));
    checkOptions({ ...defaultOptions, sshKeys: ['ssh-ed25519 AAAAC3+/= me@here', 'sk-ssh-ed25519@openssh.com AAAAB'] });
  });
});

describe('the partition table of a root image', () => {
  it('has one active partition up to the end', async () => {
    const disk = new Uint8Array(8 << 20);
    disk.set(bootRecord(disk.length));
    const [first] = await partitionsOf(DiskBytes.of(memoryDisk(disk)));
    assert.equal(first?.start, FIRST_PARTITION);
    assert.equal(first.size, disk.length - FIRST_PARTITION);
  });
});

describe('a script in namespaces of its own', () => {
  it('is root there, and its trouble is told', async (t) => {
    let options: readonly string[];
    try {
      options = await namespaceOptions();
    } catch (error) {
      assert.ok(error instanceof GuestFilesError);
      assert.notEqual(error.hint, undefined);
      t.skip(error.message);
      return;
    }
    const lines: string[] = [];
    const script = 'id -u; echo "$WORD $1"; exit ${2:-0}';
    const base = { script, env: { WORD: 'hello' }, onLine: (line: string) => lines.push(line) };
    await runIsolated(options, { ...base, args: ['x'] });
    assert.deepEqual(lines, ['0', 'hello x']);
    await assert.rejects(runIsolated(options, { ...base, args: ['x', '3'] }), /failed \(3\):\n0\nhello x/);
  });
});

describe("a person's disk", () => {
  it('lies where the environment says', () => {
    assert.equal(dataFolder({ XENOLITH_DATA: '/d', XDG_DATA_HOME: '/x' }), '/d');
    assert.equal(dataFolder({ XDG_DATA_HOME: '/x' }), '/x/xenolith');
    assert.match(dataFolder({ XDG_DATA_HOME: 'relative' }), /\/\.local\/share\/xenolith$/);
  });

  it('is left as it is when it is there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'xenolith-disk-'));
    try {
      const path = join(folder, 'disk.qcow2');
      await writeFile(path, 'precious');
      const cache = new Cache(join(folder, 'cache'));
      await provideDebianDisk({ ...defaultOptions, path, fresh: false }, {} as DiskHost, cache, () =>
        assert.fail('nothing is to be built'),
      );
      assert.equal(await readFile(path, 'utf8'), 'precious');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
