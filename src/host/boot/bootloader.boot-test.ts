/** A domain whose kernel is in its own disk: an ext4 file system with a grub.cfg, a kernel and a ramdisk. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { Machine, until } from '../testing/machine.ts';

const grubCfg = `set default="1>old"
menuentry 'No such kernel' {
  linux /boot/nothing
}
submenu 'Older' {
  menuentry 'Old' --id old {
    linux /boot/vmlinuz console=hvc0 ${PLAIN_CONSOLE} from.the=menu
    initrd /boot/initrd.img
  }
}
`;

describe('a domain with a bootloader', () => {
  const machine = new Machine();
  after(() => machine.close());
  const image = machine.path('disk.img');

  it('boots the kernel of its disk, with no kernel in its configuration', async () => {
    const { kernel, ramdisk, release } = await guestFiles();
    const boot = machine.path('root/boot');
    mkdirSync(`${boot}/grub`, { recursive: true });
    cpSync(kernel, `${boot}/vmlinuz`);
    cpSync(ramdisk, `${boot}/initrd.img`);
    writeFileSync(`${boot}/grub/grub.cfg`, grubCfg);
    const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', machine.path('root'), image, '128M'], { env });

    const guest = await machine.boot({
      name: 'own',
      memory: 192,
      disk: [`${image},raw,xvda,r`],
      extra: 'from.the=host',
    });
    await guest.ready();
    assert.equal(await guest.run('uname -r'), release);
    assert.match(await guest.run('cat /proc/cmdline'), /from\.the=menu from\.the=host/);
    guest.type('poweroff\n');
    await until('the guest to be gone', async () => (await machine.state('own')) === undefined);
  });

  it('says why there is nothing to boot', async () => {
    const config = machine.config({
      name: 'none',
      memory: 64,
      disk: [`${image},raw,xvda,r`],
      bootloader_args: ['--kernel=/x'],
    });
    const { code, err } = await machine.xl('create', config);
    assert.equal(code, 3);
    assert.match(err, /bootloader_finished: Domain \d+:bootloader failed - consult logfile /);
    assert.match(err, /hint: the kernel \/x is not in the guest's disk/);
    assert.deepEqual(
      machine.files().filter((file) => /bootloader\.\d+\.d/.test(file)),
      [],
    );
  });
});
