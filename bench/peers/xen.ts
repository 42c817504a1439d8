import { PLAIN_CONSOLE } from '../../src/toolstack/guest-files/guest-files.ts';
import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import type { Peer } from './peer.ts';
import { startSerialMachine } from './serial-machine.ts';
import { CREATE, dom0Files } from './xen-dom0.ts';

const DOM0_MIB = 1024;
/** Xen's own, beside domain 0 and the guest. */
const XEN_MIB = 512;

export const xen: Peer = {
  name: 'xen',
  title: 'Xen on QEMU TCG',
  about:
    'real Xen 4.17 of Debian on the pc board of QEMU TCG: a PV domain made by its xl, the same kernel and ramdisk. Slow to come up',
  equipment: ['bare'],
  async start(note) {
    const guest = await guestImage('amd64', note);
    const { hypervisor, kernel, ramdisk } = await dom0Files(guest, MEMORY_MIB, note);
    return startSerialMachine({
      program: 'qemu-system-x86_64',
      hint: 'apt-get install qemu-system-x86',
      create: CREATE,
      args: [
        // This Xen does not come up with SMAP and SMEP under TCG.
        ...['-M', 'pc', '-accel', 'tcg', '-cpu', 'max,-smap,-smep', '-smp', '1'],
        ...['-m', `${DOM0_MIB + MEMORY_MIB + XEN_MIB}`],
        ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
        ...[
          '-kernel',
          hypervisor,
          '-append',
          `dom0_mem=${DOM0_MIB}M,max:${DOM0_MIB}M com1=115200,8n1 console=com1 noreboot`,
        ],
        ...['-initrd', `${kernel} console=hvc0 ${PLAIN_CONSOLE},${ramdisk}`],
      ],
    });
  },
};
