/** The keys that only an HVM domain reads (xl.cfg(5), "Fully-virtualised (HVM) Guest Specific Options"). */
import { ConfigError } from './config-error.ts';
import { sdlToJson, vncToJson, type Sdl, type Vnc } from './device-specs.ts';
import { defBool } from './domain-config.ts';
import { enumeration } from './enumeration.ts';
import type { JsonObject, JsonValue } from './json.ts';
import type { Settings } from './settings.ts';

const viridianEnlightenments = [
  'base',
  'freq',
  'time_ref_count',
  'reference_tsc',
  'hcall_remote_tlb_flush',
  'apic_assist',
  'crash_ctl',
  'synic',
  'stimer',
  'hcall_ipi',
  'ex_processor_masks',
  'no_vp_limit',
  'cpu_hotplug',
];

/** libxl's ERROR_FAIL as xl's exit code. */
const failed = 3;
const biosTypes = ['rombios', 'seabios', 'ovmf'];
const vgaKinds: Readonly<Record<string, string>> = { stdvga: 'std', cirrus: 'cirrus', none: 'none', qxl: 'qxl' };
/** The MMIO hole below 4 GiB: xen/include/public/hvm/e820.h. */
const mmioHole = { least: 0x10000000, most: 0xf0000000 };
const lmceCapability = 2;

const order = [
  'firmware',
  'bios',
  'pae',
  'acpi_s3',
  'acpi_s4',
  'acpi_laptop_slate',
  'nx',
  'viridian',
  'viridian_enable',
  'viridian_disable',
  'hpet',
  'vpt_align',
  'mmio_hole_memkb',
  'altp2m',
  'system_firmware',
  'smbios_firmware',
  'acpi_firmware',
  'hdtype',
  'nographic',
  'vga',
  'vnc',
  'keymap',
  'sdl',
  'spice',
  'gfx_passthru',
  'gfx_passthru_kind',
  'serial',
  'boot',
  'usb',
  'usbversion',
  'usbdevice',
  'vkb_device',
  'soundhw',
  'xen_platform_pci',
  'usbdevice_list',
  'vendor_device',
  'ms_vm_genid',
  'serial_list',
  'rdm',
  'rdm_mem_boundary_memkb',
  'mca_caps',
];

export type HvmMembers = Map<string, JsonValue | undefined>;

export function hvmToJson(members: HvmMembers): JsonObject {
  return Object.fromEntries(
    order.flatMap((name) => (members.get(name) === undefined ? [] : [[name, members.get(name)]])),
  );
}

/** What xl reads of these before the devices. */
export function readFirmware(settings: Settings, members: HvmMembers): void {
  const bool = (name: string): void => void members.set(name, defBool(settings.bool(name)));
  members.set('firmware', settings.string('firmware_override'));
  members.set('system_firmware', settings.string('bios_path_override'));
  const bios = settings.string('bios');
  if (bios !== undefined) members.set('bios', oneOf(biosTypes, bios, 'bios'));
  else if (settings.has('bios_path_override'))
    settings.report('WARNING: bios_path_override given without specific bios name');
  for (const name of ['pae', 'acpi_s3', 'acpi_s4', 'acpi_laptop_slate', 'nx', 'hpet', 'vpt_align']) bool(name);
  readViridian(settings, members);
  const hole = settings.long('mmio_hole');
  if (hole !== undefined) {
    const bytes = hole * 1024 * 1024;
    if (bytes < mmioHole.least || bytes > mmioHole.most)
      throw new ConfigError(`ERROR: invalid value ${hole} for "mmio_hole"`);
    members.set('mmio_hole_memkb', hole * 1024);
  }
  const altp2m = settings.bool('altp2mhvm');
  if (altp2m !== undefined) {
    members.set('altp2m', defBool(altp2m));
    settings.report('WARNING: Specifying "altp2mhvm" is deprecated. Please use "altp2m" instead.');
  }
  members.set('smbios_firmware', settings.string('smbios_firmware'));
  members.set('acpi_firmware', settings.string('acpi_firmware'));
  const genid = settings.string('ms_vm_genid');
  if (genid !== undefined && genid !== 'generate' && genid !== 'none') {
    throw new ConfigError('ERROR: "ms_vm_genid" option must be "generate" or "none"');
  }
  if (genid === 'generate') members.set('ms_vm_genid', [...globalThis.crypto.getRandomValues(new Uint8Array(16))]);
  const boundary = settings.long('rdm_mem_boundary');
  if (boundary !== undefined) members.set('rdm_mem_boundary_memkb', boundary * 1024);
  for (const capability of settings.strings('mca_caps', { quiet: true }) ?? []) {
    if (capability !== 'lmce') throw new ConfigError(`ERROR: unrecognized MCA capability '${capability}'.`, failed);
    members.set('mca_caps', lmceCapability);
  }
  const firmware = settings.string('firmware');
  if (firmware === undefined) return;
  const bundled = enumeration(biosTypes, firmware);
  if (bundled !== undefined) members.set('bios', bundled);
  else if ('uefi'.startsWith(firmware)) members.set('bios', 'ovmf');
  else if (!'bios'.startsWith(firmware)) members.set('firmware', firmware);
}

