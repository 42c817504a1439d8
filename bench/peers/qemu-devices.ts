/** Boards and devices of QEMU's machines, for each equipment. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PORT_OF_GUEST } from '../comparison/device-workloads.ts';
import type { GuestDevices } from '../comparison/guest-devices.ts';
import { makeDiskImage } from './disk-image.ts';
import { GATEWAY, LOOPBACK, startHostEnd } from './host-end.ts';
import type { Equipment } from './peer.ts';
import type { DeviceVariables } from './serial-machine.ts';

/** Without ACPI: with it this kernel finds no timer, as what microvm offers instead is KVM's own clock. */
const BARE_BOARD = ['-M', 'microvm,acpi=off'];
/** Debian's kernel does not look for virtio devices that are named on its command line, as that microvm would. With PCI they interrupt by message, too. */
const PCI_BOARD = ['-M', 'q35'];

export interface QemuGuest {
  readonly args: readonly string[];
  readonly devices: GuestDevices;
}

export interface QemuDevices {
  readonly variables: DeviceVariables;
  /** The guest that is measured, and what runs beside it. */
  readonly guests: readonly [QemuGuest, ...QemuGuest[]];
  release(): Promise<void>;
}

const LINK = ['192.168.77.1', '192.168.77.2'] as const;

export const qemuDevices: Readonly<Record<Equipment, () => Promise<QemuDevices>>> = {
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
    const user = [
      '-netdev',
      `user,id=user,hostfwd=tcp:${LOOPBACK}:${forwarded}-:${PORT_OF_GUEST}`,
      '-device',
      'virtio-net-pci,netdev=user',
    ];
    return {
      variables: { H: `${GATEWAY} ${port}`, F: `${LOOPBACK} ${forwarded}`, G: `${LINK[1]} ${PORT_OF_GUEST}` },
      guests: [
        {
          args: [...PCI_BOARD, ...user, ...link(1)],
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
