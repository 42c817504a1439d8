/** The quick guest without a disk, in the form for scripts. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Machine } from '../testing/machine.ts';

describe('npm run demo', () => {
  const machine = new Machine();
  after(() => machine.close());

  it('boots a guest, feeds it the lines of standard input, prints what they print, and powers it off', async () => {
    const { code, out, err } = await machine.npmRun(
      'demo',
      'uname -r\ncat /sys/hypervisor/type\nls /sys/bus/xen/devices\necho the end\n',
    );
    // The agent's channel is a device.
    assert.match(out, /^6\.1\.\S+-cloud-amd64\r?\nxen\r?\nconsole-1\r?\nthe end\r?\n$/, err.slice(-2000));
    assert.equal(code, 0);
    assert.deepEqual(
      (await machine.list()).map(({ name }) => name),
      ['Domain-0'],
    );
  });

  it('says what is wrong with a kernel that cannot be booted', async () => {
    const { code, err } = await machine.npmRun('demo', '', '--kernel', '/nonexistent/vmlinuz');
    assert.notEqual(code, 0);
    assert.match(err, /'\/nonexistent\/vmlinuz': No such file or directory/);
    assert.deepEqual(
      (await machine.list()).map(({ name }) => name),
      ['Domain-0'],
    );
  });
});
