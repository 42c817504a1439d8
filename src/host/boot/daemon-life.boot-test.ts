/** A domain that comes up with the daemon, comes again after the daemon was killed, with its disk and console, and is shut down when the daemon stops. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { makeRaw } from '../testing/disk-images.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { eventually, Machine, patience, until } from '../testing/machine.ts';

describe('a domain of the auto folder', () => {
  const machine = new Machine();
  let guest: GuestTerminal;

  before(async () => {
    const { kernel, ramdisk } = await guestFiles();
    const image = machine.path('disk.img');
    makeRaw(image, 8);
    const config = machine.config({
      name: 'auto',
      kernel,
      ramdisk,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      memory: 80,
      disk: [`format=raw,vdev=xvda,access=rw,target=${image}`],
      vif: [''],
      // It is not to come back from the daemon's end.
      on_poweroff: 'restart',
    });
    const folder = machine.path('auto');
    mkdirSync(folder);
    symlinkSync('/nowhere', `${folder}/05-broken`);
    symlinkSync(config, `${folder}/10-auto`);
    machine.env['XENOLITH_AUTO_DIR'] = folder;
  });
  after(() => machine.close());

  const appears = async (): Promise<void> => {
    const domain = await until('the domain', async () => {
      const listed = await machine.state('auto');
      // While it is made it is paused, and has no console yet.
      return listed?.state.includes('p') === false && listed;
    });
    assert.equal(domain.domid, 1);
    guest = machine.console('auto');
    await guest.ready();
  };
  /** Domains that xenstore knows, and the terminal of the first one's console. */
  const known = async (): Promise<{ domids: Set<string>; tty: string }> => {
    const tree = await machine.xenstore();
    const domids = [...tree.matchAll(/^\/(?:local\/domain|libxl|local\/domain\/0\/backend\/\w+)\/([1-9]\d*)\b/gm)];
    const tty = /^\/local\/domain\/1\/console\/tty = "(.*?)"/m.exec(tree)?.[1] ?? '';
    return { domids: new Set(domids.map(([, domid]) => domid ?? '')), tty };
  };

  it('is there when the daemon is, whatever else is wrong in the folder', async () => {
    await appears();
    assert.match(machine.log('xenolithd.log'), /05-broken: .*ENOENT[^]*10-auto: auto is domain 1/);
    assert.equal(await guest.run('echo kept | dd of=/dev/xvda conv=fsync 2>/dev/null; cat /proc/cmdline | wc -l'), '1');
  });

  it('comes again after the daemon was killed, and nothing of before is in its way', async () => {
    const [pid, before] = [await machine.daemonPid(), await known()];
    process.kill(pid, 'SIGKILL');
    assert.equal(await guest.ended, 1, 'the console tells that it was cut off');
    await until('the end of the daemon', () => Promise.resolve(hasEnded(pid)));
    await appears();
    assert.notEqual(await machine.daemonPid(), pid);
    const after = await known();
    assert.deepEqual(after.domids, before.domids);
    assert.deepEqual([...after.domids], ['1']);
    // Its image is not locked, its network is there, its terminal is one that is open.
    assert.match(await guest.run('head -c 5 /dev/xvda; ls -d /sys/class/net/eth0'), /^kept\n/);
    if (after.tty.startsWith('/dev/')) assert(existsSync(after.tty), after.tty);
    assert.deepEqual([...(await machine.vcpuThreads()).keys()], ['d1v0']);
  });

  it('shuts down when the daemon stops, which says so, and leaves nothing but logs', async () => {
    const { out, code } = await machine.daemon(`--stop=${patience / 1000}`);
    assert.equal(code, 0);
    assert.equal(out, 'shutting down auto (domain 1)\n');
    await guest.ended;
    assert.match(guest.text, /reboot: Power down|System halted|Power off/);
    assert.match(machine.log('xl-auto.log'), /Action for shutdown reason code 0 is restart[^]*Done\. Exiting now\n$/);
    await eventually(() => {
      const left = machine.files().filter((file) => !file.startsWith('log'));
      assert.deepEqual(left, ['xenstored'], 'no sockets, no images');
    });
    delete machine.env['XENOLITH_AUTO_DIR'];
    assert.deepEqual(
      (await machine.list()).map(({ name }) => name),
      ['Domain-0'],
    );
  });
});

/** Also when nobody has asked for its exit code, as in containers whose first process adopts and forgets. */
function hasEnded(pid: number): boolean {
  try {
    return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/.*\)/s, ''));
  } catch {
    return true;
  }
}
