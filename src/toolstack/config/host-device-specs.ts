/** Devices of the host that a configuration names: PCI functions, I/O ports, interrupts, memory (xl-pci-configuration(5), xl.cfg(5)). */
import { ConfigError } from './config-error.ts';
import type { Device } from './domain-config.ts';
import { atoi, strtol } from './numbers.ts';
import type { Settings } from './settings.ts';

const u32Max = 0xffffffff;

export interface PciDefaults {
  readonly msitranslate: boolean;
  readonly power_mgmt: boolean;
  readonly permissive: boolean;
  readonly seize: boolean;
}

/** libxl's ERROR_INVAL as an exit code. */
const invalid = 6;

interface Bdf {
  readonly domain: number;
  readonly bus: number;
  readonly dev: number;
  readonly func: number;
  readonly allFunctions: boolean;
}

export function parsePci(spec: string, defaults: PciDefaults): Device {
  const refuse = (): never => {
    throw new ConfigError(`unable to parse PCI_SPEC_STRING \`${spec}' for passthrough`, invalid);
  };
  const positional = /^([0-9a-f:]+\.(?:\*|[0-9a-f]+))(?:@([0-9a-f]+))?(?:,|$)(.*)$/is.exec(spec);
  let bdf = positional === null ? undefined : parseBdf(positional[1] ?? '');
  let slot = positional?.[2];
  let name: string | undefined;
  const flags: Record<string, boolean> = { ...defaults };
  for (const part of (positional?.[3] ?? spec).split(',').filter((text) => text !== '')) {
    const equals = part.indexOf('=');
    if (equals < 0) refuse();
    const key = part.slice(0, equals);
    const value = part.slice(equals + 1);
    if (key === 'bdf') bdf = parseBdf(value);
    else if (key === 'vslot') slot = value;
    else if (key === 'name') name = value;
    else if (key in flags) flags[key] = atoi(value) !== 0;
    else if (key !== 'rdm_policy') refuse();
  }
  if (bdf === undefined && name === undefined) refuse();
  const vslot = slot === undefined ? 0 : Number.parseInt(slot, 16);
  if (!(vslot <= 0x1f)) refuse();
  const numbers = { func: bdf?.func ?? 0, dev: bdf?.dev ?? 0, bus: bdf?.bus ?? 0, domain: bdf?.domain ?? 0 };
  return Object.fromEntries([
    ...Object.entries(numbers).filter(([, value]) => value !== 0),
    ...(vslot === 0 ? [] : [['vdevfn', vslot << 3] as const]),
    ...(bdf === undefined ? [] : [['vfunc_mask', bdf.allFunctions ? u32Max : 1] as const]),
    ...Object.entries(flags).filter(([, value]) => value),
    ...(name === undefined ? [] : [['name', name] as const]),
  ]);
}

export function parseBdf(text: string): Bdf | undefined {
  const match = /^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.(\*|[0-7])$/i.exec(text);
  if (match === null) return undefined;
  const [, domain = '0', bus = '0', dev = '0', func = '0'] = match;
  const device = Number.parseInt(dev, 16);
  if (device > 0x1f) return undefined;
  const all = func === '*';
  return {
    domain: Number.parseInt(domain, 16),
    bus: Number.parseInt(bus, 16),
    dev: device,
    func: all ? 0 : Number(func),
    allFunctions: all,
  };
}

export function parseIoPorts(settings: Settings): readonly Device[] | undefined {
  return settings.list('ioports')?.map((value, index) => {
    if (typeof value !== 'string') throw new ConfigError(`xl: Unable to get element #${index} in ioport list`);
    const refuse = (): never => {
      throw new ConfigError(`xl: Invalid argument parsing ioport: ${value}`);
    };
    const first = strtol(value, 16);
    if (first.end === 0) return refuse();
    let last = first.value;
    if (value[first.end] === '-') {
      const read = strtol(value, 16, first.end + 1);
      if (read.end !== value.length || read.end === first.end + 1) return refuse();
      last = read.value;
    } else if (first.end !== value.length) {
      settings.report(`xl: Invalid argument parsing ioport: ${value}`);
    }
    for (const port of [first.value, last]) {
      if (port >= u32Max) throw new ConfigError(`xl: ioport ${port.toString(16)} too big`);
    }
    return { first: first.value, number: last - first.value + 1 };
  });
}

export function parseIrqs(settings: Settings): readonly number[] | undefined {
  return settings.list('irqs')?.map((value, index) => {
    if (typeof value !== 'string') throw new ConfigError(`xl: Unable to get element ${index} in irq list`);
    const read = strtol(value, 10);
    if (read.end === 0 || read.end !== value.length)
      throw new ConfigError(`xl: Invalid argument parsing irq: ${value}`);
    if (read.value >= u32Max) throw new ConfigError(`xl: irq ${read.value.toString(16)} too big`);
    return read.value;
  });
}

export function parseIoMem(settings: Settings): readonly Device[] | undefined {
  return settings.list('iomem')?.map((value, index) => {
    if (typeof value !== 'string') throw new ConfigError(`xl: Unable to get element ${index} in iomem list`);
    const match = /^\s*(?:0x)?([0-9a-f]+),\s*(?:0x)?([0-9a-f]+)(?:@\s*(?:0x)?([0-9a-f]+))?$/i.exec(value);
    if (match === null) throw new ConfigError(`xl: Invalid argument parsing iomem: ${value}`);
    const gfn = match[3] === undefined ? undefined : Number.parseInt(match[3], 16);
    return { start: Number.parseInt(match[1] ?? '', 16), number: Number.parseInt(match[2] ?? '', 16), gfn };
  });
}
