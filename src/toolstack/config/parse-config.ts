/**
 * From the text of an xl.cfg file to a domain configuration: what `xl create` does before it asks for a domain. Keys are read in
 * xl's order, because the warnings come in that order (xen/tools/xl/xl_parse.c). Every key that is read is a row of `keys.ts`.
 */
import { ConfigError } from './config-error.ts';
import { CpuidPolicyBuilder } from './cpuid-policy.ts';
import { parseCpuRange } from './cpu-range.ts';
import * as devices from './device-specs.ts';
import { parseDisk } from './disk-spec.ts';
import {
  defBool,
  shutdownActions,
  shutdownReactions,
  type BuildInfo,
  type CreateInfo,
  type DomainConfig,
  type DomainType,
  type ShutdownAction,
  type ShutdownReaction,
} from './domain-config.ts';
import { enumeration } from './enumeration.ts';
import { parseText } from './grammar.ts';
import { parseIoMem, parseIoPorts, parseIrqs, parsePci } from './host-device-specs.ts';
import { hvmToJson, readDisplayAndPorts, readFirmware, readSdl, readVnc, type HvmMembers } from './hvm-options.ts';
import { parseNic } from './nic-spec.ts';
import { readBootOptions, readModes } from './boot-options.ts';
import { Settings } from './settings.ts';
import { generateUuid, parseUuid } from './uuid.ts';
import { parseVnuma } from './vnuma.ts';
import { parseVsnd } from './vsnd-spec.ts';

export interface ConfigHost {
  /** Processors of the host. */
  readonly cpus: number;
}

export interface ParsedConfig {
  readonly config: DomainConfig;
  readonly settings: Settings;
}

/** libxl's ERROR_FAIL as xl's exit code. */
const failed = 3;

/**
 * `text` holds the file's bytes as latin1; `source` is the name used in messages; `report` receives each line that xl writes to
 * standard error. Throws ConfigError.
 */
export function parseConfig(
  text: string,
  source: string,
  host: ConfigHost,
  report: (line: string) => void,
): ParsedConfig {
  const parsed = parseText(text, source, report);
  if (parsed.failed) throw new ConfigError('Failed to parse config: Invalid argument');
  const settings = new Settings(parsed, source, report);
  return { config: readConfig(settings, host), settings };
}

function readConfig(settings: Settings, host: ConfigHost): DomainConfig {
  const labels = { init: settings.string('init_seclabel'), run: settings.string('seclabel') };
  const type = readType(settings);
  const c_info: CreateInfo = {
    type,
    hap: defBool(settings.bool('hap')),
    ssid_label: labels.init ?? labels.run,
    name: readName(settings),
    uuid: readUuid(settings),
    run_hotplug_scripts: 'True',
    oos: defBool(settings.bool('oos')),
    pool_name: settings.string('pool'),
  };
  const b_info: BuildInfo = { sched_params: {}, of_type: {}, arch_arm: {}, arch_x86: {} };
  if (labels.init !== undefined) b_info.exec_ssid_label = labels.run;
  const config: DomainConfig = {
    c_info,
    b_info,
    devices: {},
    reactions: {
      on_poweroff: 'destroy',
      on_reboot: 'restart',
      on_watchdog: 'destroy',
      on_crash: 'destroy',
      on_soft_reset: 'soft_reset',
    },
  };
  const ofType: HvmMembers = new Map();
  if (type === 'pvh') readShim(settings, ofType);
  readProcessorsAndMemory(settings, b_info, host);
  b_info.claim_mode = 'True';
  readReactions(settings, config);
  if (type === 'pv') ofType.set('e820_host', defBool(settings.bool('e820_host')));
  readPci(settings, config, ofType);
  readModes(settings, c_info, b_info);
  readBootOptions(settings, c_info, b_info);
  if (type === 'hvm') readFirmware(settings, ofType);
  else requireKernel(settings, b_info, type);
  readLateModes(settings, b_info);
  readDevices(settings, config);
  readDeviceModel(settings, config, ofType);
  if (type === 'hvm') b_info.of_type = hvmToJson(ofType);
  else b_info.of_type = Object.fromEntries([...ofType].filter(([, value]) => value !== undefined));
  return config;
}

/** xl accepts any beginning of a type's name, an empty one too. */
function readType(settings: Settings): DomainType {
  const type = settings.string('type');
  let result: DomainType | undefined;
  if (type !== undefined) {
    result = (['hvm', 'pv', 'pvh'] as const).find((name) => name.startsWith(type));
    if (result === undefined) throw new ConfigError(`Invalid domain type ${type}.`);
  }
  const builder = settings.string('builder');
  if (builder !== undefined) {
    const built = 'hvm'.startsWith(builder) ? 'hvm' : 'generic'.startsWith(builder) ? 'pv' : undefined;
    if (built === undefined) throw new ConfigError(`Invalid domain type ${builder}.`);
    if (result !== undefined && result !== built)
      throw new ConfigError('Contradicting "builder" and "type" options specified.');
    result = built;
  }
  return result ?? 'pv';
}

