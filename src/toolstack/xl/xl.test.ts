/** `xl` against a daemon on a host without processors: what it prints and exits with, as recorded of Xen 4.17. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { GuestDomain } from '../testing/fake-host.ts';
import { TestDaemon, type Outcome } from '../testing/test-daemon.ts';
import { xentop } from './xentop.ts';

const test = new TestDaemon();
const { host } = test;
const xl = test.xl.bind(test);

before(() => test.start());

after(async () => {
  await test.close();
  assert(host.closed);
});

const config = (name: string, more = ''): string => test.config(name, `maxmem=63\n${more}`);

async function create(name: string, ...argv: string[]): Promise<GuestDomain> {
  const { code, err } = await xl('create', '-q', config(name), ...argv);
  assert.equal(code, 0, err);
  const guest = host.guests.at(-1);
  assert(guest);
  return guest;
}

/** The guest's kernel takes note of a request, as Linux does, and acts on it. */
async function obey(guest: GuestDomain, reason: number, asked: () => Promise<Outcome>): Promise<Outcome> {
  const outcome = asked();
  const client = await test.client();
  const path = `/local/domain/${guest.domid}/control/shutdown`;
  while (((await client.call('xenstoreNode', { path })).node?.value ?? '') === '')
    await new Promise((resolve) => setTimeout(resolve, 5));
  client.close();
  guest.shutDown(reason);
  return outcome;
}

const zero = 'Domain-0                                     0 ';

