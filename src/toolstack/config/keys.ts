/**
 * Every key that xl.cfg(5) of 4.17 documents or xl reads, and what comes of it here. One table, so that a key is never silently
 * without effect: what is read but not acted on yet is said once, and so is a key that nobody knows.
 */
import type { Settings } from './settings.ts';

/** `full`: acted on. `later`: read, checked and kept, without effect yet. `none`: has no effect by its nature, here or for this type. */
export type KeySupport = 'full' | 'later' | 'none';

const keysBySupport = {
  full: [
    'name uuid type builder kernel ramdisk cmdline root extra memory maxmem vcpus maxvcpus',
    'disk vif channel on_poweroff on_reboot on_watchdog on_crash on_soft_reset',
    'bootloader bootloader_args max_event_channels max_grant_frames max_grant_version pool',
    'cpus cpu_weight cap',
  ],
  later: [
    'vfb vkb vtpm p9 pvcalls vdispl vsnd usbctrl usbdev pci dtdev rdm ioports irqs iomem',
    'cpus_soft period slice latency extratime vnuma cpuid tsc_mode e820_host',
    'init_seclabel seclabel max_maptrack_frames passthrough driver_domain firmware vnc sdl',
    'hap oos shadow_memory acpi apic nestedhvm timer_mode device_tree pvshim pvshim_path pvshim_cmdline pvshim_extra',
    'bios bios_path_override firmware_override boot hdtype nx pae hpet vpt_align acpi_s3 acpi_s4 acpi_laptop_slate viridian',
    'mmio_hole altp2m altp2mhvm smbios_firmware acpi_firmware ms_vm_genid rdm_mem_boundary mca_caps stdvga vga videoram',
    'spice spiceport spicetls_port spicehost spicedisable_ticketing spicepasswd spiceagent_mouse spicevdagent',
    'spice_clipboard_sharing spiceusbredirection spice_image_compression spice_streaming_video nographic gfx_passthru serial',
    'usb usbversion usbdevice vkb_device soundhw xen_platform_pci vendor_device rtc_timeoffset localtime vmtrace_buf_kb vpmu',
    'device_model_override device_model_version device_model_stubdomain_override device_model_stubdomain_seclabel',
    'device_model_user device_model_args device_model_args_pv device_model_args_hvm dm_restrict',
    'stubdomain_memory stubdomain_kernel stubdomain_cmdline stubdomain_ramdisk msr_relaxed',
  ],
  none: [
    // Belongs to `vnc` or `sdl`, or to the way devices are handed over, and is spoken of there.
    'vnclisten vncpasswd vncdisplay vncunused keymap opengl display xauthority',
    'pci_msitranslate pci_power_mgmt pci_permissive pci_seize',
    // Of other architectures, or gone; xl warns of some itself.
    'gic_version vuart tee device_model vncviewer vif2 nomigrate xend_suspend_evtchn_compat',
  ],
} as const satisfies Readonly<Record<KeySupport, readonly string[]>>;

export const configKeys: ReadonlyMap<string, KeySupport> = new Map(
  Object.entries(keysBySupport).flatMap(([support, lines]) =>
    lines.flatMap((line) => line.split(' ').map((key) => [key, support as KeySupport] as const)),
  ),
);

/** What to tell the user about the keys of a configuration that is about to be used. */
export function remarks(settings: Settings): readonly string[] {
  const lines: string[] = [];
  const later = settings.names().filter((name) => configKeys.get(name) === 'later' && !isEmpty(settings, name));
  if (later.length > 0) {
    const named = later.map((name) => `${name} (line ${settings.lineOf(name) ?? 0})`).join(', ');
    lines.push(`${settings.source}: warning: not supported yet and without effect: ${named}`);
  }
  for (const name of settings.names()) {
    if (configKeys.has(name)) continue;
    const like = closest(name);
    const hint = like === undefined ? '' : `; did you mean \`${like}'?`;
    lines.push(
      `${settings.source}:${settings.lineOf(name) ?? 0}: warning: unknown parameter \`${name}' is ignored${hint}`,
    );
  }
  return lines;
}

/** An empty list, an empty string and 0 ask for nothing. */
function isEmpty(settings: Settings, name: string): boolean {
  if (settings.isList(name)) return settings.list(name)?.length === 0;
  return ['', '0'].includes(settings.string(name) ?? '');
}

/** The key that most likely was meant: at most two letters differ. */
function closest(name: string): string | undefined {
  const near = [...configKeys.keys()].map((key) => ({ key, distance: editDistance(name, key) }));
  const best = near.reduce((least, candidate) => (candidate.distance < least.distance ? candidate : least));
  return best.distance <= Math.min(2, Math.floor(name.length / 3)) ? best.key : undefined;
}

/** Letters to insert, remove, replace or swap with their neighbour. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
