/**
 * What Debian's own tools say of disks and network: fio writes and verifies on a raw and a qcow2 image, iperf3 sends to the host and to another guest and back, and
 * file systems and images are sound afterwards. `XENOLITH_FIO_MIB` says how much fio writes to each disk at a time.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { AptRepository, testPackages } from '../testing/apt-repository.ts';
import { asRaw, ext4Faults, makeExt4, makeQcow2, makeToolDisk, qcow2Faults } from '../testing/disk-images.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, patience, until } from '../testing/machine.ts';

/** By each job on each disk; the job with the smallest pieces writes a quarter of it. */
const fioMiB = Number(process.env['XENOLITH_FIO_MIB'] ?? 16);
/** By hand it takes as long as it takes. */
const fioPatience = patience + fioMiB * 2000;
/** What iperf3 sends. */
const STREAM = '8M';
const streamBytes = 8 * 2 ** 20;
/** Of the archive's packages, what fio and iperf3 run without: fio's are helpers in Python. */
const needless = /^(.*python3.*|perl.*|debconf|adduser|passwd|dpkg|tar|media-types|login|.*-doc)_/;

interface FioJob {
  readonly error: number;
  readonly read: { readonly io_bytes: number; readonly bw_bytes: number };
  readonly write: { readonly io_bytes: number; readonly bw_bytes: number };
}

describe('a guest with fio and iperf3', () => {
  const machine = new Machine();
  const [raw, qcow2, tools] = ['raw.img', 'data.qcow2', 'tools.img'].map((name) => machine.path(name)) as [
    string,
    string,
    string,
  ];
  let guest: GuestTerminal;

  /** A guest with the tools in /mnt/tools, and an address. */
  const boot = async (name: string, address: string, ...disks: readonly string[]): Promise<GuestTerminal> => {
    const { kernel, ramdisk } = await guestFiles();
    const terminal = await machine.boot({
      name,
      kernel,
      ramdisk,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      memory: 192,
      disk: [`${tools},raw,xvda,r`, ...disks],
      vif: ['bridge=xenbr0'],
    });
    await terminal.ready();
    await terminal.run('mkdir -p /mnt/tools && mount -t ext4 -o ro /dev/xvda /mnt/tools');
    await terminal.run(
      'cd /mnt/tools && for i in dev proc sys; do mount -o bind /$i $i; done; mount -t tmpfs tmpfs tmp',
    );
    await terminal.run(`ifconfig eth0 ${address} netmask 255.255.255.0`);
    return terminal;
  };

  before(async () => {
    const config = machine.path('network.cfg');
    writeFileSync(config, 'bridge = [ "name=xenbr0, allow_host=1" ]\n');
    machine.env['XENOLITH_NETWORK_CONFIG'] = config;
    const repository = await AptRepository.with(testPackages);
    repository.close();
    makeToolDisk(tools, repository.folder, (name) => !needless.test(name));
    makeExt4(raw, 64 + fioMiB * 2);
    await makeQcow2(qcow2, { raw });
    guest = await boot('fio', '10.0.2.100', `${raw},raw,xvdb,w`, `format=qcow2,vdev=xvdc,target=${qcow2}`);
  });
  after(() => machine.close());

  for (const [disk, format] of [
    ['xvdb', 'raw'],
    ['xvdc', 'qcow2'],
  ]) {
    it(`writes and verifies on ${format}, in order and at random`, async (t) => {
      await guest.run(`mount -t ext4 /dev/${disk} /mnt/tools/mnt`);
      const common = '--ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --output-format=json';
      const shapes = [
        `--rw=write --bs=256k --iodepth=8 --size=${fioMiB}M`,
        `--rw=randwrite --bs=64k --iodepth=32 --size=${fioMiB}M`,
        `--rw=randwrite --bs=4k --iodepth=32 --size=${Math.ceil(fioMiB / 4)}M`,
      ];
      for (const shape of shapes) {
        const out = await guest.run(
          `chroot /mnt/tools fio --name=x --filename=/mnt/x ${common} ${shape} && rm /mnt/tools/mnt/x`,
          fioPatience,
        );
        const { jobs } = JSON.parse(out.slice(out.indexOf('{'))) as { jobs: FioJob[] };
        const size = Number(/--size=([\d.]+)M/.exec(shape)?.[1]) * 2 ** 20;
        assert.deepEqual(
          jobs.map(({ error, read, write }) => [error, read.io_bytes, write.io_bytes]),
          [[0, size, size]],
        );
        const [job] = jobs;
        const speeds = [job?.write, job?.read].map((way) => ((way?.bw_bytes ?? 0) / 1e6).toFixed(1));
        t.diagnostic(`${shape}: write ${speeds[0]} MB/s, verify ${speeds[1]} MB/s`);
      }
      await guest.run('umount /mnt/tools/mnt');
    });
  }

  const withoutIperf3 =
    spawnSync('iperf3', ['--version']).error === undefined ? undefined : 'no iperf3 on this machine';

  it('sends to the host and receives from it', async (t) => {
    if (withoutIperf3 !== undefined) return t.skip(withoutIperf3);
    const { server, port } = await startServer();
    try {
      await stream(t, guest, `10.0.2.2 -p ${port}`);
    } finally {
      server.kill();
    }
  });

  it('sends to another guest and receives from it', async (t) => {
    const other = await boot('other', '10.0.2.200');
    await other.run('chroot /mnt/tools iperf3 -s -D');
    await other.listens(5201);
    await stream(t, guest, '10.0.2.200');
    await machine.ok('destroy', 'other');
  });

  it('leaves file systems and images in which nothing is wrong', async () => {
    guest.type('poweroff\n');
    await guest.ended;
    await until('the guest to be gone', async () => (await machine.state('fio')) === undefined);
    assert.equal(qcow2Faults(qcow2) ?? '', '');
    assert.equal(ext4Faults(await asRaw(qcow2, 'qcow2')), '');
    assert.equal(ext4Faults(raw), '');
  });
});

