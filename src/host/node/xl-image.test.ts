/** The image tool as a person uses it, with QEMU's tools as the second opinion. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { PassThrough } from 'node:stream';
import { imageCommands } from '../../toolstack/image/command-table.ts';
import { runImageTool } from '../../toolstack/image/run.ts';
import { nodeDiskHost } from './disk-files.ts';
import { qemuCheck, qemuImg, qemuIo, withoutQemu } from './testing/qemu-tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-image-'));
after(() => rmSync(folder, { recursive: true }));
const path = (name: string): string => join(folder, name);

async function tool(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const code = await runImageTool(argv, {
    host: nodeDiskHost,
    out: (text) => void (out += text),
    err: (line) => void (err += `${line}\n`),
    // No terminal: nothing is drawn.
    terminal: Object.assign(new PassThrough(), { isTTY: false }) as unknown as NodeJS.WriteStream,
    now: () => 1_700_000_000_000,
    random: (length) => new Uint8Array(length).fill(7),
  });
  return { code, out, err };
}

/** Runs it and wants it to work. */
async function works(...argv: string[]): Promise<string> {
  const { code, out, err } = await tool(...argv);
  assert.deepEqual({ code, err }, { code: 0, err: '' });
  return out;
}

async function json(...argv: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await works(...argv)) as Record<string, unknown>;
}

const content = Uint8Array.from({ length: 3 * 2 ** 20 }, (_, index) =>
  index % 700_000 < 300_000 ? 1 + ((index * 7) >>> 9) : 0,
);