function readName(settings: Settings): string {
  const name = settings.string('name');
  if (name === undefined) throw new ConfigError('Domain name must be specified.');
  return name;
}

function readUuid(settings: Settings): string {
  const text = settings.string('uuid');
  if (text === undefined) return generateUuid();
  const uuid = parseUuid(text);
  if (uuid === undefined) throw new ConfigError(`Failed to parse UUID: ${text}`);
  return uuid;
}

function readShim(settings: Settings, members: HvmMembers): void {
  members.set('pvshim', defBool(settings.bool('pvshim')));
  for (const name of ['pvshim_path', 'pvshim_cmdline', 'pvshim_extra']) members.set(name, settings.string(name));
}

function readProcessorsAndMemory(settings: Settings, info: BuildInfo, host: ConfigHost): void {
  info.sched_params = {
    weight: settings.long('cpu_weight'),
    cap: settings.long('cap'),
    period: settings.long('period'),
    slice: settings.long('slice'),
    latency: settings.long('latency'),
    extratime: settings.long('extratime'),
  };
  const mebibytes = (value: number | undefined): number | undefined => (value === undefined ? undefined : value * 1024);
  info.target_memkb = mebibytes(settings.long('memory'));
  info.max_memkb = mebibytes(settings.long('maxmem'));
  const vcpus = settings.long('vcpus');
  if (vcpus !== undefined && vcpus > 0)
    info.avail_vcpus = Array.from({ length: Math.min(vcpus, 0xffff) }, (_, vcpu) => vcpu);
  info.max_vcpus = settings.long('maxvcpus');
  const vuart = settings.string('vuart');
  if (vuart !== undefined) {
    const type = enumeration(['unknown', 'sbsa_uart'], vuart);
    if (type === undefined) throw new ConfigError(`ERROR: invalid value "${vuart}" for "vuart"`);
    if (type !== 'unknown') info.arch_arm.vuart = type;
  }
  parseVnuma(settings, info, host);
  info.max_memkb ??= info.target_memkb;
  if ((info.max_vcpus ?? 0) === 0) info.max_vcpus = vcpus ?? 0;
  if ((info.max_vcpus ?? 0) < (vcpus ?? 0)) throw new ConfigError('xl: maxvcpus < vcpus');
  info.vcpu_hard_affinity = readAffinity(settings, 'cpus', info, host);
  info.vcpu_soft_affinity = readAffinity(settings, 'cpus_soft', info, host);
  for (const name of ['max_grant_frames', 'max_maptrack_frames', 'max_grant_version'] as const) {
    const value = settings.long(name, { quiet: true });
    if (value === undefined ? settings.has(name) : value < 0 || value > 0x7fffffff) throw new ConfigError('');
    info[name] = value;
  }
}

/** A string holds for every vCPU, a list has one member for each. */
function readAffinity(
  settings: Settings,
  name: 'cpus' | 'cpus_soft',
  info: BuildInfo,
  host: ConfigHost,
): number[][] | undefined {
  const count = info.max_vcpus ?? 0;
  const each = settings.strings(name, { quiet: true });
  if (each !== undefined) {
    info.numa_placement = 'False';
    return each.slice(0, count).map((text) => [...parseCpuRange(text, host)]);
  }
  const text = settings.string(name);
  if (text === undefined) return undefined;
  if (name === 'cpus_soft') info.numa_placement = 'False';
  const set = parseCpuRange(text, host);
  return count === 0 ? undefined : Array.from({ length: Math.min(count, 0xffff) }, () => [...set]);
}

function readReactions(settings: Settings, config: DomainConfig): void {
  for (const reaction of shutdownReactions) {
    const action = settings.string(reaction);
    if (action !== undefined) config.reactions[reaction] = readAction(reaction, action);
  }
}

function readAction(reaction: ShutdownReaction, name: string): ShutdownAction {
  const found = Object.entries(shutdownActions).find(([spelling]) => spelling === name);
  if (found === undefined) throw new ConfigError(`Unknown ${reaction} action "${name}" specified`);
  return found[1];
}

