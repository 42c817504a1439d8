/**
 * Configuration text of any kind: xl.cfg, the specifications of its devices, network.cfg, console.cfg. It is read, or refused with a sentence for the
 * person who wrote it; nothing else happens, and nothing takes long.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { XenError } from '../xen-error.ts';
import { ConfigError } from './config-error.ts';
import { joinOverrides } from './config-text.ts';
import { parseConsoleConfig } from './console-config.ts';
import { parseDisk } from './disk-spec.ts';
import { configToJson } from './domain-config.ts';
import { formatGuestPort, formatHostPort, parseGuestPort, parseHostPort } from './forward-spec.ts';
import { formatJson } from './json.ts';
import { configKeys, remarks } from './keys.ts';
import { parseNetworkConfig } from './network-config.ts';
import { parseNic } from './nic-spec.ts';
import { parseConfig } from './parse-config.ts';

interface Recorded {
  readonly config: string;
}
const recorded = JSON.parse(readFileSync(new URL('recorded-cases.json', import.meta.url), 'utf8')) as Recorded[];
const texts = recorded.map(({ config }) => config);

/** Whatever is said in refusal must be of use: a sentence, and an exit code. */
function refusable(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof XenError)) throw error;
    assert.ok(error.exitCode > 0);
  }
}

function parse(text: string): void {
  refusable(() => {
    const lines: string[] = [];
    const { config, settings } = parseConfig(text, 'fuzz.cfg', { cpus: 2 }, (line) => lines.push(line));
    // What was read can be told, sent to the daemon, and shown.
    formatJson(configToJson(config));
    JSON.stringify(config);
    remarks(settings);
  });
}

const words = fc.constantFrom(
  ...['name', 'type', 'memory', 'vcpus', 'cpus', 'disk', 'vif', 'channel', 'vfb', 'pci', 'cpuid', 'vnuma', 'ioports'],
  ...['xvda', 'hda', 'qcow2', 'raw', 'vhd', 'bridge', 'mac', 'backend', 'format', 'target', 'vdev', 'access', 'script'],
  ...[
    'rate',
    '10MB/s',
    'x86_64',
    'pv',
    'pvh',
    'hvm',
    'all',
    'nodes:0',
    'node',
    '^1',
    '0-7',
    '4294967296',
    '-1',
    '0x1f',
  ],
  ...[
    'host:',
    'leaf',
    'xenbr0',
    'subnet',
    '10.0.2.0/24',
    'fd00::/64',
    'nat',
    'tcp',
    'udp',
    '*',
    '[::1]',
    '00:16:3e:00:00:01',
  ],
);
const signs = fc.constantFrom(
  '=',
  '+=',
  '[',
  ']',
  '(',
  ')',
  ',',
  '"',
  "'",
  '\n',
  '#',
  ';',
  ':',
  '/',
  ' ',
  '\\',
  '\t',
  '\0',
  '|',
);
const piece = fc.oneof(
  { weight: 4, arbitrary: words },
  { weight: 4, arbitrary: signs },
  { weight: 1, arbitrary: fc.constantFrom(...configKeys.keys()) },
  { weight: 1, arbitrary: fc.string({ maxLength: 12, unit: 'binary' }) },
  { weight: 1, arbitrary: fc.string({ maxLength: 12 }) },
);
const noise = fc.array(piece, { maxLength: 40, size: 'max' }).map((parts) => parts.join(''));

/** A text in which some pieces were replaced, doubled or taken out. */
const spoilt = (originals: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.constantFrom(...originals),
      fc.array(fc.record({ at: fc.nat(), length: fc.nat(8), by: fc.oneof(piece, fc.constant(undefined)) }), {
        minLength: 1,
        maxLength: 6,
      }),
    )
    .map(([original, changes]) =>
      changes.reduce((text, { at, length, by }) => {
        const from = at % (text.length + 1);
        const old = text.slice(from, from + length);
        return text.slice(0, from) + (by ?? old + old) + text.slice(from + length);
      }, original),
    );

describe('configuration text of any kind', () => {
  it('as xl.cfg is read or refused', () => {
    fc.assert(fc.property(noise, parse), fuzz(500));
  });

  it('as xl.cfg with any value of any key is read or refused', () => {
    const quoted = noise.map((text) => `"${text.replaceAll(/["\n\0]/g, '')}"`);
    const value = fc.oneof(
      quoted,
      fc.array(quoted, { maxLength: 3 }).map((list) => `[ ${list.join(', ')} ]`),
      fc.integer().map(String),
    );
    const setting = fc.tuple(fc.constantFrom(...configKeys.keys()), value).map(([key, text]) => `${key} = ${text}\n`);
    const kind = fc.constantFrom('pv', 'pvh', 'hvm').map((type) => `name = "x"\ntype = "${type}"\nkernel = "k"\n`);
    fc.assert(
      fc.property(kind, fc.array(setting, { maxLength: 6 }), (first, rest) => parse(first + rest.join(''))),
      fuzz(500),
    );
  });

  it('as a spoilt xl.cfg is read or refused', () => {
    assert.ok(texts.length > 10);
    fc.assert(fc.property(spoilt(texts), parse), fuzz(500));
  });

  it('as overrides of the command line is read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.array(noise, { maxLength: 3 }), (file, overrides) =>
        parse(joinOverrides(file, overrides)),
      ),
      fuzz(200),
    );
  });

  it('as a disk, an interface or a forward is read or refused', () => {
    const disks = [
      '/a.qcow2,qcow2,xvda,rw',
      'vdev=hda, format=raw, access=ro, target=/x',
      'phy:/dev/a,hda1,w',
      ',,xvdb:cdrom',
    ];
    const nics = [
      'mac=00:16:3e:01:02:03,bridge=xenbr0,rate=10MB/s@20ms',
      'ip=10.0.2.15 fd00::1,vifname=web,script=vif-bridge',
    ];
    const forwards = ['tcp:127.0.0.1:2222', 'udp:[::1]:53', 'web:22', '[fd00::15]:80'];
    const nothing = { source: 'fuzz.cfg', report: () => undefined };
    fc.assert(
      fc.property(fc.oneof(noise, spoilt([...disks, ...nics, ...forwards])), fc.nat(3), (text, devid) => {
        refusable(() => void parseDisk([text], 'fuzz.cfg'));
        refusable(() => void parseNic(text, devid, nothing));
        const host = parseHostPort(text);
        if (host) assert.deepEqual(parseHostPort(formatHostPort(host)), host);
        const guest = parseGuestPort(text);
        if (guest) assert.deepEqual(parseGuestPort(formatGuestPort(guest)), guest);
      }),
      fuzz(500),
    );
  });

  it('as network.cfg or console.cfg is read or refused', () => {
    const network =
      'bridge = [ "name=xenbr0, nat=1, subnet=10.0.2.0/24, resolver=::1, mtu=1500" ]\nforward = [ "2222 web:22", "udp:*:53 10.0.2.15:53 bridge=lan" ]\n';
    const console_ = 'log = "all"\ntimestamp = "guest"\nlog_size = 64\nlog_dir = "/tmp"\n';
    fc.assert(
      fc.property(fc.oneof(noise, spoilt([network, console_])), (text) => {
        refusable(() => void parseNetworkConfig(text, 'network.cfg'));
        refusable(() => void parseConsoleConfig(text, 'console.cfg'));
      }),
      fuzz(500),
    );
  });
});