describe('xl-image', () => {
  it('teaches: each command has a help, and what is wrong is said with what would be right', async () => {
    assert.match(await works('--help'), /Usage: xl-image COMMAND/);
    for (const name of Object.keys(imageCommands)) {
      assert.match(await works(name, '--help'), new RegExp(`^Usage: xl-image ${name} `));
    }
    const wrong: readonly (readonly [argv: string[], said: RegExp])[] = [
      [['creat', 'x'], /no command "creat"\nhint: there are create, info/],
      [['create', '-f', 'vmdk', 'x', '1G'], /no format "vmdk"\nhint: the formats are raw, qcow2, vhd/],
      [['create', 'x', '1Q'], /"1Q" is no size\nhint: a size is a number with K/],
      [['create', 'x'], /a size is needed\nhint: such as/],
      [['create', '-o', 'cluster=1', 'x', '1G'], /qcow2 has no option "cluster"\nhint: it has preallocation, compat/],
      [['create', '-o', 'cluster_size=5000', path('x'), '1G'], /a cluster size is a power of two/],
      [['create', '-b', 'y', 'x'], /the format of the backing file is needed/],
      [['snapshot', 'make', 'x', 'y'], /there are create, list, apply and delete/],
      [['info', path('nothing')], /cannot open .*nothing: there is no such file/],
      [['convert', '-c', '-O', 'raw', 'x', 'y'], /raw cannot be compressed/],
    ];
    for (const [argv, said] of wrong) {
      const { code, out, err } = await tool(...argv);
      assert.ok(code !== 0 && out === '', argv.join(' '));
      assert.match(err, said);
    }
  });

  it('makes an image, keeps snapshots of it, resizes and checks it', { skip: withoutQemu }, async () => {
    const image = path('one.qcow2');
    await works('create', image, '4M');
    assert.match((await tool('create', image, '4M')).err, /exists already/);
    await qemuIo(image, 'qcow2', 'write -P 1 0 2M');
    await works('snapshot', 'create', image, 'first');
    await qemuIo(image, 'qcow2', 'write -P 2 1M 2M');
    await works('snapshot', 'create', image, 'second');
    assert.match(
      await works('snapshot', 'list', image),
      /^ID {2}NAME {4}SIZE {3}MADE \(UTC\)\n1 {3}first {3}4 MiB {2}2023-11-14 22:13:20\n2/,
    );
    assert.match(await qemuImg('snapshot', '-l', image), /1 +first.*\n2 +second/);
    await works('snapshot', 'apply', image, 'first');
    assert.deepEqual(await qemuCheck(image).then(({ corruptions, leaks }) => [corruptions, leaks]), [
      undefined,
      undefined,
    ]);
    await qemuIo(image, 'qcow2', 'read -P 1 0 2M', 'read -P 0 2M 2M');
    await works('snapshot', 'apply', image, 'second');
    await qemuIo(image, 'qcow2', 'read -P 1 0 1M', 'read -P 2 1M 2M');
    await works('snapshot', 'delete', image, 'second');
    await works('resize', image, '+4M');
    assert.equal((await json('info', '--json', image))['virtual-size'], 8 * 2 ** 20);
    assert.match((await tool('resize', image, '-7M')).err, /would lose what lies behind 1 MiB\nhint: .*--shrink/);
    await works('resize', '--shrink', image, '-7M');
    await works('resize', image, '3M');
    await qemuIo(image, 'qcow2', 'read -P 1 0 1M', 'read -P 0 1M 2M');
    const { corruptions, leaks } = await json('check', '--json', image);
    assert.deepEqual([corruptions, leaks], [0, 0]);
    assert.deepEqual(await qemuCheck(image).then(({ corruptions, leaks }) => [corruptions, leaks]), [
      undefined,
      undefined,
    ]);
  });

  it('converts among all formats, packed or not, and leaves out what is zero', { skip: withoutQemu }, async () => {
    writeFileSync(path('source.raw'), content);
    const kinds: readonly (readonly [name: string, theirs: string, options: string[]])[] = [
      ['a.qcow2', 'qcow2', ['-O', 'qcow2']],
      ['b.qcow2', 'qcow2', ['-O', 'qcow2', '-c']],
      ['c.qcow2', 'qcow2', ['-O', 'qcow2', '-c', '-o', 'compression_type=zstd,cluster_size=4k']],
      ['d.qcow2', 'qcow2', ['-O', 'qcow2', '-o', 'preallocation=metadata,compat=0.10']],
      ['e.vhd', 'vpc', ['-O', 'vhd']],
      ['f.vhd', 'vpc', ['-O', 'vhd', '-o', 'subformat=fixed']],
      ['g.raw', 'raw', ['-O', 'raw']],
      ['h.qcow2', 'qcow2', ['-c', '-o', 'cluster_size=512,refcount_bits=1']],
    ];
    let last = path('source.raw');
    for (const [name, theirs, options] of kinds) {
      await works('convert', ...options, last, path(name));
      last = path(name);
      await qemuImg('compare', '-f', 'raw', '-F', theirs, path('source.raw'), last);
      if (theirs !== 'qcow2') continue;
      assert.deepEqual(
        await qemuCheck(last).then(({ corruptions, leaks }) => [corruptions, leaks]),
        [undefined, undefined],
        name,
      );
    }
    assert.ok(statSync(path('a.qcow2')).size < 2.2 * 2 ** 20);
    assert.ok(statSync(path('b.qcow2')).size < 2 ** 20);
    assert.deepEqual(readFileSync(path('g.raw')).subarray(0, 1000), Buffer.from(content.subarray(0, 1000)));
  });

  it('makes images that are allocated in advance, or lie on top of another', { skip: withoutQemu }, async () => {
    await works('create', '-o', 'preallocation=metadata', path('m.qcow2'), '5M');
    await works('create', '-o', 'preallocation=full,cluster_size=4k', path('n.qcow2'), '5M');
    await works('create', '-f', 'raw', '-o', 'preallocation=full', path('o.raw'), '5M');
    await works('create', '-b', 'a.qcow2', '-F', 'qcow2', path('p.qcow2'));
    for (const name of ['m', 'n', 'p']) {
      assert.deepEqual(await qemuCheck(path(`${name}.qcow2`)).then(({ corruptions, leaks }) => [corruptions, leaks]), [
        undefined,
        undefined,
      ]);
    }
    assert.match(await qemuImg('check', path('n.qcow2')), /1280\/1280 = 100.00% allocated/);
    assert.ok(statSync(path('n.qcow2')).blocks * 512 >= 5 * 2 ** 20);
    assert.ok(statSync(path('o.raw')).blocks * 512 >= 5 * 2 ** 20);
    await qemuImg('compare', '-f', 'qcow2', '-F', 'qcow2', path('a.qcow2'), path('p.qcow2'));
    assert.match(await works('info', path('p.qcow2')), /backing file: a.qcow2 \(qcow2\)/);
  });

  it('gets leaked clusters back, and repairs counts that are too low', { skip: withoutQemu }, async () => {
    const image = path('leaks.qcow2');
    await works('create', image, '4M');
    await qemuIo(image, 'qcow2', 'write -P 1 0 1M');
    const bytes = Buffer.concat([readFileSync(image), Buffer.alloc(2 ** 21)]);
    // The refcount block is the third cluster: a count more than there are references, and one less.
    bytes.writeUInt16BE(1, 2 * 65536 + 2 * 40);
    writeFileSync(image, bytes);
    assert.equal((await tool('check', image)).code, 3);
    assert.match(await works('check', '-r', 'leaks', image), /1 leaks/);
    bytes.writeUInt16BE(0, 2 * 65536 + 2 * 10);
    writeFileSync(image, bytes);
    assert.equal((await tool('check', image)).code, 2);
    assert.equal((await tool('check', '-r', 'leaks', image)).code, 2);
    await works('check', '-r', 'all', image);
    assert.deepEqual(await qemuCheck(image).then(({ corruptions, leaks }) => [corruptions, leaks]), [
      undefined,
      undefined,
    ]);
    await qemuIo(image, 'qcow2', 'read -P 1 0 1M');
  });
});