/** Both ways. */
async function stream(t: TestContext, guest: GuestTerminal, target: string): Promise<void> {
  for (const way of ['', '-R']) {
    const out = await guest.run(`chroot /mnt/tools iperf3 -J -n ${STREAM} -c ${target} ${way}`, patience);
    interface Sum {
      readonly bytes: number;
      readonly bits_per_second: number;
    }
    const { end } = JSON.parse(out.slice(out.indexOf('{'))) as { end: { sum_sent: Sum; sum_received: Sum } };
    const { bytes, bits_per_second: speed } = end.sum_received;
    // The receiver stops counting when the sender says that it is done, by another connection: the rest is under way then, which may be most of it.
    assert.ok(end.sum_sent.bytes >= streamBytes && bytes > 0, out);
    t.diagnostic(`iperf3 ${way === '' ? 'from' : 'to'} the guest: ${(speed / 8e6).toFixed(1)} MB/s`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** iperf3 takes no port of the system's choice: another program may have taken it meanwhile. */
async function startServer(): Promise<{ server: ChildProcess; port: number }> {
  for (let tries = 1; ; tries++) {
    const port = await freePort();
    const args = ['-s', '--forceflush', '-B', '127.0.0.1', '-p', String(port)];
    const server = spawn('iperf3', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const said = await listening(server);
    if (said === undefined) return { server, port };
    if (tries === 5) throw new Error(`iperf3: ${said}`);
  }
}

/** What it says when it does not listen. */
function listening({ stdout, stderr }: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    let all = '';
    const add = (text: string): void => {
      all += text;
      if (all.includes('listening')) resolve(undefined);
    };
    stdout?.setEncoding('utf8').on('data', add);
    stderr?.setEncoding('utf8').on('data', add);
    stdout?.on('end', () => resolve(all));
  });
}
