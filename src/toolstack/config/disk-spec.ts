/**
 * Disk specifications of `disk = [ … ]` and `xl block-attach` (xl-disk-configuration(5)): key=value pairs in any order, `target=`
 * taking the rest of the string, and the older positional form `target, format, vdev, access` with prefixes such as `phy:`.
 */
import { ConfigError } from './config-error.ts';
import { type DefBool, type Device } from './domain-config.ts';
import { atoi } from './numbers.ts';

interface Disk {
  backend_domname?: string;
  pdev_path?: string;
  vdev?: string;
  backend?: string;
  format?: string;
  script?: string;
  removable?: 1;
  readwrite?: 1;
  is_cdrom?: 1;
  direct_io_safe?: true;
  discard_enable?: DefBool;
  specification?: string;
  colo_enable?: DefBool;
  colo_host?: string;
  colo_port?: number;
  colo_export?: string;
  active_disk?: string;
  hidden_disk?: string;
  trusted?: DefBool;
}

type TextMember =
  'backend_domname' | 'pdev_path' | 'vdev' | 'script' | 'colo_host' | 'colo_export' | 'active_disk' | 'hidden_disk';

const formats = ['raw', 'qcow', 'qcow2', 'vhd', 'empty', 'qed'];
const backends = ['phy', 'tap', 'qdisk', 'standalone'];
const specifications = ['xen', 'virtio'];

/** What a bare word says. */
const flags: Readonly<Record<string, (disk: Disk) => void>> = {
  cdrom: (disk) => (disk.is_cdrom = 1),
  'direct-io-safe': (disk) => (disk.direct_io_safe = true),
  discard: (disk) => (disk.discard_enable = 'True'),
  'no-discard': (disk) => (disk.discard_enable = 'False'),
  colo: (disk) => (disk.colo_enable = 'True'),
  'no-colo': (disk) => (disk.colo_enable = 'False'),
  trusted: (disk) => (disk.trusted = 'True'),
  untrusted: (disk) => (disk.trusted = 'False'),
};

/** What `key=value` sets; the text members may not be set twice. */
const texts: Readonly<Record<string, { member: TextMember; called: string }>> = {
  backend: { member: 'backend_domname', called: 'backend' },
  vdev: { member: 'vdev', called: 'vdev' },
  script: { member: 'script', called: 'script' },
  'colo-host': { member: 'colo_host', called: 'colo-host' },
  'colo-export': { member: 'colo_export', called: 'colo-export' },
  'active-disk': { member: 'active_disk', called: 'active-disk' },
  'hidden-disk': { member: 'hidden_disk', called: 'hidden-disk' },
};

const keys = new Set([
  ...Object.keys(texts),
  'format',
  'devtype',
  'access',
  'backendtype',
  'specification',
  'colo-port',
]);

const order = [
  'backend_domname',
  'pdev_path',
  'vdev',
  'backend',
  'format',
  'script',
  'removable',
  'readwrite',
  'is_cdrom',
  'direct_io_safe',
  'discard_enable',
  'specification',
  'colo_enable',
  'colo_host',
  'colo_port',
  'colo_export',
  'active_disk',
  'hidden_disk',
  'trusted',
] as const satisfies readonly (keyof Disk)[];

/** Several specs describe one disk together, as the arguments of `xl block-attach`. Throws ConfigError with xl's words. */
export function parseDisk(specs: readonly string[], source: string): Device {
  const parser = new DiskParser(source);
  for (const spec of specs) parser.read(spec);
  return parser.finish();
}

class DiskParser {
  readonly #source: string;
  readonly #disk: Disk = { readwrite: 1 };
  #spec = '';
  #rest = '';
  #hadPrefix = false;
  #accessSet = false;

  constructor(source: string) {
    this.#source = source;
  }

  read(spec: string): void {
    this.#spec = spec;
    this.#rest = spec;
    while (this.#rest !== '') this.#parameter();
  }

  finish(): Device {
    const disk = this.#disk;
    disk.format ??= 'raw';
    if (disk.is_cdrom !== undefined) {
      disk.removable = 1;
      delete disk.readwrite;
      if (!disk.pdev_path) disk.format = 'empty';
    }
    if (disk.vdev === undefined) this.#fail(undefined, 'no vdev specified');
    if (disk.pdev_path === undefined && disk.removable === undefined) {
      this.#fail(undefined, 'no target specified (and device not removable)');
    }
    return Object.fromEntries(order.flatMap((member) => (disk[member] === undefined ? [] : [[member, disk[member]]])));
  }

  #parameter(): void {
    const rest = this.#rest.replace(/^[ \t\n]+/, '');
    if (rest !== this.#rest) {
      this.#rest = rest;
      return;
    }
    const target = /^target=([^\n]*)/.exec(rest);
    if (target !== null)
      return this.#consume(target[0], () => this.#save('pdev_path', 'target', chop(target[1] ?? '')));
    const prefix =
      /^([a-z][a-z0-9]*):(?![a-z0-9])/.exec(rest) ??
      /^(raw|qcow2?|vhd|iscsi|e?nbd|drbd|tapdisk|tap2?|aio|ioemu|file|phy):/.exec(rest);
    if (prefix !== null) return this.#consume(prefix[0], () => this.#prefix(prefix[1] ?? '', prefix[0]));
    const pair = /^([a-z][-a-z0-9]*)=([^,]*),?/.exec(rest);
    if (pair !== null) {
      const [whole, key = '', value = ''] = pair;
      if (keys.has(key)) return this.#consume(whole, () => this.#pair(key, value, whole));
      // Of an unknown parameter's value xl's scanner takes one character.
      if (value !== '') this.#fail(/^[^=]*=[^,],?/.exec(whole)?.[0] ?? whole, 'unknown parameter');
    }
    const word = /^[^=,]*,|^[^=,]+/.exec(rest);
    if (word === null) this.#fail(rest.split('\n')[0] ?? rest, 'bad disk syntax');
    const text = chop(word[0]);
    const flag = flags[text];
    this.#consume(word[0], () => (flag === undefined ? this.#positional(text) : flag(this.#disk)));
  }

