import { PORT_OF_GUEST } from '../comparison/device-workloads.ts';
import { deviceWords, type GuestDevices } from '../comparison/guest-devices.ts';
import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import { Xenolith } from '../guest/xenolith.ts';
import { makeDiskImage } from './disk-image.ts';
import { GATEWAY, LOOPBACK, startHostEnd } from './host-end.ts';
import type { Equipment, Peer } from './peer.ts';
import { guard } from './processes.ts';
import { withShare } from './processor-share.ts';
import { guestVariables, type DeviceVariables } from './serial-machine.ts';

interface Devices {
  readonly disk?: readonly string[];
  readonly vif?: readonly string[];
  readonly network?: string;
  readonly variables: DeviceVariables;
  /** Of the guest that is measured, and of those beside it. */
  readonly guests: readonly [GuestDevices, ...GuestDevices[]];
  release(): Promise<void>;
}

const ADDRESS = '10.0.2.15';
const OTHER = '10.0.2.16';

const devicesOf: Readonly<Record<Equipment, () => Promise<Devices>>> = {
  bare: () => Promise.resolve({ variables: {}, guests: [{}], release: () => Promise.resolve() }),
  disk: () => {
    const image = makeDiskImage();
    return Promise.resolve({
      disk: [`${image.path},raw,xvda,w`],
      variables: { D: '/dev/xvda' },
      guests: [{}],
      release: () => Promise.resolve(image.remove()),
    });
  },
  network: async () => {
    const { port, forwarded, end } = await startHostEnd();
    return {
      vif: ['bridge=xenbr0'],
      network: `bridge = [ "name=xenbr0, allow_host=1" ]\nforward = [ "${forwarded} ${ADDRESS}:${PORT_OF_GUEST}" ]\n`,
      variables: { H: `${GATEWAY} ${port}`, F: `${LOOPBACK} ${forwarded}`, G: `${OTHER} ${PORT_OF_GUEST}` },
      guests: [{ addresses: [ADDRESS] }, { addresses: [OTHER], serves: true }],
      release: end,
    };
  },
};

export const xenolith: Peer = {
  name: 'xenolith',
  title: 'Xenolith',
  about: 'this: a PV domain made by xl create, under a daemon of its own',
  equipment: ['bare', 'disk', 'network'],
  async start(note, equipment) {
    const files = await guestImage('amd64', note);
    const { variables, guests, release, ...devices } = await devicesOf[equipment]();
    const stops = [release];
    const stop = async (): Promise<void> => {
      for (const one of stops.splice(0).reverse()) await one();
    };
    try {
      const daemon = await Xenolith.start(note, { files, memory: MEMORY_MIB, ...devices });
      stops.push(() => daemon.close());
      const unguard = guard(daemon.pid);
      stops.unshift(() => Promise.resolve(unguard()));
      const [first, ...others] = guests;
      const guest = await daemon.create(deviceWords(first));
      const init = await guest.init();
      await guest.shell();
      for (const other of others) await (await daemon.create(deviceWords(other))).shell();
      await guest.run(guestVariables(variables));
      return {
        init,
        run: (command, patienceMs) => withShare(daemon.pid, () => guest.timed(command, patienceMs)),
        stop,
      };
    } catch (error) {
      await stop().catch(() => undefined);
      throw error;
    }
  },
};
