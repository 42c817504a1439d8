/** `xl usb-list`, `usbctrl-*` and `usbdev-*`: this host has no USB devices to give away. */
import { ConfigError } from '../../config/config-error.ts';
import { parseUsbController, parseUsbDevice } from '../../config/device-specs.ts';
import { formatJson, type JsonObject } from '../../config/json.ts';
import { atoi } from '../../config/numbers.ts';
import { libxlLine } from '../../domain/libxl-error.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';

type Usb = (invocation: Invocation, domid: number, rest: readonly string[]) => number;

const commands: Readonly<Record<string, { readonly required: number; readonly run: Usb }>> = {
  'usb-list': { required: 1, run: list },
  'usbctrl-attach': { required: 1, run: attachController },
  'usbctrl-detach': { required: 2, run: detachController },
  'usbdev-attach': { required: 2, run: attachDevice },
  'usbdev-detach': { required: 3, run: detachDevice },
};

export async function run(invocation: Invocation): Promise<number> {
  const command = commands[invocation.name];
  if (command === undefined) throw new Error(`no command of USB: ${invocation.name}`);
  const { arguments: given } = await readArguments(invocation, { short: '' }, command.required);
  const [domain = '', ...rest] = given;
  return command.run(invocation, await findDomain(invocation, domain), rest);
}

function list({ err }: Invocation, _: number, rest: readonly string[]): number {
  if (rest.length === 0) return 0;
  err('Invalid arguments.');
  return 255;
}

function attachController(invocation: Invocation, _: number, rest: readonly string[]): number {
  const controller = read(invocation, () => parseUsbController(rest.join(','), 0));
  if (controller === undefined) return 1;
  if (invocation.globals.dryRun) invocation.out(`${formatJson(controller)}\n`);
  else return notHere(invocation, 'usbctrl', 'USB controllers');
  return 0;
}

function attachDevice(invocation: Invocation, domid: number, rest: readonly string[]): number {
  const device = read(invocation, () => parseUsbDevice(rest.join(',')));
  if (device === undefined) return 1;
  if (invocation.globals.dryRun) {
    invocation.out(`${formatJson(device)}\n`);
    return 0;
  }
  const prefix = domid === 0 ? '' : `Domain ${domid}:`;
  invocation.err(libxlLine('libxl__device_usbdev_add', `${prefix}USB device is not assignable.`));
  invocation.err('libxl_device_usbdev_add failed.');
  return 1;
}

function detachController({ err }: Invocation, domid: number, [devid = '']: readonly string[]): number {
  const path = `/libxl/${domid}/device/vusb/${atoi(devid)}`;
  err(libxlLine('libxl__xs_read_mandatory', `xenstore read failed: \`${path}': No such file or directory`));
  err(`Unknown device ${devid}.`);
  return 1;
}

function detachDevice({ err }: Invocation, _: number, [controller = '', port = '', extra]: readonly string[]): number {
  err(
    extra === undefined ? `Unknown device at controller ${atoi(controller)} port ${atoi(port)}.` : 'Invalid arguments.',
  );
  return 1;
}

function read({ err }: Invocation, parse: () => JsonObject): JsonObject | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    err(error.message);
    return undefined;
  }
}

function notHere({ err }: Invocation, kind: string, what: string): number {
  err(`xl: ${what} are not supported yet`);
  err(`libxl_device_${kind}_add failed.`);
  return 1;
}
