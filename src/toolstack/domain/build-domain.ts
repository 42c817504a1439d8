/** The second step of creation, in libxl's order: image built → what the kernel needs in xenstore → introduced → console → devices. */
import type { BootloaderFiles } from '../bootloader/service.ts';
import { addChannels } from '../devices/channels.ts';
import { addDisks } from '../devices/disks.ts';
import { addNics } from '../devices/nics.ts';
import type { DeviceGlue } from '../devices/split-device.ts';
import { defaultMemoryKiB, maxVcpus } from './make-domain.ts';
import type { CreateOptions, ManagedDomain } from './managed-domain.ts';
import type { BuiltRings, DomainServices } from './services.ts';
import * as tree from './xenstore-tree.ts';

/** From an empty domain to one that can run: its memory, what its kernel needs in xenstore, its console and its devices. Throws XenError. */
export async function buildDomain(
  services: DomainServices,
  devices: DeviceGlue,
  domain: ManagedDomain,
  { log, restore }: CreateOptions,
): Promise<void> {
  const { domid, control, config } = domain;
  const { b_info } = config;
  const targetMemKiB = b_info.target_memkb ?? defaultMemoryKiB;
  // A domain that is restored has its kernel in its memory.
  const files =
    restore === undefined
      ? await filesOf(services, domain)
      : { ...b_info, kernel: b_info.kernel ?? '', remove: () => undefined };
  const { kernel, ramdisk, cmdline } = files;
  let rings: BuiltRings;
  try {
    const request = { kernel, ramdisk, cmdline: cmdline ?? '', memoryKiB: targetMemKiB, log };
    rings = await (restore === undefined ? services.build(control, request) : restore(control));
  } finally {
    files.remove();
  }
  if (domain.destruction !== undefined) throw new Error('destroyed while it was built');
  if (restore !== undefined) domain.resting = rings;
  tree.writeBuilt(devices.xs, domain, {
    maxMemKiB: Math.max(b_info.max_memkb ?? targetMemKiB, targetMemKiB),
    targetMemKiB,
    videoRamKiB: b_info.video_memkb ?? 0,
    storeMfn: rings.storeMfn,
    storePort: rings.storePort,
    maxVcpus: maxVcpus(config),
    availableVcpus: b_info.avail_vcpus ?? [0],
    kernel,
    ramdisk,
    cmdline,
    startTime: domain.startTime,
  });
  services.store.introduceDomain(domid, rings.storeMfn, rings.storePort);
  tree.writeConsole(devices.xs, domid, rings.consolePort, rings.consoleMfn);
  services.consoles.serve(domid);
  await addChannels(devices, domid, config.devices.channels ?? []);
  await addDisks(devices, domid, config.devices.disks ?? []);
  await addNics(devices, domid, config.devices.nics ?? []);
}

/** What to boot: from this host, or, with a bootloader, from the domain's first disk. */
async function filesOf(
  { bootloader: service }: DomainServices,
  { domid, config }: ManagedDomain,
): Promise<BootloaderFiles> {
  const { kernel, ramdisk, cmdline, bootloader, bootloader_args: args } = config.b_info;
  if (bootloader === undefined) return { kernel: kernel ?? '', ramdisk, cmdline, remove: () => undefined };
  const disk = config.devices.disks?.[0];
  return service({ domid, bootloader, args: args ?? [], kernel, ramdisk, cmdline, disk });
}
