import { join } from 'node:path';
import { PLAIN_CONSOLE } from '../../src/toolstack/guest-files/guest-files.ts';
import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import { packageFolder } from './debian-package.ts';
import type { Peer } from './peer.ts';
import { startSerialMachine } from './serial-machine.ts';

/** The package from npm comes without them; its authors use SeaBIOS too. */
const BIOS = 'usr/share/seabios/bios.bin';
const VGA_BIOS = 'usr/share/seabios/vgabios-stdvga.bin';

export const v86: Peer = {
  name: 'v86',
  title: 'v86',
  about: 'v86 under the same Node, with the i386 twin of kernel, busybox and programs',
  equipment: ['bare'],
  async start(note) {
    const { kernel, ramdisk } = await guestImage('i386', note);
    const bios = await packageFolder({ package: 'seabios', wanted: new RegExp(`^(${BIOS}|${VGA_BIOS})$`) }, note);
    return startSerialMachine({
      program: process.execPath,
      hint: '',
      args: [
        join(import.meta.dirname, 'v86-process.ts'),
        ...[`${MEMORY_MIB}`, join(bios, BIOS), join(bios, VGA_BIOS), kernel, ramdisk],
        `console=ttyS0 ${PLAIN_CONSOLE}`,
      ],
    });
  },
};
