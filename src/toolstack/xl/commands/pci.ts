/** `xl pci-*`: this host has no PCI devices to give away, and says so as a host whose pciback driver is not loaded. */
import { ConfigError } from '../../config/config-error.ts';
import { parseBdf, parsePci } from '../../config/host-device-specs.ts';
import { libxlLine } from '../../domain/libxl-error.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';

type Pci = (invocation: Invocation, given: readonly string[]) => Promise<number>;

const commands: Readonly<Record<string, { readonly required: number; readonly short: string; readonly run: Pci }>> = {
  'pci-attach': { required: 2, short: '', run: attach },
  'pci-detach': { required: 2, short: 'f', run: detach },
  'pci-list': { required: 1, short: '', run: list },
  'pci-assignable-add': { required: 1, short: 'n:', run: makeAssignable },
  'pci-assignable-remove': { required: 1, short: 'r', run: takeBack },
  'pci-assignable-list': { required: 0, short: 'n', run: listAssignable },
};
const long = {
  'pci-assignable-add': { name: 'n:' },
  'pci-assignable-list': { 'show-names': 'n' },
} as Readonly<Record<string, Readonly<Record<string, string>>>>;

export async function run(invocation: Invocation): Promise<number> {
  const { name } = invocation;
  const command = commands[name];
  if (command === undefined) throw new Error(`no command of PCI: ${name}`);
  const { short, required } = command;
  const { arguments: given } = await readArguments(invocation, { short, long: long[name] ?? {} }, required);
  return command.run(invocation, given);
}

const notLoaded = libxlLine('libxl_device_pci_assignable_list', 'Looks like pciback driver not loaded');

async function attach(invocation: Invocation, [domain = '', spec = '']: readonly string[]): Promise<number> {
  const domid = await findDomain(invocation, domain);
  const bdf = readSpec(invocation, spec);
  if (bdf === undefined) return 2;
  invocation.err(notLoaded);
  invocation.err(libxlLine('libxl__device_pci_add', `${prefix(domid)}PCI device ${bdf} is not assignable`));
  invocation.err(libxlLine('device_addrm_aocomplete', `${prefix(domid)}Unable to add pci with id 0`));
  return 1;
}

async function detach(invocation: Invocation, [domain = '', spec = '']: readonly string[]): Promise<number> {
  const domid = await findDomain(invocation, domain);
  if (readSpec(invocation, spec) === undefined) return 2;
  invocation.err(libxlLine('do_pci_remove', `${prefix(domid)}PCI device not attached to this domain`));
  return 1;
}

async function list(invocation: Invocation, [domain = '']: readonly string[]): Promise<number> {
  await findDomain(invocation, domain);
  return 0;
}

function makeAssignable({ err }: Invocation, [text = '']: readonly string[]): Promise<number> {
  const bdf = parseBdf(text);
  if (bdf === undefined) {
    err(`pci-assignable-add: malformed BDF "${text}"`);
    return Promise.resolve(2);
  }
  const path = `/sys/bus/pci/devices/${formatBdf(bdf)}`;
  err(libxlLine('libxl__device_pci_assignable_add', `Couldn't lstat ${path}: No such file or directory`));
  return Promise.resolve(1);
}

function takeBack({ err }: Invocation, [text = '']: readonly string[]): Promise<number> {
  const bdf = parseBdf(text);
  if (bdf === undefined) {
    err(`pci-assignable-remove: malformed BDF '${text}'`);
    return Promise.resolve(2);
  }
  err(libxlLine('libxl__device_pci_assignable_remove', `failed to de-quarantine ${formatBdf(bdf)}`));
  return Promise.resolve(1);
}

function listAssignable({ err }: Invocation): Promise<number> {
  err(notLoaded);
  return Promise.resolve(0);
}

/** As libxl writes it in its messages; undefined when it cannot be read, which has been said then. */
function readSpec({ err, name }: Invocation, spec: string): string | undefined {
  try {
    const none = { msitranslate: false, power_mgmt: false, permissive: false, seize: false };
    const { domain = 0, bus = 0, dev = 0, func = 0 } = parsePci(spec, none);
    return [domain, bus, `${hex(dev)}.${hex(func)}`].map(hex).join(':');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    err(`${name}: malformed PCI_SPEC_STRING "${spec}"`);
    return undefined;
  }
}

function hex(value: unknown): string {
  return typeof value === 'number' ? value.toString(16) : String(value);
}

function formatBdf({ domain, bus, dev, func }: NonNullable<ReturnType<typeof parseBdf>>): string {
  const digits = (value: number, width: number): string => value.toString(16).padStart(width, '0');
  return `${digits(domain, 4)}:${digits(bus, 2)}:${digits(dev, 2)}.${func}`;
}

function prefix(domid: number): string {
  return domid === 0 ? '' : `Domain ${domid}:`;
}
