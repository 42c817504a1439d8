/** What Xen's command line decides here: memory and vCPUs of domain 0, processors, log levels, the console, the scheduler. */
import type { FeatureName } from '../../abi/arch-x86/cpufeatureset.ts';
import { Errno } from '../../abi/errno.ts';
import type { LogThresholds } from '../log-ring.ts';
import { hideFeatures } from './cpuid-parameter.ts';
import { knownParameters } from './known-parameters.ts';
import { parseCommandLine, parseInteger, parseSize, type Parameters } from './parse.ts';

/** An amount of `dom0_mem=`: so many bytes and so many hundredths of the host's memory, or the host's memory without them. */
interface Amount {
  readonly bytes: number;
  readonly percent: number;
  readonly minus: boolean;
}

export interface BootOptions {
  dom0Mem: { size?: Amount; least?: Amount; most?: Amount };
  dom0MaxVcpus: { least: number; most: number };
  /** 0: all that there are. */
  maxCpus: number;
  /** Bytes; 0: all that there is. */
  mem: number;
  loglvl: number;
  guestLoglvl: number;
  /** `console=`, as it is written. */
  console: string;
  scheduler: string;
  noreboot: boolean;
  /** `com1=` and `com2=`: the serial ports that are set up. */
  readonly ports: Set<string>;
  /** `cpuid=`: not shown to guests. */
  readonly hiddenFeatures: Set<FeatureName>;
  /** `conring_size=` in bytes; 0: as Xen chooses. */
  conringSize: number;
  /** What Xen would print about the line. */
  readonly messages: readonly string[];
}

/** Without options a release build of Xen prints errors and warnings. */
const defaultLevel = 2;
/** SCHED_DEFAULT; names are cut to opt_sched's size. */
const defaultScheduler = 'credit2';
const schedulerLength = 10;
/** opt_console */
const consoleLength = 128;
const defaultConsole = 'com1,vga';
/** CONRING_SIZE; and what nobody reads to its end. */
const smallestConring = 16384;
const largestConring = 16 * 2 ** 20;

/** Those that `xl set-parameters` may change, too (custom_runtime_param). */
const runtime: ReadonlySet<string> = new Set(['loglvl', 'guest_loglvl']);

export function parseBootOptions(line: string): BootOptions {
  const messages: string[] = [];
  const options: BootOptions = {
    dom0Mem: {},
    dom0MaxVcpus: { least: 1, most: 0xffffffff },
    maxCpus: 0,
    mem: 0,
    loglvl: defaultLevel,
    guestLoglvl: defaultLevel,
    console: defaultConsole,
    scheduler: defaultScheduler,
    noreboot: false,
    ports: new Set(),
    hiddenFeatures: new Set(),
    conringSize: 0,
    messages,
  };
  parseCommandLine(line, { ...knownParameters, ...parameters(options) }, (text) => messages.push(text));
  if (options.scheduler !== 'credit' && options.scheduler !== 'credit2') {
    messages.push(`Could not find scheduler: ${options.scheduler}`);
    options.scheduler = defaultScheduler;
    messages.push(`Using '${options.scheduler}' scheduler`);
  }
  for (const device of options.console.split(',')) {
    if (!/^(?:vga|pv|xen|none|com[12]|dbgp|ehci|xhci)/.test(device) && device !== '')
      messages.push(`Bad console= option '${device}'`);
  }
  return options;
}

/** `xl set-parameters`: 0, or ENOENT where a parameter is none of those, or EINVAL. */
export function setRuntimeParameters(options: BootOptions, line: string, report: (text: string) => void): number {
  const all = Object.entries(parameters(options)).filter(([name]) => runtime.has(name));
  const names = line.split(' ').filter((word) => word !== '');
  const unknown = names.find((word) => !runtime.has((word.split('=')[0] ?? '').replace(/^no-/, '')));
  if (unknown !== undefined) return Errno.ENOENT;
  return parseCommandLine(line, Object.fromEntries(all), report);
}

export function thresholdsOf({ loglvl, guestLoglvl }: BootOptions): LogThresholds {
  return { xen: loglvl, guest: guestLoglvl };
}

/** In bytes; `available` is what the host has. */
export function dom0Memory({ dom0Mem }: BootOptions, available: number, standard: number): number {
  const resolve = (amount: Amount | undefined): number | undefined => {
    if (amount === undefined) return undefined;
    const bytes = amount.bytes + (amount.percent * available) / 100;
    return amount.minus ? available - bytes : bytes;
  };
  const most = Math.min(resolve(dom0Mem.most) ?? available, available);
  const least = resolve(dom0Mem.least) ?? 0;
  const wanted = resolve(dom0Mem.size) ?? Math.min(standard, most);
  return Math.max(0, Math.min(Math.max(wanted, least > most ? 0 : least), most));
}

export function dom0Vcpus({ dom0MaxVcpus: { least, most } }: BootOptions, cpus: number): number {
  return Math.min(Math.max(cpus, least), Math.max(1, most));
}

