/** What a domain boots and in which modes: the middle part of a configuration. */
import { ConfigError } from './config-error.ts';
import { enumeration } from './enumeration.ts';
import { defBool, type BuildInfo, type CreateInfo } from './domain-config.ts';
import type { Settings } from './settings.ts';

/** libxl's ERROR_FAIL as xl's exit code. */
const failed = 3;

const passthroughModes = ['default', 'disabled', 'enabled', 'sync_pt', 'share_pt'];
const tscModes = ['default', 'always_emulate', 'native', 'native_paravirt'];
const timerModes = [
  'delay_for_missed_ticks',
  'no_delay_for_missed_ticks',
  'no_missed_ticks_pending',
  'one_missed_tick_pending',
];

export function readModes(settings: Settings, create: CreateInfo, info: BuildInfo): void {
  const word = settings.string('passthrough');
  if (word !== undefined) {
    const passthrough = enumeration(passthroughModes, word);
    if (passthrough === undefined) throw new ConfigError(`ERROR: unknown passthrough option '${word}'`);
    if (passthrough !== 'default') create.passthrough = passthrough;
  }
  const shadow = settings.long('shadow_memory');
  if (shadow !== undefined) info.shadow_memkb = shadow * 1024;
  info.disable_migrate = defBool(settings.bool('nomigrate'));
  const tsc = readMode(settings, 'tsc_mode', tscModes, (text) => settings.report(`got a tsc mode string: "${text}"`));
  if (tsc !== 'default') info.tsc_mode = tsc;
  info.rtc_timeoffset = settings.long('rtc_timeoffset');
  if (settings.long('vncviewer') !== undefined) {
    settings.report(
      'WARNING: ignoring "vncviewer" option. Use "-V" option of "xl create" to automatically spawn vncviewer.',
    );
  }
  info.localtime = defBool(settings.bool('localtime'));
  const video = settings.long('videoram');
  if (video !== undefined) info.video_memkb = video * 1024;
  info.event_channels = settings.long('max_event_channels');
}

/** A mode given by name or, as it once was, by number. */
function readMode(
  settings: Settings,
  name: string,
  modes: readonly string[],
  onName: (text: string) => void,
): string | undefined {
  const number = settings.long(name, { quiet: true });
  if (number !== undefined) {
    const mode = modes[number];
    const example = mode === undefined ? '' : `e.g. ${name}="${mode}"`;
    settings.report(
      `WARNING: specifying "${name}" as an integer is deprecated. Please use the named parameter variant. ${example}`,
    );
    if (mode === undefined) throw new ConfigError(`ERROR: invalid value ${number} for "${name}"`);
    return mode;
  }
  const text = settings.string(name);
  if (text === undefined) return undefined;
  onName(text);
  const named = enumeration(modes, text);
  if (named === undefined) throw new ConfigError(`ERROR: invalid value "${text}" for "${name}"`);
  return named;
}

export function readBootOptions(settings: Settings, create: CreateInfo, info: BuildInfo): void {
  info.kernel = settings.string('kernel');
  info.ramdisk = settings.string('ramdisk');
  info.device_tree = settings.string('device_tree');
  info.cmdline = readCommandLine(settings);
  create.driver_domain = defBool(settings.bool('driver_domain'));
  info.acpi = defBool(settings.bool('acpi'));
  info.bootloader = settings.string('bootloader');
  if (settings.isList('bootloader_args')) {
    info.bootloader_args = settings.strings('bootloader_args');
  } else {
    const words = settings.string('bootloader_args');
    if (words !== undefined) {
      settings.report(
        'WARNING: Specifying "bootloader_args" as a string is deprecated. Please use a list of arguments.',
      );
      info.bootloader_args = words.split(/[ \t\n]+/).filter((word) => word !== '');
    }
  }
  if (settings.has('timer_mode') && create.type === 'pv') {
    throw new ConfigError('ERROR: "timer_mode" option is not supported for PV guests.', failed);
  }
  info.timer_mode = readMode(settings, 'timer_mode', timerModes, () => undefined);
  info.nested_hvm = defBool(settings.bool('nestedhvm'));
  if (create.type === 'hvm') info.apic = defBool(settings.bool('apic'));
}

/** `cmdline`, or what `root` and `extra` make together. */
function readCommandLine(settings: Settings): string | undefined {
  const cmdline = settings.string('cmdline');
  const root = settings.string('root');
  const extra = settings.string('extra');
  if (cmdline !== undefined) {
    if (root !== undefined || extra !== undefined)
      settings.report('Warning: ignoring root= and extra= in favour of cmdline=');
    return cmdline;
  }
  if (root === undefined) return extra;
  return extra === undefined ? `root=${root}` : `root=${root} ${extra}`;
}
