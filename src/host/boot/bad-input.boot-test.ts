/** Everything that people get wrong: each time a message that says what, an exit code, and a host as it was before. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { syntheticElf } from '../../toolstack/builder/testing/synthetic-kernel.ts';
import { guestFiles, type GuestFiles } from '../../toolstack/guest-files/guest-files.ts';
import { eventually, Machine, type Settings } from '../testing/machine.ts';

describe('what goes wrong', () => {
  const machine = new Machine();
  let files: GuestFiles;
  let good: Settings & { readonly name: string };
  let pristine: { readonly xenstore: string; readonly threads: readonly string[]; readonly files: readonly string[] };

  before(async () => {
    files = await guestFiles();
    good = { name: 'good', kernel: files.kernel, ramdisk: files.ramdisk, memory: 128 };
    await machine.ok('list');
    pristine = await look();
    const kernel = readFileSync(files.kernel);
    const ramdisk = readFileSync(files.ramdisk);
    const packed = gzipSync(ramdisk, { level: 1 });
    const damaged = Buffer.from(packed).fill(0x55, packed.length >> 1, (packed.length >> 1) + 16);
    const samples = {
      'kernel-cut': kernel.subarray(0, kernel.length >> 2),
      'kernel-stub': kernel.subarray(0, 300),
      'kernel-noise': noise(100_000),
      'kernel-damaged': Buffer.from(kernel).fill(0xff, kernel.length >> 1, (kernel.length >> 1) + 4096),
      'kernel-no-notes': syntheticElf({ notes: {} }),
      empty: new Uint8Array(),
      'ramdisk-cut': ramdisk.subarray(0, ramdisk.length >> 1),
      'ramdisk-packed-cut': packed.subarray(0, packed.length >> 1),
      'ramdisk-damaged': damaged,
      'ramdisk-noise': noise(100_000),
    };
    for (const [name, content] of Object.entries(samples)) writeFileSync(machine.path(name), content);
  });
  after(() => machine.close());

  async function look(): Promise<typeof pristine> {
    return {
      xenstore: await machine.xenstore(),
      threads: [...(await machine.vcpuThreads()).keys()],
      files: machine.files().filter((file) => !file.startsWith('log/xl-')),
    };
  }

  /** A vCPU's thread ends after its domain. */
  const sameAsBefore = (): Promise<void> => eventually(async () => assert.deepEqual(await look(), pristine));

  /** `change` is what is wrong in an otherwise good configuration. */
  const refused: readonly { what: string; change: Settings; says: RegExp; code?: number }[] = [
    { what: 'no such kernel', change: { kernel: '/no/vmlinuz' }, says: /open file '\/no\/vmlinuz': No such file/ },
    { what: 'a directory for a kernel', change: { kernel: '/tmp' }, says: /'\/tmp': Is a directory/ },
    { what: 'a truncated kernel', change: { kernel: 'kernel-cut' }, says: /the file is cut off/ },
    { what: 'the beginning of a kernel', change: { kernel: 'kernel-stub' }, says: /Invalid kernel\n(.*\n)*hint: / },
    { what: 'noise for a kernel', change: { kernel: 'kernel-noise' }, says: /neither a bzImage nor an ELF file/ },
    { what: 'an empty kernel', change: { kernel: 'empty' }, says: /neither a bzImage nor an ELF file/ },
    {
      what: 'a damaged kernel',
      change: { kernel: 'kernel-damaged' },
      says: /payload of the bzImage cannot be unpacked/,
    },
    { what: 'a kernel without Xen notes', change: { kernel: 'kernel-no-notes' }, says: /Not a Xen-ELF image/ },
    { what: 'no such ramdisk', change: { ramdisk: '/no/initrd' }, says: /open file '\/no\/initrd': No such file/ },
    { what: 'a truncated ramdisk', change: { ramdisk: 'ramdisk-cut' }, says: /the cpio archive ends early/ },
    { what: 'a truncated packed ramdisk', change: { ramdisk: 'ramdisk-packed-cut' }, says: /gzip data .*ends early/ },
    { what: 'a damaged ramdisk', change: { ramdisk: 'ramdisk-damaged' }, says: /not a usable initramfs: gzip/ },
    {
      what: 'noise for a ramdisk',
      change: { ramdisk: 'ramdisk-noise' },
      says: /neither a cpio archive nor compressed/,
    },
    { what: 'an empty ramdisk', change: { ramdisk: 'empty' }, says: /not a usable initramfs: it is empty/ },
    { what: 'no memory', change: { memory: 0 }, says: /Out of memory\n(.*\n)*hint: give the domain more memory/ },
    {
      what: 'too little memory',
      change: { memory: 40 },
      says: /Out of memory\n(.*\n)*hint: give the domain more memory/,
    },
    {
      what: 'more memory than a domain can have',
      change: { memory: 5000 },
      says: /hint: a domain has less than 4096 MiB/,
    },
    { what: 'more memory than the host has', change: { memory: 90_000_000 }, says: /Out of memory\n/ },
    { what: 'the name of domain 0', change: { name: 'Domain-0' }, says: /Domain with name "Domain-0" already exists/ },
  ];
  for (const { what, change, says, code = 3 } of refused) {
    it(`${what} is refused, and nothing is left of the domain`, async () => {
      const files = Object.fromEntries(
        Object.entries(change).map(([key, value]) => [
          key,
          /^(kernel|ramdisk|empty)/.test(String(value)) ? machine.path(String(value)) : value,
        ]),
      );
      const outcome = await machine.xl('create', machine.config({ ...good, ...files }));
      assert.match(outcome.err, says);
      assert.equal(outcome.code, code);
      assert.deepEqual(
        (await machine.list()).map(({ name }) => name),
        ['Domain-0'],
      );
      await sameAsBefore();
    });
  }

  for (const [what, text, says] of [
    ['a missing quote', 'name = "x"\nkernel = "/boot/vmlinuz\nmemory = 128\n', /x\.cfg:2: config parsing error/],
    ['a doubled sign', 'name = "x"\n\nmemory = = 128\n', /x\.cfg:3: config parsing error near `=': syntax error/],
    ['a list that does not end', 'name = "x"\nvif = [ "a"\nmemory = 128\n', /x\.cfg:3: .*expecting '\]'/],
  ] as const) {
    it(`${what} in the configuration is told with its line`, async () => {
      writeFileSync(machine.path('x.cfg'), text);
      const { code, err } = await machine.xl('create', machine.path('x.cfg'));
      assert.match(err, says);
      assert.match(err, /Failed to parse config: Invalid argument/);
      assert.notEqual(code, 0);
      await sameAsBefore();
    });
  }

  it('a second domain of the same name is refused, and the first is not touched', async () => {
    const config = machine.config(good);
    await machine.ok('create', '-q', '-p', config);
    const { code, err } = await machine.xl('create', '-p', config);
    assert.match(err, /Domain with name "good" already exists/);
    assert.equal(code, 3);
    assert.deepEqual(
      (await machine.list()).map(({ name, state }) => [name, state]),
      [
        ['Domain-0', 'r-----'],
        ['good', '--p---'],
      ],
    );
    await machine.ok('destroy', 'good');
    await sameAsBefore();
  });

  for (const command of ['console', 'destroy', 'pause', 'unpause', 'shutdown', 'reboot']) {
    it(`xl ${command} of a domain that does not exist says so`, async () => {
      const byName = await machine.xl(command, 'nobody');
      assert.deepEqual([byName.err, byName.code], ['nobody is an invalid domain identifier (rc=-6)\n', 1]);
      const byNumber = await machine.xl(command, '99');
      assert.match(byNumber.err, /99/);
      assert.equal(byNumber.code, 1);
    });
  }

  it('a daemon killed in the middle of a creation takes nothing along that the next command needs', async () => {
    const config = machine.config(good);
    const daemon = await machine.daemonPid();
    const creation = machine.xl('create', config);
    while ((await machine.list()).length < 2);
    process.kill(daemon, 'SIGKILL');
    const { code, err } = await creation;
    // The creation may have been done already.
    if (code !== 0) assert.match(err, /the daemon/);
    assert.deepEqual(
      (await machine.list()).map(({ name }) => name),
      ['Domain-0'],
    );
    await machine.ok('create', '-q', '-p', config);
    await machine.ok('destroy', 'good');
    assert.equal(await machine.xenstore(), pristine.xenstore);
  });
});

/** The same on every run. */
function noise(length: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 24);
}
