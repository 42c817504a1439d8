import { PATIENCE_MS } from '../guest/guest-shell.ts';
import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import { makeDiskImage } from './disk-image.ts';
import type { Machine, Peer } from './peer.ts';
import { xenDevices } from './xen-devices.ts';
import { createCommand, dom0Files } from './xen-dom0.ts';
import { startXenMachine } from './xen-machine.ts';

export const xen: Peer = {
  name: 'xen',
  title: 'Xen on QEMU TCG',
  about:
    'real Xen 4.17 of Debian on the pc board of QEMU TCG: a PV domain made by its xl, the same kernel and ramdisk. Slow to come up',
  equipment: ['bare', 'disk', 'network'],
  async start(note, equipment) {
    const guest = await guestImage('amd64', note);
    const devices = xenDevices[equipment];
    const dom0 = await dom0Files(guest, MEMORY_MIB, devices, note);
    // What QEMU's machine has for domain 0, which passes it on as it is.
    const image = equipment === 'disk' ? makeDiskImage() : undefined;
    let machine: Machine | undefined;
    const stop = async (): Promise<void> => {
      await machine?.stop();
      image?.remove();
    };
    try {
      machine = await startXenMachine({
        dom0,
        guestsMib: MEMORY_MIB * devices.guests.length,
        create: createCommand(devices),
        devices: devices.variables,
        ...(image && { disk: image.path }),
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
