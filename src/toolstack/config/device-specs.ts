/** The smaller device lists of a configuration: virtual TPMs, 9pfs, PV calls, displays, channels, USB, keyboards (xl.cfg(5), "Devices"). */
import { ConfigError } from './config-error.ts';
import { defBool, type DefBool, type Device } from './domain-config.ts';
import { enumeration } from './enumeration.ts';
import { tokens } from './nic-spec.ts';
import { atoi, strtol, strtou32 } from './numbers.ts';
import { parseUuid } from './uuid.ts';

export interface DeviceContext {
  readonly report: (line: string) => void;
}

/** key=value of one token; xl stops reading a list of pairs at the first token that is none. */
function pair(token: string): { key: string; value: string } | undefined {
  const equals = token.indexOf('=');
  return equals < 0 ? undefined : { key: token.slice(0, equals), value: token.slice(equals + 1) };
}

function unknown(what: string, kind: string): never {
  throw new ConfigError(`Unknown string \`${what}' in ${kind} spec`);
}

export function parseVtpm(spec: string, devid: number): Device {
  let backend: string | undefined;
  let uuid: string | undefined;
  for (const token of tokens(spec)) {
    const read = pair(token);
    if (read === undefined) break;
    if (read.key === 'backend') {
      backend = read.value;
    } else if (read.key === 'uuid') {
      uuid = parseUuid(read.value);
      if (uuid === undefined) throw new ConfigError(`Failed to parse vtpm UUID: ${read.value}`);
    } else {
      unknown(read.key, 'vtpm');
    }
  }
  if (backend === undefined) throw new ConfigError('vtpm spec missing required backend field!');
  return { backend_domname: backend, devid, uuid: uuid ?? '00000000-0000-0000-0000-000000000000' };
}

/** Pairs split at commas and trimmed on both sides. */
function trimmedPairs(spec: string, what: string): readonly { key: string; value: string }[] {
  return spec
    .split(',')
    .filter((token) => token !== '')
    .map((token) => {
      const [key, value] = token.split('=').filter((part) => part !== '');
      if (key === undefined || value === undefined)
        throw new ConfigError(`failed to parse ${what} configuration: ${token}`);
      return { key: key.trim(), value: value.trim() };
    });
}

export function parseP9(spec: string): Device {
  const members = new Map<string, string>();
  for (const token of tokens(spec)) {
    const read = pair(token);
    if (read === undefined) break;
    if (!['security_model', 'path', 'tag', 'backend'].includes(read.key)) unknown(read.key, '9pfs');
    members.set(read.key, read.value);
  }
  if (!['security_model', 'path', 'tag'].every((key) => members.has(key)))
    throw new ConfigError('9pfs spec missing required field!');
  return {
    backend_domname: members.get('backend'),
    tag: members.get('tag'),
    path: members.get('path'),
    security_model: members.get('security_model'),
  };
}

export function parsePvcalls(spec: string, devid: number): Device {
  let backend: string | undefined;
  for (const token of tokens(spec)) {
    const read = pair(token);
    if (read === undefined) break;
    if (read.key !== 'backend') unknown(read.key, 'pvcalls');
    backend = read.value;
  }
  return { backend_domname: backend, devid };
}

export function parseVdispl(spec: string, devid: number): Device {
  let backend: string | undefined;
  let beAlloc = false;
  let connectors: Device[] = [];
  for (const token of tokens(spec)) {
    const read = pair(token);
    if (read?.key === 'backend') backend = read.value;
    else if (read?.key === 'be-alloc') beAlloc = strtou32(read.value) !== 0;
    else if (read?.key === 'connectors')
      connectors = read.value
        .split(';')
        .filter((text) => text !== '')
        .map(parseConnector);
    else throw new ConfigError(`Unknown string "${token}" in vdispl spec`);
  }
  if (connectors.length === 0) throw new ConfigError('At least one connector should be specified.');
  return { backend_domname: backend, devid, ...(beAlloc ? { be_alloc: true } : {}), connectors };
}

function parseConnector(text: string): Device {
  const match = /^([^:]+):\s*(\d+)x\s*(\d+)/.exec(text);
  if (match === null) throw new ConfigError("Can't parse connector resolution");
  return { unique_id: match[1], width: Number(match[2]), height: Number(match[3]) };
}