function readViridian(settings: Settings, members: HvmMembers): void {
  if (settings.has('viridian') && !settings.isList('viridian')) {
    members.set('viridian', defBool(settings.bool('viridian', { quiet: true })));
    return;
  }
  const words = settings.strings('viridian', { quiet: true });
  if (words === undefined || words.length === 0) return;
  const enabled = new Set<number>();
  const disabled = new Set<number>();
  for (const word of words) {
    if (word === 'all') {
      for (let bit = 0; bit < 16; bit++) enabled.add(bit);
    } else if (word === 'defaults') {
      members.set('viridian', 'True');
    } else {
      const name = word.replace(/^!/, '');
      const enlightenment = enumeration(viridianEnlightenments, name);
      const bit = enlightenment === undefined ? -1 : viridianEnlightenments.indexOf(enlightenment);
      if (bit < 0) throw new ConfigError(`xl: unknown viridian enlightenment '${name}'`, failed);
      const [set, clear] = name === word ? [enabled, disabled] : [disabled, enabled];
      set.add(bit);
      clear.delete(bit);
    }
  }
  const sorted = (set: Set<number>): number[] => [...set].sort((a, b) => a - b);
  members.set('viridian_enable', sorted(enabled));
  members.set('viridian_disable', sorted(disabled));
}

export function readVnc(settings: Settings): Vnc {
  return {
    enable: defBool(settings.bool('vnc')),
    listen: settings.string('vnclisten'),
    passwd: settings.string('vncpasswd'),
    display: settings.long('vncdisplay'),
    findunused: defBool(settings.bool('vncunused')),
  };
}

export function readSdl(settings: Settings): Sdl {
  return {
    enable: defBool(settings.bool('sdl')),
    opengl: defBool(settings.bool('opengl')),
    display: settings.string('display'),
    xauthority: settings.string('xauthority'),
  };
}

/** What xl reads of these after the devices. */
export function readDisplayAndPorts(settings: Settings, members: HvmMembers, vnc: Vnc, sdl: Sdl): void {
  const bool = (name: string): void => void members.set(name, defBool(settings.bool(name)));
  members.set('vnc', vncToJson(vnc));
  members.set('sdl', sdlToJson(sdl));
  members.set('vga', readVga(settings));
  const hdtype = settings.string('hdtype');
  if (hdtype !== undefined) {
    const type = oneOf(['ide', 'ahci'], hdtype, 'hdtype');
    if (type !== 'ide') members.set('hdtype', type);
  }
  members.set('keymap', settings.string('keymap'));
  members.set('spice', readSpice(settings));
  bool('nographic');
  const passthru = settings.long('gfx_passthru', { quiet: true });
  const passthruKind = passthru === undefined ? settings.string('gfx_passthru') : undefined;
  if (passthru !== undefined) members.set('gfx_passthru', defBool(passthru !== 0));
  if (passthruKind !== undefined) {
    const kind = oneOf(['default', 'igd'], passthruKind, 'gfx_passthru');
    if (kind !== 'default') members.set('gfx_passthru_kind', kind);
    members.set('gfx_passthru', 'True');
  }
  readListOrWord(settings, members, 'serial');
  members.set('boot', settings.string('boot'));
  bool('usb');
  members.set('usbversion', settings.long('usbversion'));
  readListOrWord(settings, members, 'usbdevice');
  bool('vkb_device');
  members.set('soundhw', settings.string('soundhw'));
  bool('xen_platform_pci');
  if (vnc.listen?.includes(':') === true && (vnc.display ?? 0) !== 0) {
    throw new ConfigError('ERROR: Display specified both in vnclisten and vncdisplay!');
  }
  const vendor = settings.string('vendor_device');
  if (vendor !== undefined) {
    const device = enumeration(['none', 'xenserver'], vendor);
    if (device === undefined) throw new ConfigError(`xl: unknown vendor_device '${vendor}'`, failed);
    if (device !== 'none') members.set('vendor_device', device);
  }
  if (!members.has('rdm')) members.set('rdm', {});
}

function readVga(settings: Settings): JsonObject {
  const name = settings.string('vga');
  if (name !== undefined) {
    const kind = vgaKinds[name];
    if (kind === undefined) throw new ConfigError(`Unknown vga "${name}" specified`);
    return { kind };
  }
  const std = settings.long('stdvga');
  return std === undefined ? {} : { kind: std === 0 ? 'cirrus' : 'std' };
}

function readSpice(settings: Settings): JsonObject {
  const bool = (name: string): string | undefined => defBool(settings.bool(name));
  return {
    enable: bool('spice'),
    port: settings.long('spiceport'),
    tls_port: settings.long('spicetls_port'),
    host: settings.string('spicehost'),
    disable_ticketing: bool('spicedisable_ticketing'),
    passwd: settings.string('spicepasswd'),
    agent_mouse: bool('spiceagent_mouse'),
    vdagent: bool('spicevdagent'),
    clipboard_sharing: bool('spice_clipboard_sharing'),
    usbredirection: settings.long('spiceusbredirection'),
    image_compression: settings.string('spice_image_compression'),
    streaming_video: settings.string('spice_streaming_video'),
  };
}

function readListOrWord(settings: Settings, members: HvmMembers, name: 'serial' | 'usbdevice'): void {
  if (!settings.has(name)) return;
  if (settings.isList(name)) members.set(`${name}_list`, settings.strings(name) ?? []);
  else members.set(name, settings.string(name));
}

function oneOf(names: readonly string[], value: string, key: string): string {
  const found = enumeration(names, value);
  if (found === undefined) throw new ConfigError(`ERROR: invalid value "${value}" for "${key}"`);
  return found;
}