describe('xl without domains', () => {
  const cases: readonly { argv: string[]; out?: string; err?: string; code?: number }[] = [
    { argv: ['nosuchcommand'], err: 'command not implemented\n', code: 1 },
    { argv: ['-h'], err: "xl: invalid option -- 'h'\nunknown global option\n", code: 1 },
    { argv: ['-N', 'list'], err: 'command does not implement -N (dryrun) option\n', code: 1 },
    { argv: ['list', '-Q'], err: "option `Q' not supported.\n", code: 2 },
    { argv: ['create', '--nosuch', 't.cfg'], err: "option `\0' not supported.\n", code: 2 },
    { argv: ['list', 'nosuch'], err: 'nosuch is an invalid domain identifier (rc=-6)\n', code: 1 },
    { argv: ['list', '-l', 'nosuch'], err: 'nosuch is an invalid domain identifier (rc=-6)\n', code: 1 },
    { argv: ['list', '99'], err: "Error: Domain '99' does not exist.\n", code: 1 },
    { argv: ['console', '0'], err: "Can't specify Domain-0\n", code: 22 },
    {
      argv: ['console', '99'],
      err: 'libxl: error: libxl_dom.c:37:libxl__domain_type: unable to get domain type for domid=99\nUnable to attach console\n',
      code: 1,
    },
    {
      argv: ['pause', 'Domain-0'],
      err: 'libxl: error: libxl_domain.c:587:libxl_domain_pause: Pausing domain: Invalid argument\n',
    },
    {
      argv: ['unpause', '99'],
      err: 'libxl: error: libxl_domain.c:701:libxl_domain_unpause: Domain 99:Unpausing domain: No such process\n',
      code: 1,
    },
    { argv: ['shutdown', 'Domain-0'], err: 'Shutting down domain 0\n' },
    {
      argv: ['shutdown', '99'],
      err: 'Shutting down domain 99\nlibxl: error: libxl_dom.c:37:libxl__domain_type: unable to get domain type for domid=99\nshutdown failed (rc=-3)\n',
      code: 1,
    },
    { argv: ['shutdown'], err: 'You must specify -a or a domain id.\n\n', code: 1 },
    { argv: ['domname', 'nosuch'], err: 'Invalid domain id.\n\n', code: 1 },
    {
      argv: ['domname', '99'],
      err: "Can't get domain name of domain id '99', maybe this domain does not exist.\n",
      code: 1,
    },
    {
      argv: ['domid', 'nosuch'],
      err: "Can't get domid of domain name 'nosuch', maybe this domain does not exist.\n",
      code: 1,
    },
    { argv: ['domid', 'Domain-0'], out: '0\n' },
    { argv: ['domname', '0'], out: 'Domain-0\n' },
    {
      argv: ['destroy', '99'],
      err: [
        'libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain 99:Non-existant domain',
        'libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain 99:Unable to destroy guest',
        'libxl: error: libxl_domain.c:1064:domain_destroy_cb: Domain 99:Destruction of domain failed',
        'destroy failed (rc=-21)\n',
      ].join('\n'),
      code: 1,
    },
    {
      argv: ['mem-set', 'nosuchdomain', '128'],
      err: 'nosuchdomain is an invalid domain identifier (rc=-6)\n',
      code: 1,
    },
    {
      argv: ['create', '/tmp'],
      err: 'libxl: error: libxl_utils.c:346:libxl_read_file_contents: /tmp is not a plain file: Success\nFailed to read config file: /tmp: Inappropriate ioctl for device\n',
      code: 3,
    },
    {
      argv: ['create', 'def.cfg', 'memory=1'],
      err: 'Failed to read config file: def.cfg: No such file or directory\n',
      code: 3,
    },
    { argv: ['create'], err: 'Config file not specified and none in save file\n', code: 6 },
    {
      argv: ['vm-list'],
      out: 'UUID                                  ID    name\n00000000-0000-0000-0000-000000000000  0    Domain-0                      \n',
    },
    { argv: ['profile', 'nosuch'], err: 'nosuch is an invalid domain identifier (rc=-6)\n', code: 1 },
    { argv: ['profile', '99'], err: "Error: Domain '99' does not exist.\n", code: 1 },
    {
      argv: ['profile', '0'],
      err: 'xl: domain 0 has no vCPU of its own: its services are part of the daemon\n',
      code: 1,
    },
    { argv: ['exec', 'nosuch', 'true'], err: 'nosuch is an invalid domain identifier (rc=-6)\n', code: 1 },
    { argv: ['exec', '99', 'true'], err: 'there is no domain 99\n', code: 255 },
    { argv: ['cp', 'file', '99:/tmp'], err: 'there is no domain 99\n', code: 1 },
    { argv: ['help', 'nosuch'], out: 'command "nosuch" not implemented\n' },
  ];
  for (const { argv, out = '', err = '', code = 0 } of cases) {
    it(`xl ${argv.join(' ')}`, async () => assert.deepEqual(await xl(...argv), { out, err, code }));
  }

  for (const command of ['pause', 'unpause', 'destroy', 'reboot', 'shutdown', 'console']) {
    it(`xl ${command} nosuchdomain`, async () => {
      const err = 'nosuchdomain is an invalid domain identifier (rc=-6)\n';
      assert.deepEqual(await xl(command, 'nosuchdomain'), { out: '', err, code: 1 });
    });
  }

  it('a command without its arguments prints its help', async () => {
    const { out, err, code } = await xl('rename', 'a');
    assert.equal(out, 'Usage: xl [-vtTf] rename <Domain> <NewDomainName>\n\nRename a domain.\n\n');
    assert.equal(err, "'xl rename' requires at least 2 arguments.\n\n");
    assert.equal(code, 2);
  });

  it('an unambiguous beginning of a command will do', async () => {
    const { out, code } = await xl('inf', 'nr_cpus');
    assert.deepEqual([out, code], ['2\n', 0]);
  });

  it('prints information about the host in the form that scripts parse', async () => {
    const { out } = await xl('info');
    const names = out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(':')[0]?.trimEnd());
    assert.deepEqual(names, infoNames);
    assert.match(out, /^virt_caps {14}: pv gnttab-v1 gnttab-v2$/m);
    assert.match(out, /^total_memory {11}: 4096$/m);
  });

  it('has debug keys tell what they know in the log', async () => {
    assert.equal((await xl('debug-keys', 'hqrx')).code, 0);
    const { out } = await xl('dmesg', '-c');
    assert.match(out, /^\(XEN\) 'h' pressed -> show this message$/m);
    assert.match(out, /^\(XEN\)  key 'q' \(ascii '71'\) => dump domain \(and guest debug\) info$/m);
    assert.match(out, /^\(XEN\) General information for domain 0:$/m);
    assert.match(out, /^\(XEN\) Cpupool 0: Pool-0, scheduler credit2$/m);
    assert.doesNotMatch(out, /'x' pressed/);
  });

  it('shows what domains use, as xentop -b does', async () => {
    const { out, code } = await xl('top', '-b', '-i', '2', '-d', '0', '-v');
    assert.equal(code, 0);
    const lines = out.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^ {6}NAME {2}STATE {3}CPU\(sec\) CPU\(%\) /);
    assert.match(lines[1] ?? '', /^ {2}Domain-0 -----r {10}1 {4}0\.0 {5}524288 {3}12\.5 /);
    assert.match(lines[2] ?? '', /^VCPUs\(sec\): {3}0: {10}1s {2}1: {10}1s$/);
    assert.deepEqual(lines.slice(3), lines.slice(0, 3));
    assert.deepEqual(await xl('top'), {
      out: '',
      err: 'xl top needs a terminal; with -b it writes to a file or a pipe\n',
      code: 1,
    });
  });

  it('has xentop by its own name, which exits with 0 whatever it is asked', async () => {
    let [out, err] = ['', ''];
    const terminal = {
      out: (text: string) => (out += text),
      err: (line: string) => (err += line),
      env: test.env,
    };
    assert.equal(await xentop(['-b', '-i1'], terminal), 0);
    assert.match(out, /^ {6}NAME .*\n {2}Domain-0 .*\n$/);
    out = '';
    assert.equal(await xentop(['-z'], terminal), 0);
    assert.equal(err, "xentop: invalid option -- 'z'");
    assert.match(out, /^Usage: xentop \[OPTION\]\n/);
  });

  it('reads and clears the hypervisor log', async () => {
    host.console = '(XEN) hello\n';
    assert.equal((await xl('dmesg', '-c')).out, '(XEN) hello\n');
    assert.equal((await xl('dmesg')).out, '');
  });
});

