/** Xen's command line: what each option comes to, and what is said about wrong ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../../abi/errno.ts';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import {
  conringBytes,
  consoleDevices,
  dom0Memory,
  dom0Vcpus,
  parseBootOptions,
  setRuntimeParameters,
  thresholdsOf,
} from './boot-options.ts';
import { knownParameters } from './known-parameters.ts';

const mib = 2 ** 20;
const memory = (option: string): number => dom0Memory(parseBootOptions(option), 8192 * mib, 512 * mib) / mib;

describe('the boot line of a tutorial', () => {
  const line = 'dom0_mem=2048M,max:4096M cpuinfo com1=115200,8n1 console=com1,tty loglvl=all guest_loglvl=all';
  it('is understood as Xen understands it', () => {
    const options = parseBootOptions(line);
    assert.equal(dom0Memory(options, 8192 * mib, 512 * mib), 2048 * mib);
    assert.deepEqual(thresholdsOf(options), { xen: 4, guest: 4 });
    assert.equal(options.console, 'com1,tty');
    assert.deepEqual(options.messages, ["Bad console= option 'tty'"]);
    assert.deepEqual(consoleDevices(options), ['com1']);
  });
});

describe('dom0_mem', () => {
  for (const [option, expected] of [
    ['', 512],
    ['dom0_mem=1048576', 1024],
    ['dom0_mem=1g', 1024],
    ['dom0_mem=max:256M', 256],
    ['dom0_mem=min:1G', 1024],
    ['dom0_mem=2G,max:1G', 1024],
    ['dom0_mem=min:4G,max:1G,2G', 1024],
    ['dom0_mem=25%', 2048],
    ['dom0_mem=1G+25%', 3072],
    ['dom0_mem=-7G', 1024],
    ['dom0_mem=-50%', 4096],
    ['dom0_mem=100G', 8192],
    ['dom0_mem=1G dom0_mem=2G', 2048],
  ] as const)
    it(`${option || 'absent'} is ${expected} MiB`, () => assert.equal(memory(option), expected));

  it('is refused in other forms', () => {
    for (const value of ['x', '1Gx', '100%', '25%+1G', '1G+2G', '1G+', 'max:', '1G,,2G'])
      assert.deepEqual(
        parseBootOptions(`dom0_mem=${value}`).messages,
        [`parameter "dom0_mem" has invalid value "${value}", rc=-22!`],
        value,
      );
  });
});

describe('a word of the command line', () => {
  it('that nobody knows is told, and the rest counts', () => {
    const options = parseBootOptions('  nosuch=1 no-such  maxcpus=0x2 frobnicate noreboot');
    assert.deepEqual(options.messages, [
      'parameter "nosuch" unknown!',
      'parameter "no-such" unknown!',
      'parameter "frobnicate" unknown!',
    ]);
    assert.deepEqual([options.maxCpus, options.noreboot], [2, true]);
  });

  it('may be turned round where it is a boolean', () => {
    assert.equal(parseBootOptions('no-noreboot').noreboot, false);
    assert.equal(parseBootOptions('noreboot=off').noreboot, false);
    assert.equal(parseBootOptions('no-noreboot=off').noreboot, true);
    assert.deepEqual(parseBootOptions('hap=2').messages, ['parameter "hap" has invalid value "2", rc=-1!']);
  });

  it('is looked at where it means nothing here', () => {
    assert.deepEqual(parseBootOptions('iommu=no smt=1 ucode=scan watchdog conring_size=64k nmi=dom0').messages, []);
    assert.deepEqual(parseBootOptions('watchdog_timeout=5s conring_size=64x').messages, [
      'parameter "watchdog_timeout" has invalid value "5s", rc=-22!',
      'parameter "conring_size" has invalid value "64x", rc=-22!',
    ]);
  });

  it('has a value up to the next blank, of at most 126 characters with its name', () => {
    const long = 'x'.repeat(300);
    assert.deepEqual(parseBootOptions(long).messages, [`parameter "${'x'.repeat(127)}" unknown!`]);
  });
});

describe('other options', () => {
  it('limit the vCPUs of domain 0', () => {
    const vcpus = (value: string): number => dom0Vcpus(parseBootOptions(`dom0_max_vcpus=${value}`), 4);
    assert.deepEqual(['2', '8', '2-', '-3', '1-2', '0'].map(vcpus), [2, 8, 4, 3, 2, 1]);
    assert.equal(parseBootOptions('dom0_max_vcpus=two').messages.length, 1);
  });

  it('choose log levels, and the higher of two', () => {
    const level = (value: string): number => parseBootOptions(`loglvl=${value}`).loglvl;
    assert.deepEqual(['none', 'error', 'warning/all', 'info/error', 'debug', 'what'].map(level), [0, 1, 4, 3, 4, 2]);
    assert.equal(parseBootOptions('loglvl=what').messages.length, 1);
    assert.equal(parseBootOptions('').guestLoglvl, 2);
  });

  it('hide features from guests, under the names that Xen has for them', () => {
    const hidden = (value: string): string[] => [...parseBootOptions(`cpuid=${value}`).hiddenFeatures];
    assert.deepEqual(hidden('no-rdrand'), ['rdrand']);
    assert.deepEqual(hidden('no-sse4-2,aesni=off,rdseed,sha=on,no-avx512f'), ['sse4_2', 'aes']);
    const messages = (value: string): number => parseBootOptions(`cpuid=${value}`).messages.length;
    assert.deepEqual(['nosuch', 'no-sse4_2', 'aesni=maybe', '', 'no-rdrand,nosuch'].map(messages), [1, 1, 1, 1, 1]);
    assert.deepEqual(hidden('nosuch,no-rdrand'), ['rdrand'], 'the rest counts');
  });

  it('say where lines go, to ports that are set up', () => {
    const devices = (line: string): string => consoleDevices(parseBootOptions(line)).join();
    assert.deepEqual(
      ['', 'com1=115200', 'com1=115200 console=com1', 'com2=9600 console=com2,com1,vga', 'com1 console=none'].map(
        devices,
      ),
      ['vga', 'com1,vga', 'com1', 'com2,vga', ''],
    );
  });

  it('make the log as large as it should be', () => {
    const bytes = (line: string): number => conringBytes(parseBootOptions(line), 2) / 1024;
    assert.deepEqual(
      ['', 'loglvl=all', 'conring_size=100k', 'conring_size=1', 'conring_size=9T'].map(bytes),
      [16, 16, 128, 16, 16384],
    );
  });

  it('choose a scheduler that there is', () => {
    assert.equal(parseBootOptions('sched=credit').scheduler, 'credit');
    assert.deepEqual(parseBootOptions('sched=rtds').messages, [
      'Could not find scheduler: rtds',
      "Using 'credit2' scheduler",
    ]);
  });
});

describe('any command line', () => {
  const name = fc.constantFrom(
    ...Object.keys(knownParameters),
    'dom0_mem',
    'dom0_max_vcpus',
    'cpuid',
    'console',
    'mem',
    'sched',
  );
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.stringMatching(/^-?(?:0x)?[0-9]{0,25}[kKmMgGtT%]?(?:\+[0-9]{0,4}%?)?$/),
    fc.stringMatching(/^(?:(?:no-|min:|max:)?[a-z0-9-]{0,9}(?:=(?:on|off|maybe))?[,/]?){0,5}$/),
  );
  const word = fc.oneof(
    fc.tuple(fc.constantFrom('', 'no-'), name, fc.constantFrom('', '='), value).map((parts) => parts.join('')),
    value,
  );

  it('is read, and what comes of it is within what the host has', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        const line = words.join(' ');
        const options = parseBootOptions(line);
        const available = 4096 * mib;
        const memory = dom0Memory(options, available, 512 * mib);
        assert(memory >= 0 && memory <= available, `${memory}`);
        const vcpus = dom0Vcpus(options, 4);
        assert(vcpus >= 1 && vcpus <= 0xffffffff, `${vcpus}`);
        const ring = conringBytes(options, 4);
        assert(ring >= 16384 && ring <= 16 * mib && Number.isInteger(Math.log2(ring)));
        for (const number of [options.maxCpus, options.mem]) assert(number >= 0 && !Number.isNaN(number));
        assert(['credit', 'credit2'].includes(options.scheduler));
        // The same line says the same, and every message is a line that a log can take.
        assert.deepEqual(parseBootOptions(line), options);
        assert(options.messages.length <= line.length + 2);
      }),
      fuzz(300),
    );
  });
});

describe('parameters of a running hypervisor', () => {
  it('are the log levels', () => {
    const options = parseBootOptions('');
    const said: string[] = [];
    const set = (line: string): number => setRuntimeParameters(options, line, (text) => said.push(text));
    assert.deepEqual([set('loglvl=all guest_loglvl=none'), options.loglvl, options.guestLoglvl], [0, 4, 0]);
    assert.equal(set('nosuch=1'), Errno.ENOENT);
    assert.equal(set('maxcpus=1'), Errno.ENOENT);
    assert.deepEqual([set('loglvl=loud'), said.length], [Errno.EINVAL, 1]);
  });
});
