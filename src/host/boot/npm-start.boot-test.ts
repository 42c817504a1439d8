/** Debian on a disk of its own, in the form for scripts. The disk is built when the cache has none. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { GuestFilesError } from '../../toolstack/guest-files/guest-files.ts';
import { namespaceOptions } from '../../toolstack/root-image/namespaces.ts';
import { Machine } from '../testing/machine.ts';

describe('npm start', () => {
  const machine = new Machine();
  const disk = machine.path('debian.qcow2');
  let cannot: string | undefined;
  before(async () => {
    try {
      await namespaceOptions();
    } catch (error) {
      if (!(error instanceof GuestFilesError)) throw error;
      cannot = error.message;
    }
  });
  after(() => machine.close());

  it('boots Debian from its disk, feeds it the lines of standard input, and powers it off', async (t) => {
    if (cannot !== undefined) return t.skip(cannot);
    const commands = [
      'cat /sys/hypervisor/type',
      'findmnt -no SOURCE,FSTYPE /',
      'readlink /sys/block/xvda/device/driver',
      'systemctl is-system-running --wait',
      'stat -c "%u %g %a" /etc/shadow /usr/bin/passwd',
      'dpkg --audit',
      'head -c 20000000 /dev/urandom > /root/kept',
      'sha256sum /root/kept > /root/sum',
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

  it('finds again what the guest wrote', async (t) => {
    if (cannot !== undefined) return t.skip(cannot);
    const commands = 'sha256sum --quiet -c /root/sum && echo unharmed\ndmesg | grep -c "EXT4-fs error"\n';
    const { out, err } = await machine.npmRun('start', commands, '--disk', disk);
    assert.match(out.replaceAll('\r', ''), /^unharmed\n0\n$/, err.slice(-3000));
  });
});
