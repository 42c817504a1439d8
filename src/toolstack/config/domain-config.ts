/**
 * A domain's configuration as libxl holds it: names, order and defaults of xen/tools/libs/light/libxl_types.idl, so that what
 * `xl create -n` and `xl list -l` print is what scripts know. An absent member has its default value and is not printed.
 */
import type { CpuidPolicy } from './cpuid-policy.ts';
import type { JsonObject, JsonValue } from './json.ts';

export type DomainType = 'pv' | 'pvh' | 'hvm';

/** libxl's defbool when given: printed as "True" or "False". */
export type DefBool = 'True' | 'False';

export function defBool(value: boolean | undefined): DefBool | undefined {
  return value === undefined ? undefined : value ? 'True' : 'False';
}

/** libxl_action_on_shutdown, in libxl's spelling; xl's own is in `shutdownActions`. */
export type ShutdownAction =
  'destroy' | 'restart' | 'restart_rename' | 'preserve' | 'coredump_destroy' | 'coredump_restart' | 'soft_reset';

/** Spelling in a configuration file and in xl's log → libxl's. */
export const shutdownActions = {
  destroy: 'destroy',
  restart: 'restart',
  'rename-restart': 'restart_rename',
  preserve: 'preserve',
  'coredump-destroy': 'coredump_destroy',
  'coredump-restart': 'coredump_restart',
  'soft-reset': 'soft_reset',
} as const satisfies Readonly<Record<string, ShutdownAction>>;

export interface CreateInfo {
  type: DomainType;
  hap?: DefBool | undefined;
  oos?: DefBool | undefined;
  ssid_label?: string | undefined;
  name: string;
  /** Set by libxl in what it keeps about a domain; 4294967295 there. */
  domid?: number | undefined;
  uuid?: string | undefined;
  pool_name?: string | undefined;
  run_hotplug_scripts?: DefBool | undefined;
  driver_domain?: DefBool | undefined;
  passthrough?: string | undefined;
  xend_suspend_evtchn_compat?: DefBool | undefined;
}

export interface SchedParams {
  sched?: string | undefined;
  weight?: number | undefined;
  cap?: number | undefined;
  period?: number | undefined;
  budget?: number | undefined;
  extratime?: number | undefined;
  slice?: number | undefined;
  latency?: number | undefined;
}

export interface BuildInfo {
  max_vcpus?: number | undefined;
  avail_vcpus?: readonly number[] | undefined;
  vcpu_hard_affinity?: readonly (readonly number[])[] | undefined;
  vcpu_soft_affinity?: readonly (readonly number[])[] | undefined;
  numa_placement?: DefBool | undefined;
  tsc_mode?: string | undefined;
  max_memkb?: number | undefined;
  target_memkb?: number | undefined;
  video_memkb?: number | undefined;
  shadow_memkb?: number | undefined;
  rtc_timeoffset?: number | undefined;
  exec_ssid_label?: string | undefined;
  localtime?: DefBool | undefined;
  disable_migrate?: DefBool | undefined;
  cpuid?: CpuidPolicy | undefined;
  vnuma_nodes?: readonly JsonObject[] | undefined;
  max_grant_frames?: number | undefined;
  max_maptrack_frames?: number | undefined;
  max_grant_version?: number | undefined;
  device_model_version?: string | undefined;
  device_model_stubdomain?: DefBool | undefined;
  stubdomain_memkb?: number | undefined;
  stubdomain_kernel?: string | undefined;
  stubdomain_cmdline?: string | undefined;
  stubdomain_ramdisk?: string | undefined;
  device_model?: string | undefined;
  device_model_ssid_label?: string | undefined;
  device_model_user?: string | undefined;
  extra?: readonly string[] | undefined;
  extra_pv?: readonly string[] | undefined;
  extra_hvm?: readonly string[] | undefined;
  sched_params: SchedParams;
  ioports?: readonly JsonObject[] | undefined;
  irqs?: readonly number[] | undefined;
  iomem?: readonly JsonObject[] | undefined;
  claim_mode?: DefBool | undefined;
  event_channels?: number | undefined;
  kernel?: string | undefined;
  cmdline?: string | undefined;
  ramdisk?: string | undefined;
  device_tree?: string | undefined;
  acpi?: DefBool | undefined;
  bootloader?: string | undefined;
  bootloader_args?: readonly string[] | undefined;
  timer_mode?: string | undefined;
  nested_hvm?: DefBool | undefined;
  apic?: DefBool | undefined;
  dm_restrict?: DefBool | undefined;
  tee?: string | undefined;
  /** The members that only this domain type has; printed as `type.pv` and so on. */
  of_type: JsonObject;
  arch_arm: { gic_version?: string | undefined; vuart?: string | undefined };
  arch_x86: { msr_relaxed?: DefBool | undefined };
  altp2m?: string | undefined;
  vmtrace_buf_kb?: number | undefined;
  vpmu?: DefBool | undefined;
}

/** A device's members in libxl's order, ready to print. */
export type Device = JsonObject;

export const deviceLists = [
  'disks',
  'nics',
  'pcidevs',
  'dtdevs',
  'vfbs',
  'vkbs',
  'vtpms',
  'p9s',
  'pvcallsifs',
  'vdispls',
  'vsnds',
  'channels',
  'usbctrls',
  'usbdevs',
] as const;
export type DeviceList = (typeof deviceLists)[number];

