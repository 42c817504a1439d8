/** Every command of xl on a running guest with a disk, an interface, a channel and two vCPUs: a row each, in order, as one session. */
import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { commandTable } from '../../toolstack/xl/command-table.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

interface Step {
  readonly argv: readonly string[];
  /** Standard output; nothing when it is not given. */
  readonly out?: RegExp;
  /** Standard error. */
  readonly err?: RegExp;
  readonly code?: number;
  /** What has become of it. */
  readonly then?: () => Promise<void>;
}

/** They have tests of their own; that of `shutdown` is with the full kernel, and with cluster managers. */
const elsewhere = [
  'shutdown',
  'save',
  'restore',
  'migrate',
  'migrate-receive',
  'remus',
  'dump-core',
  'exec',
  'cp',
  'fork',
];
const head = 'Name +ID +Mem VCPUs\tState\tTime\\(s\\)';
const nothing = /^$/;
const mac = '00:16:3e:00:00:01';

describe('every command of xl, with a guest', () => {
  const machine = new Machine();
  let guest: GuestTerminal;
  let config = '';
  const disk = (name: string): string => {
    const path = machine.path(name);
    writeFileSync(path, '');
    truncateSync(path, 8 << 20);
    return path;
  };
  const inGuest = (command: string, wanted: RegExp) => async (): Promise<void> => {
    await until(`${command} to print ${String(wanted)}`, async () => wanted.test((await guest.try(command)).out));
  };
  const state = (wanted: RegExp) => async (): Promise<void> => {
    await until(`state ${String(wanted)}`, async () => wanted.test((await machine.state('web'))?.state ?? ''));
  };

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const settings = {
      name: 'web',
      kernel,
      ramdisk,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      memory: 128,
      maxmem: 160,
      vcpus: 2,
      disk: [`${disk('web.img')},raw,xvda,w`],
      vif: [`mac=${mac},bridge=xenbr0`],
      channel: ['name=org.example.agent, connection=pty'],
    };
    config = machine.config(settings);
    guest = await machine.boot(settings);
    await guest.ready();
  });
  after(() => machine.close());

  const groups: Readonly<Record<string, () => readonly Step[]>> = {
    'what is shown of domains': () => [
      {
        argv: ['list'],
        out: new RegExp(
          `^${head}\nDomain-0 +0 +512 +2 +r-----  +\\d+\\.\\d\nweb +1 +128 +2 +[r-][b-]---- +\\d+\\.\\d\n$`,
        ),
      },
      { argv: ['list', '-v', 'web'], out: /\nweb +1 +128 +2 +[r-][b-]---- +\d+\.\d [0-9a-f-]{36} +- +-\n$/ },
      { argv: ['list', '-l', 'web'], out: /"domid": 1,[^]*"max_memkb": 163840,[^]*"pdev_path": ".*web\.img"/ },
      {
        argv: ['vcpu-list', 'web'],
        out: /^Name +ID +VCPU +CPU State +Time\(s\) Affinity \(Hard \/ Soft\)\nweb +1 +0 +\d +[r-][b-]- +\d+\.\d {2}all \/ all\nweb +1 +1 +\d/,
      },
      { argv: ['uptime', 'web'], out: /^Name +ID Uptime\nweb +1  \d:\d\d:\d\d\n$/ },
      { argv: ['vm-list'], out: /\n[0-9a-f-]{36} {2}1 +web +\n$/ },
      { argv: ['domid', 'web'], out: /^1\n$/ },
      { argv: ['domname', '1'], out: /^web\n$/ },
      {
        argv: ['top', '-b', '-i', '1', '-n', '-x', '-v'],
        out: /\n {7}web --?[b-].+ 2 {4}1 +\d+ +\d+ {4}1 {8}0 +[1-9]\d* +\d+ +[1-9]\d* +\d+ {4}0\nVCPUs\(sec\): {3}0: +\d+s {2}1: +\d+s\nNet0 RX: +\d+bytes +\d+pkts[^\n]+\nVBD BlkBack 51712 \[ca: 0\]  OO: +0   RD: +[1-9]/,
      },
      { argv: ['claims'], out: new RegExp(`^${head}  Claimed\n[^]*\nweb .* 0\n$`) },
      { argv: ['sharing'], out: /^Name +ID +Mem Shared\nDomain-0 .*\nweb +1 +128 +0\n$/ },
      { argv: ['profile', '-t', '0.2', 'web'], out: /^web \(domain 1\) for \d+\.\d s, 2 vCPUs\n/ },
    ],
    'the host': () => [
      { argv: ['info', 'xen_version'], out: /^4\.17\.7\n$/ },
      { argv: ['info'], out: /^(?:[a-z_]+ +: .*\n){34}$/ },
      { argv: ['dmesg'], out: /^\(XEN\) Xen version 4\.17/ },
      {
        argv: ['debug-keys', 'q'],
        then: async () => assert.match(await machine.ok('dmesg'), /General information for domain 1:/),
      },
      { argv: ['set-parameters', 'guest_loglvl=all'] },
      { argv: ['devd'] },
      { argv: ['completion', 'bash'], out: /complete -F _xl_complete xl\n$/ },
      { argv: ['getenforce'], out: /^Flask XSM Disabled\n$/, code: 255 },
      { argv: ['setenforce', '1'], err: /^Flask XSM disabled\n$/, code: 255 },
      { argv: ['loadpolicy', config], err: /^Flask XSM disabled\n$/, code: 255 },
    ],
    'running and pausing, names': () => [
      { argv: ['pause', 'web'], then: state(/^--p---$/) },
      { argv: ['unpause', 'web'], then: state(/^[r-][b-]----$/) },
      { argv: ['rename', 'web', 'site'], then: async () => assert.equal(await machine.ok('domname', '1'), 'site\n') },
      { argv: ['rename', 'site', 'web'] },
      { argv: ['sysrq', 'web', 'h'], then: async () => void (await guest.expect(/sysrq: HELP/)) },
      {
        argv: ['trigger', 'web', 'power'],
        err: /libxl_send_trigger: Domain 1:Send trigger 'power' failed: Invalid argument\n$/,
      },
      {
        argv: ['button-press', 'web', 'sleep'],
        err: /^WARNING: "button-press" is deprecated\. Please use "trigger"\nlibxl: error: .*'sleep' failed/,
      },
      { argv: ['console', '-t', 'serial', 'web'], err: /^xenconsole: Could not read tty/, code: 2 },
      { argv: ['vncviewer', 'web'], err: /Domain 1:Cannot get vnc-port\n$/, code: 1 },
      { argv: ['qemu-monitor-command', 'web', 'info'], err: /Failed to connect to QMP socket/, code: 1 },
    ],
    'memory and vCPUs': () => [
      {
        argv: ['mem-set', 'web', '96'],
        then: async () => void (await until('96 MiB', async () => (await machine.state('web'))?.memory === 96)),
      },
      {
        argv: ['mem-set', 'web', '128'],
        then: async () => void (await until('128 MiB', async () => (await machine.state('web'))?.memory === 128)),
      },
      { argv: ['mem-max', 'web', '150'] },
      { argv: ['vcpu-set', 'web', '1'], then: inGuest('nproc', /^1$/) },
      {
        argv: ['vcpu-set', 'web', '2'],
        then: async () => void (await until('two vCPUs', async () => (await guest.run('nproc')) === '2')),
      },
      {
        argv: ['vcpu-pin', 'web', '0', '0', '1'],
        then: async () => assert.match(await machine.ok('vcpu-list', 'web'), / 0 \/ 1\n/),
      },
      { argv: ['vcpu-pin', 'web', 'all', 'all', 'all'] },
      { argv: ['sched-credit2', '-d', 'web', '-w', '300', '-c', '50'] },
      { argv: ['sched-credit2', '-d', 'web'], out: /^Name +ID Weight {2}Cap\nweb +1 +300 +50\n$/ },
      { argv: ['sched-credit2', '-d', 'web', '-w', '256', '-c', '0'] },
      { argv: ['sched-credit', '-d', 'web'], out: /.*/, err: /.*/, code: 1 },
      { argv: ['sched-rtds'] },
    ],
    'CPU pools': () => [
      { argv: ['cpupool-list'], out: /^Name +CPUs +Sched +Active +Domain count\nPool-0 +2 +credit2 +y +2\n$/ },
      { argv: ['cpupool-cpu-remove', 'Pool-0', '1'] },
      {
        argv: ['cpupool-create', 'name="second"', 'cpus=["1"]'],
        out: /^Using config file "command line"\ncpupool name: +second\n/,
      },
      {
        argv: ['cpupool-migrate', 'web', 'second'],
        then: async () => assert.match(await machine.ok('list', '-c', 'web'), / second\n$/),
      },
      { argv: ['cpupool-rename', 'second', 'third'] },
      { argv: ['cpupool-migrate', 'web', 'Pool-0'] },
      { argv: ['cpupool-destroy', 'third'] },
      { argv: ['cpupool-cpu-add', 'Pool-0', '1'] },
      { argv: ['cpupool-numa-split'] },
      { argv: ['cpupool-list', '-c'], out: /^Name +CPU list\n\S+ +0,1\n$/ },
    ],
    'disks, interfaces, channels': () => [
      {
        argv: ['block-list', 'web'],
        out: /^Vdev +BE +handle state evt-ch ring-ref BE-path +\n51712 +0 +1 +4 +-?\d+ +-?\d+ +\/local\/domain\/0\/backend\/(?:vbd|qdisk)\/1\/51712 *\n$/,
      },
      {
        argv: ['block-attach', 'web', `${disk('more.img')},raw,xvdb,w`],
        then: inGuest('cat /proc/partitions', / 8192 xvdb/),
      },
      { argv: ['block-detach', 'web', 'xvdb'], then: inGuest('cat /proc/partitions', /^(?![^]*xvdb)/) },
      { argv: ['cd-insert', 'web', 'xvda', config], err: /requires an HVM domain\n/, code: 1 },
      { argv: ['cd-eject', 'web', 'xvda'], err: /requires an HVM domain\n/, code: 1 },
      {
        argv: ['network-list', 'web'],
        out: new RegExp(`\n0   0  ${mac}     0     4 +-?\\d+ +-?\\d+/-?\\d+ +/local/domain/0/backend/vif/1/0 *\n$`),
      },
      { argv: ['network-attach', 'web', 'bridge=xenbr0'], then: inGuest('ls /sys/class/net', /eth1/) },
      { argv: ['network-detach', 'web', '1'], then: inGuest('ls /sys/class/net', /^(?![^]*eth1)/) },
      { argv: ['network-egress', 'web'], out: /^vif\d+\.0: everything is allowed\n$/ },
      { argv: ['network-forward', '127.0.0.1:0', 'web:22'], out: /.*/ },
      { argv: ['channel-list', 'web'], out: /\n0 {3}0 {2}4 +\d+ +\d+ +pty {8}\/dev\/pts\/\d+ +\n$/ },
    ],
    'devices that no domain has': () => [
      ...['vtpm', 'vkb', 'vdispl', 'vsnd'].flatMap((kind): Step[] => [
        { argv: [`${kind}-list`, 'web'], out: /^(?:Idx .*\n)?$/ },
        {
          argv: [
            `${kind}-attach`,
            'web',
            ...({ vtpm: [], vkb: ['backend-type=linux'], vdispl: ['connectors=id0:800x600'], vsnd: ['CARD'] }[kind] ??
              []),
          ],
          err: /not supported yet\n/,
          code: kind === 'vtpm' ? 1 : 253,
        },
        {
          argv: [`${kind}-detach`, 'web', '0'],
          err: /\n?(?:Unknown device 0\.|Error: Device 0 not connected\.)\n$/,
          code: kind === 'vtpm' ? 1 : 253,
        },
      ]),
      { argv: ['pci-list', 'web'] },
      { argv: ['pci-assignable-list'], err: /pciback driver not loaded\n$/ },
      { argv: ['pci-assignable-add', '0000:03:00.0'], err: /Couldn't lstat/, code: 1 },
      { argv: ['pci-assignable-remove', '0000:03:00.0'], err: /failed to de-quarantine/, code: 1 },
      { argv: ['pci-attach', 'web', '0000:03:00.0'], err: /is not assignable/, code: 1 },
      { argv: ['pci-detach', 'web', '0000:03:00.0'], err: /not attached to this domain/, code: 1 },
      { argv: ['usb-list', 'web'] },
      { argv: ['usbctrl-attach', 'web'], err: /libxl_device_usbctrl_add failed\.\n$/, code: 1 },
      { argv: ['usbctrl-detach', 'web', '0'], err: /Unknown device 0\.\n$/, code: 1 },
      { argv: ['usbdev-attach', 'web', 'hostbus=1', 'hostaddr=2'], err: /USB device is not assignable/, code: 1 },
      { argv: ['usbdev-detach', 'web', '0', '1'], err: /Unknown device/, code: 1 },
      { argv: ['psr-hwinfo'], out: /^Cache Monitoring Technology \(CMT\):\nEnabled +: 0\n/, err: /.*/, code: 253 },
      ...[['psr-cmt-attach'], ['psr-cmt-detach'], ['psr-cat-show'], ['psr-mba-show']].map(([name = '']): Step => ({
        argv: [name, 'web'],
        err: /not supported|disabled|Failed/,
        code: 253,
      })),
      { argv: ['psr-cmt-show', 'cache-occupancy', 'web'], err: /CMT is disabled/, code: 255 },
      { argv: ['psr-cat-set', 'web', '1'], err: /.+/, code: 253 },
      { argv: ['psr-mba-set', 'web', '1'], err: /.+/, code: 253 },
    ],
    'another configuration, other domains, and the end': () => [
      { argv: ['config-update', 'web', config], out: /.*/, err: /.*/ },
      { argv: ['create', '-n', config, 'name="other"'], out: /"name": "other"/, err: /.*/ },
      { argv: ['create', '-p', '-q', config, 'name="other"', 'disk=[]', 'vif=[]'] },
      { argv: ['destroy', 'other'] },
      {
        argv: ['reboot', '-w', 'web'],
        err: /.*/,
        then: async () =>
          void (await until('another number', async () => ((await machine.state('web'))?.domid ?? 0) > 1)),
      },
    ],
  };

  for (const [about, steps] of Object.entries(groups)) {
    it(about, async () => {
      for (const { argv, out = nothing, err = nothing, code = 0, then } of steps()) {
        const got = await machine.xl(...argv);
        const what = `xl ${argv.join(' ')}: ${JSON.stringify(got)}`;
        assert.equal(got.code, code, what);
        assert.match(got.out, out, what);
        assert.match(got.err, err, what);
        await then?.();
      }
    });
  }

  it('leaves out none', () => {
    const tried = new Set(Object.values(groups).flatMap((steps) => steps().map(({ argv }) => argv[0])));
    const missing = Object.keys(commandTable).filter((name) => !tried.has(name) && !elsewhere.includes(name));
    assert.deepEqual(missing, []);
  });
});
