import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatEgress, parseEgress } from '../../dom0/net/egress/egress-rules.ts';
import { joinOverrides } from '../config/config-text.ts';
import { parseText } from '../config/grammar.ts';
import { configLines } from './config-text.ts';
import { XenolithError } from './errors.ts';
import type { GuestSource } from './guest-config.ts';
import { readGuestConfig } from './read-config.ts';

const warned: string[] = [];
const read = (source: GuestSource): ReturnType<typeof readGuestConfig> =>
  readGuestConfig(source, { freeName: () => 'guest-1', warn: (line) => warned.push(line) });

function refused(source: GuestSource): XenolithError {
  try {
    read(source);
  } catch (error) {
    assert.ok(error instanceof XenolithError);
    assert.equal(error.code, 'CONFIG');
    return error;
  }
  assert.fail('it was accepted');
}

describe('the configuration of a guest', () => {
  it('comes from typed members as from xl.cfg', () => {
    const typed = read({
      name: 'web',
      kernel: new URL('file:///boot/vmlinuz'),
      ramdisk: '/boot/initrd',
      cmdline: 'console=hvc0 "quiet"',
      memory: 128,
      maxMemory: 256,
      vcpus: 2,
      maxVcpus: 4,
      cpuCap: 50,
      disks: [{ target: '/a,b c.img' }, { target: '/c.qcow2', format: 'qcow2', readOnly: true }],
      network: [{ mac: '00:16:3e:00:00:01', bridge: 'lan' }],
      onReboot: 'destroy',
      options: { max_grant_frames: 32 },
    });
    const text = read({
      text: String.raw`name="web" ; kernel="/boot/vmlinuz" ; ramdisk="/boot/initrd" ; cmdline="console=hvc0 \"quiet\""
memory=128
maxmem=256
vcpus=2
maxvcpus=4
cap=50
disk=["vdev=xvda,target=/a,b c.img", "vdev=xvdb,format=qcow2,access=ro,target=/c.qcow2"]
vif=["bridge=lan,mac=00:16:3e:00:00:01"]
on_reboot="destroy"
max_grant_frames=32
`,
    });
    const { uuid, ...c_info } = typed.c_info;
    assert.deepEqual({ ...typed, c_info: { ...c_info, uuid: text.c_info.uuid } }, text);
    assert.notEqual(uuid, text.c_info.uuid);
  });

  it('gives a guest without a name one, and the paths of the working directory', () => {
    const { c_info, b_info, devices } = read({ kernel: 'vmlinuz', network: 'nat' });
    assert.equal(c_info.name, 'guest-1');
    assert.equal(b_info.kernel, `${process.cwd()}/vmlinuz`);
    assert.equal(devices.nics?.length, 1);
  });

  it('has rules for what an interface may reach', () => {
    const egressOf = (network: GuestSource['network']): unknown =>
      read({ kernel: '/k', ...(network === undefined ? {} : { network }) }).devices.nics?.[0]?.['egress'];
    const rules = { default: 'deny', allow: [{ domain: 'deb.debian.org', ports: [80, '8000-8100'] }] } as const;
    const sandbox = egressOf('sandbox');
    assert.ok(typeof sandbox === 'string');
    assert.deepEqual(parseEgress(sandbox), { default: 'deny', allow: [] });
    assert.equal(egressOf({ egress: rules }), formatEgress(rules));
    const wrong = { egress: { default: 'deny', allow: [{ address: 'nowhere' }] } } as const;
    assert.match(refused({ kernel: '/k', network: wrong }).message, /^egress: .*nowhere/);
  });

  it('lets typed members stand in place of what a text says', () => {
    const { c_info, b_info } = read({ text: 'name="a"\nkernel="/k"\nmemory=64', name: 'b', memory: 96 });
    assert.equal(c_info.name, 'b');
    assert.equal(b_info.target_memkb, 96 * 1024);
  });

  it('is refused in the words of xl', () => {
    assert.equal(refused({ name: 'a' }).message, 'Neither kernel nor bootloader specified');
    assert.equal(refused({ text: 'kernel="/k"' }).message, 'Domain name must be specified.');
    assert.match(
      refused({ text: 'name="a"\nkernel=' }).message,
      /^text:2: .*\nFailed to parse config: Invalid argument$/,
    );
    assert.match(refused({ file: '/nosuch.cfg' }).message, /\/nosuch\.cfg: No such file or directory$/);
    assert.match(refused({ text: '', file: '/a.cfg' }).message, /not of both$/);
  });

  it('refuses what cannot be written in the syntax of xl.cfg', () => {
    const kernel = '/k';
    assert.match(refused({ kernel, memory: 1.5 }).message, /memory: 1\.5 is not a whole number/);
    assert.match(refused({ kernel, name: 'a\0b' }).message, /zero byte/);
    assert.match(refused({ kernel, network: { bridge: 'a,script=b' } }).message, /bridge cannot be "a,script=b"/);
    assert.match(refused({ kernel, options: { 'a = 1\nb': 1 } }).message, /no key of xl\.cfg/);
    assert.match(refused({ kernel, disks: [{ target: '/a\nb' }] }).message, /cannot be the path of an image/);
  });

  it('warns as xl does', () => {
    warned.length = 0;
    read({ kernel: '/k', options: { memroy: 64 } });
    assert.match(warned.join('\n'), /unknown parameter `memroy' is ignored; did you mean `memory'\?/);
  });

  it('keeps every text as it is', () => {
    const texts = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && text.isWellFormed());
    fc.assert(
      fc.property(texts, (cmdline) => {
        const lines = joinOverrides(new Uint8Array(), configLines({ cmdline }));
        const { settings } = parseText(lines, 'text', (line) => assert.fail(line));
        assert.equal(settings.get('cmdline')?.value, cmdline);
      }),
    );
  });
});
