/** Real Xen 4.17 on the pc board of QEMU TCG, with the domain 0 of xen-dom0.ts. */
import { PLAIN_CONSOLE } from '../../src/toolstack/guest-files/guest-files.ts';
import type { Machine } from './peer.ts';
import { startSerialMachine, type Emulator } from './serial-machine.ts';
import type { Dom0Files } from './xen-dom0.ts';

const DOM0_MIB = 1024;
/** Xen's own, beside domain 0 and the guests. */
const XEN_MIB = 512;

export interface XenMachine extends Pick<Emulator, 'create' | 'devices'> {
  readonly dom0: Dom0Files;
  /** Of all guests together. */
  readonly guestsMib: number;
  /** A raw image, as domain 0's /dev/vda. */
  readonly disk?: string;
}

export function startXenMachine({ dom0, guestsMib, disk, ...emulator }: XenMachine): Promise<Machine> {
  return startSerialMachine({
    program: 'qemu-system-x86_64',
    hint: 'apt-get install qemu-system-x86',
    ...emulator,
    args: [
      // This Xen does not come up with SMAP and SMEP under TCG.
      ...['-M', 'pc', '-accel', 'tcg', '-cpu', 'max,-smap,-smep', '-smp', '1'],
      ...['-m', `${DOM0_MIB + guestsMib + XEN_MIB}`],
      ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
      ...(disk === undefined ? [] : diskArguments(disk)),
      ...['-kernel', dom0.hypervisor],
      ...['-append', `dom0_mem=${DOM0_MIB}M,max:${DOM0_MIB}M com1=115200,8n1 console=com1 noreboot`],
      ...['-initrd', `${dom0.kernel} console=hvc0 ${PLAIN_CONSOLE},${dom0.ramdisk}`],
    ],
  });
}

const diskArguments = (path: string): readonly string[] => [
  ...['-object', 'iothread,id=disks'],
  ...['-drive', `if=none,id=disk,format=raw,cache=writeback,file=${path}`],
  ...['-device', 'virtio-blk-pci,drive=disk,iothread=disks'],
];
