import { PLAIN_CONSOLE } from '../../src/toolstack/guest-files/guest-files.ts';
import { deviceWords } from '../comparison/guest-devices.ts';
import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import type { Machine, Peer } from './peer.ts';
import { qemuDevices, type QemuGuest } from './qemu-devices.ts';
import { startSerialMachine } from './serial-machine.ts';

/** The processor that QEMU has by default: with `max` the kernel finds more to use, SMAP among it, and page faults and context switches take twice as long. */
const PROCESSOR = ['-cpu', 'qemu64', '-smp', '1', '-m', `${MEMORY_MIB}`, '-accel', 'tcg'];
/** Of a busy host the timer's check may ask too much; a kernel that cannot go on ends QEMU. */
const WORDS = 'no_timer_check panic=-1';
const PLAIN = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'];

export const qemu: Peer = {
  name: 'qemu',
  title: 'QEMU TCG',
  about:
    'qemu-system-x86_64 -accel tcg, one vCPU, the same kernel and ramdisk; microvm board, or q35 with virtio devices',
  equipment: ['bare', 'disk', 'network'],
  async start(note, equipment) {
    const { kernel, ramdisk } = await guestImage('amd64', note);
    const { variables, guests, release } = await qemuDevices[equipment]();
    const boot = ({ args, devices }: QemuGuest): Promise<Machine> =>
      startSerialMachine({
        program: 'qemu-system-x86_64',
        hint: 'apt-get install qemu-system-x86',
        devices: variables,
        args: [
          ...args,
          ...PROCESSOR,
          ...PLAIN,
          ...['-kernel', kernel, '-initrd', ramdisk],
          ...['-append', `console=ttyS0 ${PLAIN_CONSOLE} ${WORDS} ${deviceWords(devices)}`],
        ],
      });
    const machines: Machine[] = [];
    const stop = async (): Promise<void> => {
      await Promise.all(machines.splice(0).map((machine) => machine.stop()));
      await release();
    };
    try {
      const [first, ...others] = guests;
      const machine = await boot(first);
      machines.push(machine);
      for (const other of others) machines.push(await boot(other));
      return { ...machine, stop };
    } catch (error) {
      await stop().catch(() => undefined);
      throw error;
    }
  },
};
