import { PLAIN_CONSOLE } from '../../src/toolstack/guest-files/guest-files.ts';
import { PATIENCE_MS } from '../guest/guest-shell.ts';
import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import { makeDiskImage } from './disk-image.ts';
import type { Equipment, Machine, Peer } from './peer.ts';
import { startSerialMachine } from './serial-machine.ts';
import { xenDevices } from './xen-devices.ts';
import { createCommand, dom0Files } from './xen-dom0.ts';

const DOM0_MIB = 1024;
/** Xen's own, beside domain 0 and the guests. */
const XEN_MIB = 512;

/** What QEMU's machine has for domain 0: the disk, which it passes on as it is. */
function hardware(equipment: Equipment): { readonly args: readonly string[]; release(): void } {
  if (equipment !== 'disk') return { args: [], release: () => undefined };
  const image = makeDiskImage();
  return {
    args: [
      ...['-object', 'iothread,id=disks'],
      ...['-drive', `if=none,id=disk,format=raw,cache=writeback,file=${image.path}`],
      ...['-device', 'virtio-blk-pci,drive=disk,iothread=disks'],
    ],
    release: () => image.remove(),
  };
}

export const xen: Peer = {
  name: 'xen',
  title: 'Xen on QEMU TCG',
  about:
    'real Xen 4.17 of Debian on the pc board of QEMU TCG: a PV domain made by its xl, the same kernel and ramdisk. Slow to come up',
  equipment: ['bare', 'disk', 'network'],
  async start(note, equipment) {
    const guest = await guestImage('amd64', note);
    const devices = xenDevices[equipment];
    const { hypervisor, kernel, ramdisk } = await dom0Files(guest, MEMORY_MIB, devices, note);
    const { args, release } = hardware(equipment);
    let machine: Machine | undefined;
    const stop = async (): Promise<void> => {
      await machine?.stop();
      release();
    };
    try {
      machine = await startSerialMachine({
        program: 'qemu-system-x86_64',
        hint: 'apt-get install qemu-system-x86',
        create: createCommand(devices),
        devices: devices.variables,
        args: [
          // This Xen does not come up with SMAP and SMEP under TCG.
          ...['-M', 'pc', '-accel', 'tcg', '-cpu', 'max,-smap,-smep', '-smp', '1'],
          ...['-m', `${DOM0_MIB + MEMORY_MIB * devices.guests.length + XEN_MIB}`],
          ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
          ...args,
          ...[
            '-kernel',
            hypervisor,
            '-append',
            `dom0_mem=${DOM0_MIB}M,max:${DOM0_MIB}M com1=115200,8n1 console=com1 noreboot`,
          ],
          ...['-initrd', `${kernel} console=hvc0 ${PLAIN_CONSOLE},${ramdisk}`],
        ],
      });
      // The second guest comes up beside this one.
      if (devices.guests.length > 1) await machine.run('$B/tcp-pair echo $G 1', PATIENCE_MS);
      return { ...machine, stop };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};
