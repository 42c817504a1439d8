/** Debian on a disk of its own, as a new user meets it: in a script, then at a terminal, with its network. The disk is built when the cache has none. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GuestFilesError, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { namespaceOptions } from '../../toolstack/root-image/namespaces.ts';
import { AptRepository, testPackages } from '../testing/apt-repository.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { debianPatience, Machine, patience, type Outcome } from '../testing/machine.ts';

describe('npm start', () => {
  const machine = new Machine();
  const disk = machine.path('debian.qcow2');
  const [key, known] = [machine.path('key'), machine.path('known_hosts')];
  let cannot: string | undefined;
  let repository: AptRepository | undefined;
  let guest: GuestTerminal;
  before(async () => {
    try {
      await namespaceOptions();
    } catch (error) {
      if (!(error instanceof GuestFilesError)) throw error;
      cannot = error.message;
      return;
    }
    const config = machine.path('network.cfg');
    writeFileSync(config, 'bridge = [ "name=xenbr0, allow_host=1" ]\n');
    machine.env['XENOLITH_NETWORK_CONFIG'] = config;
    repository = await AptRepository.with(testPackages);
  });
  after(async () => {
    // A guest that did not end for a test that failed.
    await (guest as GuestTerminal | undefined)?.leave();
    repository?.close();
    await machine.close();
  });

  it('boots Debian from its disk, feeds it the lines of standard input, and powers it off', async (t) => {
    if (cannot !== undefined) return t.skip(cannot);
    const commands = [
      'cat /sys/hypervisor/type',
      'findmnt -no SOURCE,FSTYPE /',
      'readlink /sys/block/xvda/device/driver',
      'systemctl is-system-running --wait',
      'stat -c "%u %g %a" /etc/shadow /usr/bin/passwd',
      'dpkg --audit',
      'head -c 4000000 /dev/urandom > /root/kept',
      'sha256sum /root/kept /etc/ssh/ssh_host_*_key > /root/sum',
      'echo the end',
    ];
    const { code, out, err } = await machine.npmRun('start', `${commands.join('\n')}\n`, '--disk', disk);
    assert.match(
      out.replaceAll('\r', ''),
      /^xen\n\/dev\/xvda +ext4\n\S*\/vbd\nrunning\n0 42 640\n0 0 4755\nthe end\n$/,
      err.slice(-3000),
    );
    assert.equal(code, 0);
    assert.ok(statSync(disk).size > 100 * 2 ** 20);
  });

  describe('at a terminal', () => {
    let port = '';
    const ssh = (command: string, input?: string): Promise<Outcome> => {
      const own = [
        'BatchMode=yes',
        `ConnectTimeout=${patience / 1000}`,
        'StrictHostKeyChecking=accept-new',
        `UserKnownHostsFile=${known}`,
      ];
      const options = own.flatMap((option) => ['-o', option]);
      return machine.program(
        'ssh',
        ['-F', 'none', ...options, '-i', key, '-p', port, 'root@127.0.0.1', command],
        input,
      );
    };
    const withoutSsh = spawnSync('ssh', ['-V']).error === undefined ? undefined : 'no ssh on this machine';

    it('finds again what the guest wrote, and the keys of its own', async (t) => {
      if (cannot !== undefined) return t.skip(cannot);
      // Plain, so that the test reads no echo; else as a person has it.
      guest = machine.terminal('start', '--disk', disk, '--append', PLAIN_CONSOLE);
      await guest.ready(debianPatience);
      assert.equal(await guest.run('sha256sum --quiet -c /root/sum && echo unharmed'), 'unharmed');
      assert.equal(await guest.run('dmesg | grep -c "EXT4-fs error" || :'), '0');
    });

    it('pings the gateway', async (t) => {
      if (cannot !== undefined) return t.skip(cannot);
      await guest.run('/lib/systemd/systemd-networkd-wait-online --timeout=0');
      assert.match(await guest.run('ping -c 3 -W 20 10.0.2.2'), /3 packets transmitted, 3 received, 0% packet loss/);
    });

    it('installs a package from an archive on the host, by HTTP', async (t) => {
      if (cannot !== undefined || repository === undefined) return t.skip(cannot);
      const source = repository.sourceAt('10.0.2.2');
      await guest.run(`rm /etc/apt/sources.list.d/*; echo '${source}' > /etc/apt/sources.list`);
      assert.match(await guest.run('apt-get update'), /Packages.*\n(.*\n)*Reading package lists/);
      // With two others that it needs.
      await guest.run('DEBIAN_FRONTEND=noninteractive apt-get install -y libibverbs1', debianPatience);
      assert.match(await guest.run('dpkg --status libibverbs1'), /^Status: install ok installed$/m);
      assert.ok(repository.bytesServed > 0);
    });

    it('is reached by ssh through a port of the host', async (t) => {
      if (cannot !== undefined || withoutSsh !== undefined) return t.skip(cannot ?? withoutSsh);
      spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
      const publicKey = readFileSync(`${key}.pub`, 'utf8').trim();
      await guest.run(`mkdir -p -m 700 /root/.ssh; echo '${publicKey}' >> /root/.ssh/authorized_keys`);
      const made = await machine.ok('network-forward', '0', 'debian:22');
      port = /^tcp:127\.0\.0\.1:(\d+) is forwarded to debian:22\n$/.exec(made)?.[1] ?? made;
      assert.deepEqual({ ...(await ssh('uname -n; tty')), err: '' }, { code: 1, out: 'debian\nnot a tty\n', err: '' });
    });

    it('takes data through it, and gives them back', async (t) => {
      if (cannot !== undefined || withoutSsh !== undefined) return t.skip(cannot ?? withoutSsh);
      const data = randomBytes(1_500_000).toString('base64');
      const sum = createHash('sha256').update(data).digest('hex');
      const { code, out, err } = await ssh('cat > /root/sent; sha256sum < /root/sent', data);
      assert.deepEqual([code, out], [0, `${sum}  -\n`], err);
      const back = await ssh('cat /root/sent');
      assert.ok(back.out === data, back.err);
    });

    it('runs programs by its agent', async (t) => {
      if (cannot !== undefined) return t.skip(cannot);
      const xl = join(import.meta.dirname, '../../../bin/xl');
      const perl = ['perl', '-e', 'print scalar reverse <STDIN>; exit 5'];
      const { code, out } = await machine.program(xl, ['exec', 'debian', ...perl], 'olleh');
      assert.deepEqual([code, out], [5, 'hello']);
    });

    it('boots again when it reboots, and is destroyed when it is left', async (t) => {
      if (cannot !== undefined) return t.skip(cannot);
      guest.type('reboot\n');
      // Its kernel comes from the disk once more; what is on it is found again above.
      await guest.expect(/Linux version/, debianPatience);
      assert.equal(await guest.leave(), 0);
      assert.match(guest.text, /left the console: the domain is destroyed/);
    });
  });
});
