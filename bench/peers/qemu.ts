import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import { PLAIN_CONSOLE } from '../../src/toolstack/guest-files/guest-files.ts';
import type { Peer } from './peer.ts';
import { startSerialMachine } from './serial-machine.ts';

/**
 * The board without ACPI: with it this kernel finds no timer, as what microvm offers instead is KVM's own clock. The processor that QEMU has by default:
 * with `max` the kernel finds more to use, SMAP among it, and page faults and context switches take twice as long.
 */
const BOARD = ['-M', 'microvm,acpi=off', '-cpu', 'qemu64', '-smp', '1', '-m', `${MEMORY_MIB}`];
const PLAIN = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'];

export const qemu: Peer = {
  name: 'qemu',
  title: 'QEMU TCG',
  about: 'qemu-system-x86_64 -accel tcg, microvm board, one vCPU, the same kernel and ramdisk',
  async start(note) {
    const { kernel, ramdisk } = await guestImage('amd64', note);
    return startSerialMachine({
      program: 'qemu-system-x86_64',
      hint: 'apt-get install qemu-system-x86',
      args: [
        ...BOARD,
        ...['-accel', 'tcg'],
        ...PLAIN,
        ...['-kernel', kernel, '-initrd', ramdisk, '-append', `console=ttyS0 ${PLAIN_CONSOLE}`],
      ],
    });
  },
};