export const shutdownReactions = ['on_poweroff', 'on_reboot', 'on_watchdog', 'on_crash', 'on_soft_reset'] as const;
export type ShutdownReaction = (typeof shutdownReactions)[number];

export interface DomainConfig {
  c_info: CreateInfo;
  b_info: BuildInfo;
  devices: Partial<Record<DeviceList, readonly Device[]>>;
  reactions: Record<ShutdownReaction, ShutdownAction>;
}

const createInfoOrder = [
  'type',
  'hap',
  'oos',
  'ssid_label',
  'name',
  'domid',
  'uuid',
  'pool_name',
  'run_hotplug_scripts',
  'driver_domain',
  'passthrough',
  'xend_suspend_evtchn_compat',
] as const satisfies readonly (keyof CreateInfo)[];

const schedParamsOrder = [
  'sched',
  'weight',
  'cap',
  'period',
  'budget',
  'extratime',
  'slice',
  'latency',
] as const satisfies readonly (keyof SchedParams)[];

/** `sched_params`, `of_type` and what follows them are printed even when empty. */
const buildInfoOrder = [
  'max_vcpus',
  'avail_vcpus',
  'vcpu_hard_affinity',
  'vcpu_soft_affinity',
  'numa_placement',
  'tsc_mode',
  'max_memkb',
  'target_memkb',
  'video_memkb',
  'shadow_memkb',
  'rtc_timeoffset',
  'exec_ssid_label',
  'localtime',
  'disable_migrate',
  'cpuid',
  'vnuma_nodes',
  'max_grant_frames',
  'max_maptrack_frames',
  'max_grant_version',
  'device_model_version',
  'device_model_stubdomain',
  'stubdomain_memkb',
  'stubdomain_kernel',
  'stubdomain_cmdline',
  'stubdomain_ramdisk',
  'device_model',
  'device_model_ssid_label',
  'device_model_user',
  'extra',
  'extra_pv',
  'extra_hvm',
  'sched_params',
  'ioports',
  'irqs',
  'iomem',
  'claim_mode',
  'event_channels',
  'kernel',
  'cmdline',
  'ramdisk',
  'device_tree',
  'acpi',
  'bootloader',
  'bootloader_args',
  'timer_mode',
  'nested_hvm',
  'apic',
  'dm_restrict',
  'tee',
  'of_type',
  'arch_arm',
  'arch_x86',
  'altp2m',
  'vmtrace_buf_kb',
  'vpmu',
] as const satisfies readonly (keyof BuildInfo)[];

/** A number of which zero is the default, as libxl's plain integers. */
const zeroIsDefault: ReadonlySet<string> = new Set(['max_vcpus', 'rtc_timeoffset', 'event_channels', 'vmtrace_buf_kb']);

/** The configuration as the object that libxl_domain_config_to_json prints. */
export function configToJson(config: DomainConfig): JsonObject {
  const json: Record<string, JsonValue> = {
    c_info: inOrder(config.c_info, createInfoOrder),
    b_info: buildInfoToJson(config.b_info, config.c_info.type),
  };
  for (const list of deviceLists) {
    const devices = config.devices[list];
    if (devices !== undefined && devices.length > 0) json[list] = devices;
  }
  for (const reaction of shutdownReactions) {
    const action = config.reactions[reaction];
    if (action !== 'destroy') json[reaction] = action;
  }
  return json;
}

/** The reverse, of an object that may be anything: what is acted on is checked by who does. Undefined: no configuration. */
export function configFromJson(json: JsonValue): DomainConfig | undefined {
  if (!isObject(json) || !isObject(json['c_info']) || !isObject(json['b_info'])) return undefined;
  const { c_info, b_info } = json;
  const of_type = b_info[`type.${String(c_info['type'])}`] ?? {};
  const devices = deviceLists.flatMap((list) => (json[list] === undefined ? [] : [[list, json[list]]]));
  const reactions = shutdownReactions.map((reaction) => [reaction, json[reaction] ?? 'destroy']);
  return {
    c_info,
    b_info: { sched_params: {}, arch_arm: {}, arch_x86: {}, ...b_info, of_type },
    devices: Object.fromEntries(devices) as unknown,
    reactions: Object.fromEntries(reactions) as unknown,
  } as unknown as DomainConfig;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function buildInfoToJson(info: BuildInfo, type: DomainType): JsonObject {
  const json: Record<string, JsonValue> = {};
  for (const field of buildInfoOrder) {
    const value: JsonValue | undefined =
      field === 'sched_params' ? inOrder(info.sched_params, schedParamsOrder) : (info[field] as JsonValue | undefined);
    if (value === undefined || (value === 0 && zeroIsDefault.has(field))) continue;
    json[field === 'of_type' ? `type.${type}` : field] = value;
  }
  return json;
}

function inOrder<T extends object>(object: T, order: readonly (keyof T & string)[]): JsonObject {
  const json: Record<string, JsonValue> = {};
  for (const field of order) {
    const value = object[field] as JsonValue | undefined;
    if (value !== undefined) json[field] = value;
  }
  return json;
}
