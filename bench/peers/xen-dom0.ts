/**
 * A domain 0 for real Xen that is nothing but a ramdisk: Debian's kernel, busybox, and of Debian's Xen packages the store, the console daemon and xl,
 * with the libraries that they are linked with. It has few guests to start, whose devices are known, so no udev, no Python and hot-plug scripts of a few lines.
 */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Cache } from '../../src/toolstack/guest-files/cache.ts';
import { cpioArchive, type CpioEntry } from '../../src/toolstack/guest-files/cpio.ts';
import { guestFiles, PLAIN_CONSOLE, type GuestFiles } from '../../src/toolstack/guest-files/guest-files.ts';
import { gunzipMember } from '../../src/toolstack/builder/compression/gzip.ts';
import { DRIVERS, driverFiles } from '../comparison/guest-devices.ts';
import { PROGRAMS } from '../comparison/guest-image.ts';
import { builtPrograms } from '../comparison/programs.ts';
import { noteSteps } from '../guest/note-steps.ts';
import { packageEntries, packageFolder } from './debian-package.ts';
import type { Note } from './peer.ts';
import { guestWords, hotplugScripts, xenDrivers, type XenDevices, type XenGuest } from './xen-devices.ts';

const HYPERVISOR = 'boot/xen-4.17-amd64.gz';
const MAX_HYPERVISOR = 64 << 20;

const library = /^(usr\/)?lib\/x86_64-linux-gnu\/[^/]+\.so[^/]*$/;
const libraries: readonly string[] = [
  'libxencall1',
  'libxendevicemodel1',
  'libxenevtchn1',
  'libxenforeignmemory1',
  'libxengnttab1',
  'libxenhypfs1',
  'libxenmisc4.17',
  'libxenstore4',
  'libxentoolcore1',
  'libxentoollog1',
  'libyajl2',
  'liblzma5',
  'libuuid1',
  'libzstd1',
  'zlib1g',
];
const packages = [
  ...libraries.map((name) => ({ package: name, wanted: library })),
  {
    package: 'libc6',
    wanted:
      /^(lib64\/ld-linux-x86-64\.so\.2|lib\/x86_64-linux-gnu\/(ld-linux-x86-64|libc|libm|libdl|libpthread|librt)\.so\.\d+)$/,
  },
  {
    package: 'xen-utils-4.17',
    wanted: /^usr\/lib\/xen-4\.17\/bin\/(xl|xenconsole|xenconsoled|oxenstored|xen-init-dom0|libxl-save-helper)$/,
  },
  // For the threads of xl's helper, which want it when they end.
  { package: 'libgcc-s1', wanted: /^(usr\/)?lib\/x86_64-linux-gnu\/libgcc_s\.so\.1$/ },
  { package: 'xen-utils-common', wanted: /^etc\/xen\/(oxenstored|xl)\.conf$/ },
  { package: 'xenstore-utils', wanted: /^usr\/bin\/xenstore$/ },
];

const FOLDER = 'guest';
/** Number 0 is the guest that is measured. */
const configOf = (index: number): string => `${FOLDER}/guest${index}.cfg`;

/** For the shell of domain 0: makes the guests, and is the first one's console from then on. */
export function createCommand({ guests }: XenDevices): string {
  const others = guests.map((_, index) => `xl create -q /${configOf(index)}`).slice(1);
  return [...others, `xl create -c /${configOf(0)}`].join('; ');
}

/** The ramdisk's /init runs it before there is a shell. */
const startOf = ({ drivers, start }: XenDevices): string => `#!/bin/sh
for module in xen-gntdev xen-gntalloc; do modprobe -q $module; done
ln -s /run /run/lock /var
mkdir -p /run/lock /run/xen /run/xenstored /var/lib/xen /var/log/xen
ln -s /proc/self/fd /dev/fd
for tool in /usr/lib/xen-4.17/bin/*; do ln -s $tool /usr/bin; done
${[...drivers.map((driver) => `insmod ${DRIVERS}/${driver}.ko`), ...start].join('\n')}
oxenstored
xenconsoled
xen-init-dom0
`;

function configText(guest: XenGuest, index: number, memory: number): string {
  return [
    `name = "guest${index}"`,
    'type = "pv"',
    `kernel = "/${FOLDER}/vmlinuz"`,
    `ramdisk = "/${FOLDER}/initramfs.cpio"`,
    `memory = ${memory}`,
    `extra = "console=hvc0 ${PLAIN_CONSOLE} ${guestWords(guest)}"`,
    'on_crash = "destroy"',
    ...guest.config,
    '',
  ].join('\n');
}

export interface Dom0Files {
  /** A multiboot kernel. */
  readonly hypervisor: string;
  readonly kernel: string;
  readonly ramdisk: string;
}

export async function dom0Files(
  guest: GuestFiles,
  memory: number,
  devices: XenDevices,
  note: Note,
): Promise<Dom0Files> {
  const cache = new Cache();
  const base = await guestFiles({ package: 'linux-image-amd64', onProgress: noteSteps(note) });
  const hypervisorFolder = await packageFolder(
    { package: 'xen-hypervisor-4.17-amd64', wanted: new RegExp(`^${HYPERVISOR}$`) },
    note,
  );
  const tools: CpioEntry[] = [];
  for (const files of packages) tools.push(...(await packageEntries(files, note)));
  const file = (path: string, content: Uint8Array | string): CpioEntry => ({
    path,
    kind: { type: 'file', content: typeof content === 'string' ? Buffer.from(content) : content, executable: true },
  });
  const drivers = await driverFiles(base.release, xenDrivers, note);
  const programs = await builtPrograms('amd64', undefined, join(import.meta.dirname, '../network/programs'));
  const archive = cpioArchive([
    ...tools,
    file('etc/rc.local', startOf(devices)),
    ...Object.entries(hotplugScripts).map(([path, content]) => file(path, content)),
    ...Object.entries(drivers).map(([path, { content }]) => file(path.slice(1), content)),
    file(`${PROGRAMS.slice(1)}/tcp-pair`, await readFile(join(programs, 'tcp-pair'))),
    ...devices.guests.map((one, index) => file(configOf(index), configText(one, index, memory))),
    file(`${FOLDER}/vmlinuz`, await readFile(guest.kernel)),
    file(`${FOLDER}/initramfs.cpio`, await readFile(guest.ramdisk)),
  ]);
  const digest = createHash('sha256').update(base.ramdisk).update(archive).digest('hex').slice(0, 32);
  const { folder } = await cache.get(`bench-dom0/v1/${digest}`, async (draft) => {
    note('building the ramdisk of domain 0');
    // The kernel unpacks one archive after the other.
    await writeFile(join(draft, 'initramfs.cpio'), Buffer.concat([await readFile(base.ramdisk), archive]));
    const packed = await readFile(join(hypervisorFolder, HYPERVISOR));
    await writeFile(join(draft, 'xen'), gunzipMember(packed, MAX_HYPERVISOR).plain);
    return {};
  });
  return { hypervisor: join(folder, 'xen'), kernel: base.kernel, ramdisk: join(folder, 'initramfs.cpio') };
}
