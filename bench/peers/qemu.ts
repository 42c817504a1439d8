import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PLAIN_CONSOLE } from '../../src/toolstack/guest-files/guest-files.ts';
import { PORT_OF_GUEST } from '../comparison/device-workloads.ts';
import { deviceWords, type GuestDevices } from '../comparison/guest-devices.ts';
import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import { makeDiskImage } from './disk-image.ts';
import { GATEWAY, LOOPBACK, startHostEnd } from './host-end.ts';
import type { Equipment, Machine, Peer } from './peer.ts';
import { startSerialMachine, type DeviceVariables } from './serial-machine.ts';

/**
 * The board without ACPI: with it this kernel finds no timer, as what microvm offers instead is KVM's own clock. The processor that QEMU has by default:
 * with `max` the kernel finds more to use, SMAP among it, and page faults and context switches take twice as long.
 */
const BARE_BOARD = ['-M', 'microvm,acpi=off'];
/** Debian's kernel does not look for virtio devices that are named on its command line, as that microvm would. With PCI they interrupt by message, too. */
const PCI_BOARD = ['-M', 'q35'];
const PROCESSOR = ['-cpu', 'qemu64', '-smp', '1', '-m', `${MEMORY_MIB}`, '-accel', 'tcg'];
/** Of a busy host the timer's check may ask too much; a kernel that cannot go on ends QEMU. */
const WORDS = 'no_timer_check panic=-1';
const PLAIN = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'];

interface Guest {
  readonly args: readonly string[];
  readonly devices: GuestDevices;
}

interface Devices {
  readonly variables: DeviceVariables;
  /** The guest that is measured, and what runs beside it. */
  readonly guests: readonly [Guest, ...Guest[]];
  release(): Promise<void>;
}

const LINK = ['192.168.77.1', '192.168.77.2'] as const;

const devicesOf: Readonly<Record<Equipment, () => Promise<Devices>>> = {
  bare: () =>
    Promise.resolve({
      variables: {},
      guests: [{ args: BARE_BOARD, devices: {} }],
      release: () => Promise.resolve(),
    }),
  disk: () => {
    const image = makeDiskImage();
    return Promise.resolve({
      variables: { D: '/dev/vda' },
      guests: [
        {
          args: [
            ...PCI_BOARD,
            ...['-object', 'iothread,id=disks'],
            // QEMU's own default; a write is answered when the host's page cache has it, as here.
            ...['-drive', `if=none,id=disk,format=raw,cache=writeback,file=${image.path}`],
            ...['-device', 'virtio-blk-pci,drive=disk,iothread=disks'],
          ],
          devices: { virtio: true },
        },
      ],
      release: () => Promise.resolve(image.remove()),
    });
  },
  network: async () => {
    const { port, forwarded, end } = await startHostEnd();
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-link-'));
    const at = `addr.type=unix,addr.path=${join(folder, 'link')}`;
    // A stream: of datagrams some are lost, for which TCP has to wait. The first guest listens, and is up before the second one is started.
    const link = (number: 1 | 2): readonly string[] => [
      '-netdev',
      `stream,id=link,server=${number === 1 ? 'on' : 'off'},${at}`,
      '-device',
      `virtio-net-pci,netdev=link,mac=52:54:00:00:00:0${number}`,
    ];
    const user = (forward: string): readonly string[] => [
      '-netdev',
      `user,id=user${forward}`,
      '-device',
      'virtio-net-pci,netdev=user',
    ];
    return {
      variables: { H: `${GATEWAY} ${port}`, F: `${LOOPBACK} ${forwarded}`, G: `${LINK[1]} ${PORT_OF_GUEST}` },
      guests: [
        {
          args: [...PCI_BOARD, ...user(`,hostfwd=tcp:${LOOPBACK}:${forwarded}-:${PORT_OF_GUEST}`), ...link(1)],
          devices: { virtio: true, addresses: ['10.0.2.15', LINK[0]] },
        },
        {
          args: [...PCI_BOARD, ...link(2)],
          devices: { virtio: true, addresses: [LINK[1]], serves: true },
        },
      ],
      release: async () => {
        await end();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
};

export const qemu: Peer = {
  name: 'qemu',
  title: 'QEMU TCG',
  about:
    'qemu-system-x86_64 -accel tcg, one vCPU, the same kernel and ramdisk; microvm board, or q35 with virtio devices',
  equipment: ['bare', 'disk', 'network'],
  async start(note, equipment) {
    const { kernel, ramdisk } = await guestImage('amd64', note);
    const { variables, guests, release } = await devicesOf[equipment]();
    const boot = ({ args, devices }: Guest): Promise<Machine> =>
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