describe('xl with a domain', () => {
  it('lists it in the columns of xl', async () => {
    const { domid } = await create('web', '-p');
    const head = 'Name                                        ID   Mem VCPUs\tState\tTime(s)\n';
    const row = (state: string): string =>
      `web                                      ${String(domid).padStart(5)}    64     1     ${state}       1.3\n`;
    assert.equal((await xl('list', 'web')).out, head + row('--p---'));
    await xl('unpause', 'web');
    assert.equal((await xl('list', 'web')).out, head + row('-b----'));
    const all = (await xl('list', '-c')).out.split('\n');
    assert(all[1]?.startsWith(zero));
    assert(all[2]?.endsWith('          Pool-0'));
    await xl('destroy', 'web');
    assert.equal((await xl('list', 'web')).code, 1);
  });

  it('prints its configuration as libxl keeps it', async () => {
    const { domid } = await create('json', '-p');
    const { out } = await xl('list', '-l', 'json');
    const [entry] = JSON.parse(out) as { domid: number; config: Record<string, Record<string, unknown>> }[];
    assert.equal(entry?.domid, domid);
    assert.equal(entry?.config['c_info']?.['domid'], 0xffffffff);
    assert.deepEqual(entry?.config['b_info']?.['sched_params'], { sched: 'credit2', weight: 256, cap: 0 });
    assert(out.endsWith(']\n\n'));
    await xl('destroy', 'json');
  });

  it('shows where it spends its instructions', async () => {
    const guest = await create('busy');
    guest.symbolize = (va) =>
      va >= -0x7f00_0000 && va < -0x7eff_f000
        ? { name: 'do_\x1bsomething', offset: va + 0x7f00_0000, size: 0x1000 }
        : undefined;
    const sample = (rip: number, translated: boolean, user = false) => ({ rip, translated, user });
    guest.work = [
      ...Array.from({ length: 4 }, (_, i) => sample(-0x7f00_0000 + i * 16, i > 0)),
      ...Array.from({ length: 3 }, (_, i) => sample(0x40_0000 + i * 4096, true, true)),
      sample(-0x3fff_fff0, false),
    ];
    const { out, code } = await xl('profile', '-t', '0.1', 'busy');
    assert.equal(code, 0);
    assert.match(out, /^busy \(domain \d+\) for 0\.\d s, 1 vCPU\n/);
    assert.match(out, /^ {2}translated +75\.0 %$/m);
    assert.match(out, /^ {2}in the hypervisor +20\.0 %/m);
    assert.match(out, /^ {2}waiting for the compiler +2$/m);
    assert.match(out, /^ {2}hypercalls and system calls +\d+$/m);
    assert.doesNotMatch(out, /cpuid/);
    assert.deepEqual(out.trimEnd().split('\n').slice(-4), [
      '  share  translated  function',
      ' 50.0 %      75.0 %  do_?something',
      ' 37.5 %     100.0 %  user mode',
      ' 12.5 %       0.0 %  0xffffffffc0000000',
    ]);
    const json = await xl('profile', '-t', '0.1', '--top', '1', '--json', 'busy');
    const profile = JSON.parse(json.out) as { name: string; samples: number; functions: { samples: number }[] };
    assert.equal(profile.name, 'busy');
    assert.equal(profile.functions.length, 1);
    assert.equal(profile.functions[0]?.samples, profile.samples / 2);
    guest.symbolize = undefined;
    assert.match((await xl('profile', '-t', '0.1', 'busy')).out, /\n\nThe kernel has no table of symbols/);
    guest.work = [];
    assert.match((await xl('profile', '-t', '0.1', 'busy')).out, /\nIt executed too little for a sample\.\n$/);
    await xl('destroy', 'busy');
  });

  it('is not profiled for ever, or with numbers that are none', async () => {
    for (const argv of [
      ['-t', '0'],
      ['-t', '601'],
      ['-t', 'x'],
      ['--top', '1.5'],
      ['--top', '2000'],
    ]) {
      const { out, err, code } = await xl('profile', ...argv, 'nobody');
      assert.equal(code, 2);
      assert.match(err, /^-t takes 0\.1 to 600 seconds\.|^--top takes a whole number from 1 to 1000\./);
      assert.match(out, /^Usage: xl \[-vtT\] profile /);
    }
  });

  it("refuses a second domain of the same name with libxl's words and exit code", async () => {
    await create('twin');
    const { err, code } = await xl('create', config('twin'));
    assert.match(err, /Domain with name "twin" already exists\.\nlibxl: error: libxl_create\.c:1296/);
    assert.equal(code, 3);
    await xl('destroy', 'twin');
  });

  it('says what is in a configuration and not acted on, and what nobody knows', async () => {
    const { err, code } = await xl('create', config('typo', 'vfb=["vnc=1"]\nmemroy=128'));
    assert.equal(code, 0);
    const file = test.path('typo.cfg');
    assert.deepEqual(err.trimEnd().split('\n').slice(1), [
      `${file}: warning: not supported yet and without effect: vfb (line 6)`,
      `${file}:7: warning: unknown parameter \`memroy' is ignored; did you mean \`memory'?`,
    ]);
    await xl('destroy', 'typo');
  });

  it('shutdown -w tells of the shutdown and returns then', async () => {
    const guest = await create('down');
    const { domid } = guest;
    const { err, code } = await obey(guest, 0, () => xl('shutdown', '-w', 'down'));
    assert.equal(
      err,
      `Shutting down domain ${domid}\nWaiting for 1 domains\nDomain ${domid} has been shut down, reason code 0\n`,
    );
    assert.equal(code, 0);
  });

  it('shutdown -ww waits until nothing is left', async () => {
    const guest = await create('gone');
    const { domid } = guest;
    const { err } = await obey(guest, 0, () => xl('shutdown', '-ww', 'gone'));
    assert.deepEqual(err.trimEnd().split('\n').slice(2), [
      `Domain ${domid} has been shut down, reason code 0`,
      `Domain ${domid} continue waiting for death`,
      `Domain ${domid} has been destroyed`,
    ]);
  });

  it('create -F stays and tells what happens until the domain has ended', async () => {
    const file = config('front');
    const { err, code } = await obeyLast(() => xl('create', '-F', file));
    const domid = host.guests.at(-1)?.domid;
    assert.deepEqual(
      err
        .replace(/\[pid \d+\]/, '[pid 1]')
        .trimEnd()
        .split('\n'),
      [
        `Parsing config from ${file}`,
        `Waiting for domain front (domid ${domid}) to die [pid 1]`,
        `Domain ${domid} has shut down, reason code 0 0x0`,
        'Action for shutdown reason code 0 is destroy',
        `Domain ${domid} needs to be cleaned up: destroying the domain`,
        'Done. Exiting now',
      ],
    );
    assert.equal(code, 0);
  });

  it('renames', async () => {
    await create('before');
    assert.equal((await xl('rename', 'before', 'after')).code, 0);
    assert.match((await xl('rename', 'after', 'Domain-0')).err, /already exists\.\nCan't rename domain 'after'\.\n$/);
    assert.equal((await xl('domid', 'after')).code, 0);
    await xl('destroy', 'after');
  });
});

describe('the daemon', () => {
  it('lets nobody else connect', () => {
    const { socket, path, logs } = test.where;
    assert.deepEqual(
      [socket, path, logs].map((file) => statSync(file).mode & 0o777),
      [0o600, 0o700, 0o700],
    );
  });
});

async function obeyLast(asked: () => Promise<Outcome>): Promise<Outcome> {
  const before = host.guests.length;
  const outcome = asked();
  while (host.guests.length === before || host.guests.at(-1)?.info().paused === true)
    await new Promise((resolve) => setTimeout(resolve, 5));
  host.guests.at(-1)?.shutDown(0);
  return outcome;
}

const infoNames = [
  ...[
    'host',
    'release',
    'version',
    'machine',
    'nr_cpus',
    'max_cpu_id',
    'nr_nodes',
    'cores_per_socket',
    'threads_per_core',
  ],
  ...['cpu_mhz', 'hw_caps', 'virt_caps', 'total_memory', 'free_memory', 'sharing_freed_memory', 'sharing_used_memory'],
  ...[
    'outstanding_claims',
    'free_cpus',
    'xen_major',
    'xen_minor',
    'xen_extra',
    'xen_version',
    'xen_caps',
    'xen_scheduler',
  ],
  ...[
    'xen_pagesize',
    'platform_params',
    'xen_changeset',
    'xen_commandline',
    'cc_compiler',
    'cc_compile_by',
    'cc_compile_domain',
  ],
  ...['cc_compile_date', 'build_id', 'xend_config_format'],
];