export function parseChannel(spec: string, devid: number, { report }: DeviceContext): Device {
  const members = new Map<string, string>();
  for (const { key, value } of trimmedPairs(spec, 'channel')) {
    if (key === 'connection' && value !== 'pty' && value !== 'socket' && value !== 'internal')
      throw new ConfigError(`unknown channel connection '${value}'`);
    if (['backend', 'name', 'path', 'connection'].includes(key)) members.set(key, value);
    else report(`unknown channel parameter '${key}', ignoring`);
  }
  const common = { backend_domname: members.get('backend'), devid, name: members.get('name') };
  switch (members.get('connection')) {
    case 'pty':
      return { ...common, 'connection.pty': {} };
    // Not of xl: for who is in the daemon's own process, as the agent's clients are.
    case 'internal':
      return { ...common, 'connection.internal': {} };
    case 'socket': {
      const path = members.get('path');
      if (path === undefined) throw new ConfigError("channel connection 'socket' requires path=..");
      return { ...common, 'connection.socket': { path } };
    }
    default:
      throw new ConfigError("channel has unknown 'connection'");
  }
}

const usbControllerTypes = ['auto', 'pv', 'devicemodel', 'qusb'];

export function parseUsbController(spec: string, devid: number): Device {
  let type: string | undefined;
  let version = 0;
  let ports = 0;
  for (const token of tokens(spec)) {
    const read = pair(token);
    if (read?.key === 'type') {
      type = enumeration(usbControllerTypes, read.value);
      if (type === undefined) throw new ConfigError(`Invalid usb controller type '${read.value}'`);
    } else if (read?.key === 'version') {
      version = atoi(read.value);
    } else if (read?.key === 'ports') {
      ports = atoi(read.value);
    } else {
      unknown(token, 'usbctrl');
    }
  }
  return {
    ...(type === undefined || type === 'auto' ? {} : { type }),
    devid,
    ...(version === 0 ? {} : { version }),
    ...(ports === 0 ? {} : { ports }),
  };
}

/** libxl prints no member of a device whose `type` was not given, whatever else was. */
export function parseUsbDevice(spec: string): Device {
  let controller: number | undefined;
  let port = 0;
  let hostdev = false;
  let hostbus = 0;
  let hostaddr = 0;
  for (const token of tokens(spec)) {
    const read = pair(token);
    if (read?.key === 'type') {
      if (enumeration(['hostdev'], read.value) === undefined)
        throw new ConfigError(`Invalid usb device type: ${read.value}`);
      hostdev = true;
    } else if (read?.key === 'hostbus') {
      hostbus = strtou32(read.value) & 0xff;
    } else if (read?.key === 'hostaddr') {
      hostaddr = strtou32(read.value) & 0xff;
    } else if (read?.key === 'controller') {
      controller = atoi(read.value);
    } else if (read?.key === 'port') {
      port = atoi(read.value);
    } else {
      unknown(token, 'usbdev');
    }
  }
  return {
    ctrl: controller,
    ...(port === 0 ? {} : { port }),
    ...(hostdev
      ? { 'type.hostdev': { ...(hostbus === 0 ? {} : { hostbus }), ...(hostaddr === 0 ? {} : { hostaddr }) } }
      : {}),
  };
}

/** Key in the specification → libxl's member and its kind (xen/include/public/io/kbdif.h). */
const keyboardKeys: Readonly<Record<string, { member: string; kind: 'text' | 'flag' | 'number' | 'backend' }>> = {
  backend: { member: 'backend_domname', kind: 'text' },
  'backend-type': { member: 'backend_type', kind: 'backend' },
  'unique-id': { member: 'unique_id', kind: 'text' },
  'feature-disable-keyboard': { member: 'feature_disable_keyboard', kind: 'flag' },
  'feature-disable-pointer': { member: 'feature_disable_pointer', kind: 'flag' },
  'feature-abs-pointer': { member: 'feature_abs_pointer', kind: 'flag' },
  'feature-raw-pointer': { member: 'feature_raw_pointer', kind: 'flag' },
  'feature-multi-touch': { member: 'feature_multi_touch', kind: 'flag' },
  width: { member: 'width', kind: 'number' },
  height: { member: 'height', kind: 'number' },
  'multi-touch-width': { member: 'multi_touch_width', kind: 'number' },
  'multi-touch-height': { member: 'multi_touch_height', kind: 'number' },
  'multi-touch-num-contacts': { member: 'multi_touch_num_contacts', kind: 'number' },
};

