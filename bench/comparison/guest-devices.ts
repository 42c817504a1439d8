/** How a guest of a comparison sets up its devices: by words on the kernel's command line, as a second guest has no shell that anyone talks to. */
import { packageEntries } from '../peers/debian-package.ts';
import type { Note } from '../peers/peer.ts';
import { PORT_OF_GUEST } from './device-workloads.ts';

/** In the order in which they need each other. Xen's drivers are in every ramdisk. */
export const virtioDrivers: readonly string[] = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_blk',
  'failover',
  'net_failover',
  'virtio_net',
];

export interface GuestDevices {
  /** Loads virtio's drivers. */
  readonly virtio?: boolean;
  /** Of eth0 and eth1, with 24 bits of network. */
  readonly addresses?: readonly string[];
  /** Serves the network's programs at PORT_OF_GUEST. */
  readonly serves?: boolean;
}

/** Words for the kernel's command line. */
export function deviceWords({ virtio = false, addresses = [], serves = false }: GuestDevices): string {
  return [
    ...(virtio ? ['bench.virtio'] : []),
    ...addresses.map((address, index) => `bench.eth${index}=${address}`),
    ...(serves ? ['bench.serve'] : []),
  ].join(' ');
}

type Files = Readonly<Record<string, { readonly content: Uint8Array; readonly executable: boolean }>>;

export const executable = (content: Uint8Array): Files[string] => ({ content, executable: true });

/** Where drivers are in a guest. */
export const DRIVERS = '/lib/bench-drivers';

/** Modules of Debian's kernel package of that release, all in one folder. */
export async function driverFiles(release: string, names: readonly string[], note: Note): Promise<Files> {
  const wanted = new RegExp(`^(usr/)?lib/modules/.*/(${names.join('|')})\\.ko$`);
  const entries = await packageEntries({ package: `linux-image-${release}`, wanted }, note);
  const files = entries.flatMap(({ path, kind }) =>
    kind.type === 'file' ? [[`${DRIVERS}/${path.replace(/.*\//, '')}`, executable(kind.content)] as const] : [],
  );
  return Object.fromEntries(files);
}

/** The ramdisk's /init runs it before there is a shell. */
export const startScript: Files = {
  '/etc/rc.local': executable(
    Buffer.from(`#!/bin/sh
for word in $(cat /proc/cmdline); do
  case $word in
    bench.virtio) for driver in ${virtioDrivers.join(' ')}; do insmod ${DRIVERS}/$driver.ko; done ;;
    bench.eth*=*)
      device=\${word%%=*}
      ifconfig \${device#bench.} \${word#*=} netmask 255.255.255.0 up ;;
    bench.serve) /bench/tcp-pair serve ${PORT_OF_GUEST} >/dev/null 2>&1 </dev/null & ;;
  esac
done
`),
  ),
};