function parameters(options: BootOptions): Parameters {
  return {
    dom0_mem: { kind: 'custom', set: (value) => setDom0Mem(options, value) },
    dom0_max_vcpus: { kind: 'custom', set: (value) => setDom0MaxVcpus(options, value) },
    maxcpus: { kind: 'integer', bits: 32, set: (value) => void (options.maxCpus = value) },
    mem: { kind: 'size', set: (value) => void (options.mem = value) },
    loglvl: { kind: 'custom', set: (value) => setLevel(value, (level) => (options.loglvl = level)) },
    guest_loglvl: { kind: 'custom', set: (value) => setLevel(value, (level) => (options.guestLoglvl = level)) },
    console: { kind: 'string', length: consoleLength, set: (value) => void (options.console = value) },
    sched: { kind: 'string', length: schedulerLength, set: (value) => void (options.scheduler = value) },
    noreboot: { kind: 'bool', set: (value) => void (options.noreboot = value) },
    com1: { kind: 'custom', set: () => setPort(options, 'com1') },
    com2: { kind: 'custom', set: () => setPort(options, 'com2') },
    cpuid: { kind: 'custom', set: (value) => hideFeatures(value, options.hiddenFeatures) },
    conring_size: { kind: 'size', set: (value) => void (options.conringSize = value) },
    console_timestamps: { kind: 'custom', set: (value) => (timestamps.has(value) ? 0 : Errno.EINVAL) },
  };
}

function setPort({ ports }: BootOptions, port: string): number {
  ports.add(port);
  return 0;
}

/** The log ring's bytes, a power of two (console_init_postirq of xen/drivers/char/console.c). */
export function conringBytes({ conringSize, loglvl }: BootOptions, cpus: number): number {
  const wanted = Math.min(conringSize === 0 ? cpus << (9 + loglvl) : conringSize, largestConring);
  return 2 ** Math.ceil(Math.log2(Math.max(wanted, smallestConring)));
}

/** Where `console=` sends lines: `com1`, `com2` if they are set up, `vga`. */
export function consoleDevices({ console, ports }: BootOptions): readonly string[] {
  const devices = console.split(',').map((device) => /^(?:com[12]|vga)/.exec(device)?.[0]);
  return ['com1', 'com2', 'vga'].filter((name) => devices.includes(name) && (name === 'vga' || ports.has(name)));
}

const timestamps: ReadonlySet<string> = new Set(
  ' none date datems boot raw 0 1 on off yes no true false enable disable'.split(' '),
);

/** `[min:<amt>,][max:<amt>,][<amt>]` (xen/arch/x86/dom0_build.c). */
function setDom0Mem(options: BootOptions, value: string): number {
  for (const part of value.split(',')) {
    const [, which = '', text = ''] = /^(min:|max:|)(.*)$/s.exec(part) ?? [];
    const amount = parseAmount(text);
    if (amount === undefined) return Errno.EINVAL;
    const name = which === 'min:' ? 'least' : which === 'max:' ? 'most' : 'size';
    options.dom0Mem = { ...options.dom0Mem, [name]: amount };
  }
  return 0;
}

/** `<size> | <frac>% | <size>+<frac>%`, each with a minus before it: what is left of the host's memory. */
function parseAmount(text: string): Amount | undefined {
  const minus = text.startsWith('-');
  const [first = '', second, ...others] = (minus ? text.slice(1) : text).split('+');
  const parts = [first, second].filter((part) => part !== undefined).map((part) => ({ part, ...parseSize(part) }));
  const isFraction = parts.map(({ rest }) => rest === '%');
  const wrong =
    others.length > 0 ||
    parts.some(
      ({ part, rest, value }) => !/^[0-9]/.test(part) || !['', '%'].includes(rest) || (rest === '%' && value >= 100),
    ) ||
    (second !== undefined && (isFraction[0] === true || isFraction[1] !== true));
  if (wrong) return undefined;
  const sum = (fraction: boolean): number =>
    parts.reduce((total, { value }, i) => (isFraction[i] === fraction ? value : total), 0);
  return { bytes: sum(false), percent: sum(true), minus };
}

/** `N`, `N-`, `N-M` or `-M`. */
function setDom0MaxVcpus(options: BootOptions, value: string): number {
  if (value.startsWith('-')) {
    const most = parseInteger(value.slice(1));
    options.dom0MaxVcpus = { ...options.dom0MaxVcpus, most: most.value };
    return most.rest === '' ? 0 : Errno.EINVAL;
  }
  const least = parseInteger(value);
  const from = least.value === 0 ? 1 : least.value;
  if (least.rest === '') {
    options.dom0MaxVcpus = { least: from, most: from };
    return 0;
  }
  if (!least.rest.startsWith('-')) return Errno.EINVAL;
  const most = least.rest === '-' ? { value: options.dom0MaxVcpus.most, rest: '' } : parseInteger(least.rest.slice(1));
  options.dom0MaxVcpus = { least: from, most: most.value };
  return most.rest === '' ? 0 : Errno.EINVAL;
}

const levels = { none: 0, error: 1, warning: 2, info: 3, debug: 4, all: 4 } as const;

/**
 * `<level>[/<rate limited level>]`. Messages above the first level and below the second are rate-limited in Xen; a guest's messages always are here, so the
 * second level is what counts.
 */
function setLevel(value: string, set: (level: number) => void): number {
  const read = (text: string): { level: number; rest: string } => {
    const [name, level] = Object.entries(levels).find(([word]) => text.startsWith(word)) ?? ['', defaultLevel];
    return { level, rest: text.slice(name.length) };
  };
  const lower = read(value);
  const upper = lower.rest.startsWith('/') ? read(lower.rest.slice(1)) : lower;
  set(Math.max(lower.level, upper.level));
  return upper.rest === '' ? 0 : Errno.EINVAL;
}