export function parseKeyboard(spec: string, devid: number): Device {
  const members = new Map<string, string | number | boolean>();
  for (const token of tokens(spec)) {
    const read = pair(token);
    const row = read === undefined ? undefined : keyboardKeys[read.key];
    if (read === undefined || row === undefined) throw new ConfigError(`Unknown string "${token}" in vkb spec`);
    if (row.kind === 'text') members.set(row.member, read.value);
    else if (row.kind === 'number') members.set(row.member, strtou32(read.value));
    else if (row.kind === 'flag') members.set(row.member, strtou32(read.value) !== 0);
    else members.set(row.member, keyboardBackend(read.value));
  }
  if (!members.has('backend_type')) throw new ConfigError('backend-type should be set in vkb spec');
  const touch = ['multi_touch_width', 'multi_touch_height', 'multi_touch_num_contacts'].some((name) =>
    members.get(name),
  );
  if (touch) members.set('feature_multi_touch', true);
  if (members.get('feature_multi_touch') === true && !touch) {
    const names = 'multi-touch-width, multi-touch-height, multi-touch-num-contacts';
    throw new ConfigError(`${names} should be set for multi touch in vkb spec`);
  }
  const keyboard: Record<string, string | number | boolean> = {};
  for (const member of ['backend_domname', 'devid', ...Object.values(keyboardKeys).map((row) => row.member)]) {
    const value = member === 'devid' ? devid : members.get(member);
    if (value !== undefined && value !== false && (member === 'devid' || value !== 0)) keyboard[member] = value;
  }
  return keyboard;
}

function keyboardBackend(text: string): string {
  const backend = enumeration(['qemu', 'linux'], text);
  if (backend === undefined) throw new ConfigError(`Unknown backend_type "${text}" in vkb spec`);
  return backend;
}

/** The members of libxl_vnc_info and libxl_sdl_info; absent ones have their defaults. */
export interface Vnc {
  enable?: DefBool | undefined;
  listen?: string | undefined;
  passwd?: string | undefined;
  display?: number | undefined;
  findunused?: DefBool | undefined;
}
export interface Sdl {
  enable?: DefBool | undefined;
  opengl?: DefBool | undefined;
  display?: string | undefined;
  xauthority?: string | undefined;
}

export function vncToJson(vnc: Vnc): Device {
  const { enable, listen, passwd, display, findunused } = vnc;
  return { enable, listen, passwd, ...(display === 0 ? {} : { display }), findunused };
}

export function sdlToJson({ enable, opengl, display, xauthority }: Sdl): Device {
  return { enable, opengl, display, xauthority };
}

/** `vfb = [ … ]`: unknown keys are ignored, and so is all that follows a word without `=`. */
export function parseFramebuffer(spec: string, devid: number): Device {
  const vnc: Vnc = {};
  const sdl: Sdl = {};
  let keymap: string | undefined;
  for (const token of tokens(spec)) {
    const read = pair(token);
    if (read === undefined) break;
    const { key, value } = read;
    const flag = defBool(atoi(value) !== 0);
    if (key === 'vnc') vnc.enable = flag;
    else if (key === 'vnclisten') vnc.listen = value;
    else if (key === 'vncpasswd') vnc.passwd = value;
    else if (key === 'vncdisplay') vnc.display = strtol(value, 10).value;
    else if (key === 'vncunused') vnc.findunused = flag;
    else if (key === 'keymap') keymap = value;
    else if (key === 'sdl') sdl.enable = flag;
    else if (key === 'opengl') sdl.opengl = flag;
    else if (key === 'display') sdl.display = value;
    else if (key === 'xauthority') sdl.xauthority = value;
  }
  return { devid, vnc: vncToJson(vnc), sdl: sdlToJson(sdl), keymap };
}