function readPci(settings: Settings, config: DomainConfig, ofType: HvmMembers): void {
  const flag = (name: string): boolean => (settings.long(name) ?? 0) !== 0;
  const defaults = {
    msitranslate: flag('pci_msitranslate'),
    power_mgmt: flag('pci_power_mgmt'),
    permissive: flag('pci_permissive'),
    seize: flag('pci_seize'),
  };
  const rdm = settings.string('rdm');
  if (rdm !== undefined && config.c_info.type === 'hvm') ofType.set('rdm', parseRdm(rdm, settings));
  config.devices.pcidevs = settings.strings('pci')?.map((spec) => parsePci(spec, defaults)) ?? [];
  if (config.devices.pcidevs.length > 0 && config.c_info.type === 'pv') ofType.set('e820_host', 'True');
  config.devices.dtdevs = settings.strings('dtdev')?.map((path) => ({ path })) ?? [];
}

function parseRdm(text: string, settings: Settings): { strategy?: string; policy?: string } {
  const result: { strategy?: string; policy?: string } = {};
  for (const part of text.split(',')) {
    const [key, value = ''] = part.trim().split('=');
    if (key === 'strategy' && value === 'host') result.strategy = value;
    else if (key === 'policy' && (value === 'strict' || value === 'relaxed')) result.policy = value;
    else if (!(key === 'strategy' && value === 'ignore'))
      settings.report(`${settings.source}: config parsing error in rdm: ${part}`);
  }
  return result;
}

/** Departs from xl, which refuses a PV domain that says neither: where there is a disk, its kernel is what is meant. */
function requireKernel(settings: Settings, info: BuildInfo, type: DomainType): void {
  const firmware = settings.string('firmware');
  if (firmware !== undefined) {
    if (info.kernel !== undefined) throw new ConfigError('ERROR: both kernel and firmware specified');
    if (!['pvgrub32', 'pvgrub64'].some((name) => name.startsWith(firmware))) {
      throw new ConfigError('ERROR: only pvgrub{32|64} supported as firmware options');
    }
    info.kernel = `/usr/lib/xen-4.17/boot/${firmware}.bin`;
  }
  const disks = settings.isList('disk') ? settings.strings('disk') : undefined;
  if (info.bootloader === undefined && info.kernel === undefined && type === 'pv' && disks?.[0] !== undefined)
    info.bootloader = 'pygrub';
  if (info.bootloader === undefined && info.kernel === undefined)
    throw new ConfigError('Neither kernel nor bootloader specified');
}

const altp2mModes = ['disabled', 'mixed', 'external', 'limited'];

function readLateModes(settings: Settings, info: BuildInfo): void {
  const number = settings.long('altp2m', { quiet: true });
  const word = number === undefined ? settings.string('altp2m') : undefined;
  const mode = number === undefined ? enumeration(altp2mModes, word ?? '') : altp2mModes[number];
  if (number !== undefined && mode === undefined) throw new ConfigError(`ERROR: invalid value ${number} for "altp2m"`);
  if (word !== undefined && mode === undefined) throw new ConfigError(`ERROR: invalid value "${word}" for "altp2m"`);
  if (mode !== 'disabled') info.altp2m = mode;
  info.vmtrace_buf_kb = settings.long('vmtrace_buf_kb', { quiet: true });
  info.ioports = parseIoPorts(settings);
  info.irqs = parseIrqs(settings);
  info.iomem = parseIoMem(settings);
}

function readDevices(settings: Settings, config: DomainConfig): void {
  const { source, report } = settings;
  const lists = config.devices;
  const each = <T>(name: string, parse: (spec: string, devid: number) => T): T[] | undefined =>
    settings.strings(name)?.map(parse);
  lists.disks = each('disk', (spec) => parseDisk([spec], source)) ?? [];
  lists.p9s = each('p9', (spec) => devices.parseP9(spec)) ?? [];
  lists.vtpms = each('vtpm', devices.parseVtpm) ?? [];
  lists.vdispls = each('vdispl', devices.parseVdispl) ?? [];
  lists.pvcallsifs = each('pvcalls', devices.parsePvcalls) ?? [];
  lists.vsnds = settings.list('vsnd')?.map(parseVsnd) ?? [];
  lists.channels = each('channel', (spec, devid) => devices.parseChannel(spec, devid, { report })) ?? [];
  lists.nics = each('vif', (spec, devid) => parseNic(spec, devid, { source, report }).nic) ?? [];
  if (settings.list('vif2') !== undefined) report('WARNING: vif2: netchannel2 is deprecated and not supported by xl');
  lists.vfbs = each('vfb', devices.parseFramebuffer) ?? [];
  lists.vkbs = lists.vfbs.map((_, devid) => ({ devid }));
  lists.usbctrls = each('usbctrl', devices.parseUsbController) ?? [];
  lists.usbdevs = each('usbdev', devices.parseUsbDevice) ?? [];
  readCpuid(settings, config.b_info);
}

