/**
 * Disks and interfaces of guests of real Xen, for each equipment: what xl's configuration says of them, and what domain 0 does for them. The host's end of a network
 * is domain 0, as what lies beyond it is QEMU's network and not Xen's.
 */
import { PORT_OF_GUEST } from '../comparison/device-workloads.ts';
import { deviceWords, type GuestDevices } from '../comparison/guest-devices.ts';
import { GATEWAY } from './host-end.ts';
import type { Equipment } from './peer.ts';
import type { DeviceVariables } from './serial-machine.ts';

export interface XenGuest {
  /** Lines of xl.cfg. */
  readonly config: readonly string[];
  readonly devices: GuestDevices;
}

export interface XenDevices {
  readonly variables: DeviceVariables;
  /** The guest that is measured, and those that are made before it. */
  readonly guests: readonly [XenGuest, ...XenGuest[]];
  /** Modules of domain 0's kernel, in the order in which they need each other. */
  readonly drivers: readonly string[];
  /** Lines of domain 0's start. */
  readonly start: readonly string[];
}

const ADDRESS = '10.0.2.15';
const OTHER = '10.0.2.16';
const BRIDGE = 'xenbr0';

const bare: XenDevices = { variables: {}, guests: [{ config: [], devices: {} }], drivers: [], start: [] };

export const xenDevices: Readonly<Record<Equipment, XenDevices>> = {
  bare,
  disk: {
    variables: { D: '/dev/xvda' },
    guests: [{ config: ['disk = [ "phy:/dev/vda,xvda,w" ]'], devices: {} }],
    drivers: [
      ...['virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_blk'],
      'xen-blkback',
    ],
    start: [],
  },
  network: {
    variables: {
      H: `${GATEWAY} ${PORT_OF_GUEST}`,
      F: `${ADDRESS} ${PORT_OF_GUEST}`,
      G: `${OTHER} ${PORT_OF_GUEST}`,
    },
    guests: [
      { config: [`vif = [ "bridge=${BRIDGE}" ]`], devices: { addresses: [ADDRESS] } },
      { config: [`vif = [ "bridge=${BRIDGE}" ]`], devices: { addresses: [OTHER], serves: true } },
    ],
    drivers: ['llc', 'stp', 'bridge', 'xen-netback'],
    start: [
      `brctl addbr ${BRIDGE}`,
      `ifconfig ${BRIDGE} ${GATEWAY} netmask 255.255.255.0 up`,
      `/bench/tcp-pair serve ${PORT_OF_GUEST} >/dev/null 2>&1 </dev/null &`,
    ],
  },
};

/** Of every equipment. */
export const xenDrivers: readonly string[] = Object.values(xenDevices).flatMap(({ drivers }) => drivers);

export const guestWords = ({ devices }: XenGuest): string => deviceWords(devices);

/**
 * What xl calls for each device, by the names that it has for them. Xen's own want bash, udev's tools and a lock for each device; what a backend waits for is
 * in docs/misc/block-scripts.txt and, of networks, that hotplug-status says that it is connected.
 */
export const hotplugScripts: Readonly<Record<string, string>> = {
  'etc/xen/scripts/block': `#!/bin/sh
[ "$1" = add ] || exit 0
device=$(xenstore read "$XENBUS_PATH/params")
xenstore write "$XENBUS_PATH/physical-device" "$(stat -L -c %t:%T "$device")"
xenstore write "$XENBUS_PATH/hotplug-status" connected
`,
  'etc/xen/scripts/vif-bridge': `#!/bin/sh
[ "$1" = online ] || exit 0
brctl addif "$(xenstore read "$XENBUS_PATH/bridge")" "$vif"
ifconfig "$vif" up
xenstore write "$XENBUS_PATH/hotplug-status" connected
`,
};