  #consume(text: string, act: () => void): void {
    this.#rest = this.#rest.slice(text.length);
    act();
  }

  #pair(key: string, value: string, whole: string): void {
    const text = texts[key];
    if (text !== undefined) return this.#save(text.member, text.called, value);
    const disk = this.#disk;
    switch (key) {
      case 'format':
        return this.#format(value);
      case 'access':
        return this.#access(value);
      case 'backendtype':
        return this.#choose('backend', backends, value, 'unknown value for backendtype');
      case 'specification':
        return this.#choose('specification', specifications, value, 'unknown value for specification');
      case 'devtype':
        if (value === 'cdrom') disk.is_cdrom = 1;
        else if (value === 'disk') delete disk.is_cdrom;
        else this.#fail(whole, 'unknown value for type');
        return;
      case 'colo-port':
        disk.colo_port = atoi(value);
        if (disk.colo_port === 0) this.#fail(value, 'unknown value for colo_port');
        return;
    }
  }

  #prefix(name: string, whole: string): void {
    this.#hadPrefix = true;
    if (/^(raw|qcow2?|vhd)$/.test(name)) return this.#format(name);
    if (/^(iscsi|e?nbd|drbd)$/.test(name)) return this.#save('script', 'script', `block-${name}`);
    if (!/^(tapdisk|tap2?|aio|ioemu|file|phy)$/.test(name)) this.#fail(whole, 'unknown deprecated disk prefix');
  }

  #positional(text: string): void {
    const disk = this.#disk;
    if (disk.pdev_path === undefined) {
      disk.pdev_path = text;
    } else if (!this.#hadPrefix && disk.format === undefined) {
      if (disk.pdev_path === '' && this.#vdevWithType(text)) disk.format = 'empty';
      else this.#format(text);
    } else if (disk.vdev === undefined) {
      if (!this.#vdevWithType(text)) disk.vdev = text;
    } else if (!this.#accessSet) {
      this.#accessSet = true;
      this.#access(text);
    } else {
      this.#fail(text, 'too many positional parameters');
    }
  }

  /** The old `vdev:devtype`. */
  #vdevWithType(text: string): boolean {
    const colon = text.lastIndexOf(':');
    if (colon < 0) return false;
    this.#save('vdev', 'vdev', text.slice(0, colon));
    const type = text.slice(colon + 1);
    if (type === 'cdrom') this.#disk.is_cdrom = 1;
    else if (type === 'disk') delete this.#disk.is_cdrom;
    else this.#fail(type, 'unknown deprecated type');
    return true;
  }

  #format(value: string): void {
    this.#choose('format', formats, value === '' ? 'raw' : value, 'unknown value for format', value);
  }

  #access(value: string): void {
    if (value === 'r' || value === 'ro') delete this.#disk.readwrite;
    else if (value === 'rw' || value === 'w' || value === '') this.#disk.readwrite = 1;
    else this.#fail(value, 'unknown value for access');
  }

  #choose(
    member: 'format' | 'backend' | 'specification',
    from: string[],
    value: string,
    unknown: string,
    written = value,
  ): void {
    if (!from.includes(value)) this.#fail(written, unknown);
    const previous = this.#disk[member];
    if (previous !== undefined && previous !== value) this.#fail(written, `${member} respecified`);
    this.#disk[member] = value;
  }

  #save(member: TextMember, called: string, value: string): void {
    if (this.#disk[member]) this.#fail(value, `${called} respecified`);
    this.#disk[member] = value;
  }

  #fail(near: string | undefined, message: string): never {
    const where = near === undefined ? '' : `: near \`${near}'`;
    throw new ConfigError(
      `${this.#source}: config parsing error in disk specification: ${message}${where} in \`${this.#spec}'`,
    );
  }
}

function chop(text: string): string {
  return text.endsWith(',') ? text.slice(0, -1) : text;
}