function readCpuid(settings: Settings, info: BuildInfo): void {
  const builder = new CpuidPolicyBuilder();
  const tell = (kind: 'line' | 'flag', text: string, error: { code: number; why: string } | undefined): void => {
    if (error === undefined) return;
    settings.report(`while parsing CPUID ${kind}: "${text}":`);
    settings.report(`  error #${error.code}: ${error.why}`);
  };
  if (settings.isList('cpuid')) {
    for (const line of settings.strings('cpuid') ?? []) tell('line', line, builder.addLine(line));
  } else {
    const text = settings.string('cpuid') ?? '';
    const [first, ...rest] = text.split(',').filter((word) => word !== '');
    if (first === 'host') {
      for (const word of rest) tell('flag', word, builder.addFlag(word));
    } else if (first !== undefined) {
      settings.report(`while parsing CPUID string: "${text}":`);
      settings.report('  error: first word must be "host"');
    }
  }
  info.cpuid = builder.result();
}

function readDeviceModel(settings: Settings, config: DomainConfig, ofType: HvmMembers): void {
  const { b_info: info, c_info } = config;
  const ignored = settings.string('device_model');
  if (ignored !== undefined) {
    settings.report('WARNING: ignoring device_model directive.');
    settings.report('WARNING: Use "device_model_override" instead if you really want a non-default device_model');
  }
  info.device_model = settings.string('device_model_override');
  const version = settings.string('device_model_version');
  if (version !== undefined) {
    if (!['qemu-xen', 'qemu-xen-traditional'].includes(version)) {
      throw new ConfigError(`Unknown device_model_version "${version}" specified`);
    }
    info.device_model_version = version.replaceAll('-', '_');
  } else if (info.device_model !== undefined) {
    settings.report('WARNING: device model override given without specific DM version');
  }
  info.device_model_stubdomain = defBool(settings.bool('device_model_stubdomain_override'));
  info.device_model_ssid_label = settings.string('device_model_stubdomain_seclabel');
  info.device_model_user = settings.string('device_model_user');
  for (const name of ['stubdomain_kernel', 'stubdomain_cmdline', 'stubdomain_ramdisk'] as const)
    info[name] = settings.string(name);
  const stubMemory = settings.long('stubdomain_memory');
  if (stubMemory !== undefined) info.stubdomain_memkb = stubMemory * 1024;
  for (const suffix of ['', '_pv', '_hvm'] as const) {
    const name = `device_model_args${suffix}`;
    info[`extra${suffix}`] = settings.strings(name);
    if (settings.has(name) && !settings.isList(name)) throw new ConfigError(`xl: Unable to parse ${name}.`, failed);
  }
  const vfbs = config.devices.vfbs ?? [];
  if (c_info.type === 'pv' && vfbs.length === 0) {
    if ((settings.long('vnc') ?? 0) !== 0) {
      const keymap = settings.string('keymap');
      config.devices.vfbs = [
        { devid: 0, vnc: devices.vncToJson(readVnc(settings)), sdl: devices.sdlToJson(readSdl(settings)), keymap },
      ];
      config.devices.vkbs = [{ devid: 0 }];
    }
  } else {
    const vnc = readVnc(settings);
    const sdl = readSdl(settings);
    if (c_info.type === 'hvm') readDisplayAndPorts(settings, ofType, vnc, sdl);
  }
  info.dm_restrict = defBool(settings.bool('dm_restrict'));
  readArmOptions(settings, info);
  const vkbs = settings.strings('vkb') ?? [];
  const before = config.devices.vkbs ?? [];
  config.devices.vkbs = [...before, ...vkbs.map((spec, index) => devices.parseKeyboard(spec, before.length + index))];
  c_info.xend_suspend_evtchn_compat = defBool(settings.bool('xend_suspend_evtchn_compat'));
  const relaxed = settings.bool('msr_relaxed');
  if (relaxed !== undefined) {
    info.arch_x86.msr_relaxed = defBool(relaxed);
    settings.report('WARNING: msr_relaxed will be removed in future versions.');
    settings.report('If it fixes an issue you are having please report to xen-devel@lists.xenproject.org.');
  }
  info.vpmu = defBool(settings.bool('vpmu'));
}

/** Of another architecture, but read and refused on every one. */
function readArmOptions(settings: Settings, info: BuildInfo): void {
  const read = (name: string, values: readonly string[]): string | undefined => {
    const word = settings.string(name, { quiet: true });
    if (word === undefined) return undefined;
    const value = enumeration(values, word);
    if (value === undefined) throw new ConfigError(`Unknown ${name} "${word}" specified`, failed);
    return value === values[0] ? undefined : value;
  };
  info.arch_arm.gic_version = read('gic_version', ['default', 'v2', 'v3']);
  info.tee = read('tee', ['none', 'optee']);
}
