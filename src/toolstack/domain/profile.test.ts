import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DomainControl, ProfileSample, Symbolizer, VcpuProfile } from '../../hypervisor/control.ts';
import { ProfileSession } from './profile.ts';

const BASE = -0x7f00_0000;
const symbolize: Symbolizer = (va) =>
  va >= BASE && va < BASE + 0x2000
    ? { name: va < BASE + 0x1000 ? 'first' : 'second', offset: va & 0xfff, size: 0x1000 }
    : undefined;

/** A domain whose vCPUs have just these readings, one after the other. */
function domain(vcpus: readonly (readonly Partial<VcpuProfile>[])[], names: Symbolizer | undefined = symbolize) {
  const left = vcpus.map((readings) => [...readings]);
  const asked: (number | undefined)[] = [];
  const control = {
    info: () => ({ maxVcpuId: vcpus.length - 1 }),
    symbolize: names,
    profile: (vcpu: number, since?: number): VcpuProfile => {
      asked.push(since);
      return { ...nothing, ...left[vcpu]?.shift() };
    },
  };
  return { control: control as unknown as DomainControl, asked };
}

const nothing: VcpuProfile = {
  instructions: 0,
  runningNs: 0,
  handlingNs: 0,
  exits: {},
  regions: 0,
  waiting: 0,
  compiled: 0,
  dropped: 0,
  sampled: 0,
  sampleInterval: 50_000,
  samples: [],
};

const at = (rip: number, more: Partial<ProfileSample> = {}): ProfileSample => ({
  rip,
  translated: false,
  user: false,
  ...more,
});

describe('a profile of a domain', () => {
  it('is what its vCPUs have done between two looks, also when a count began again at 0', () => {
    const { control, asked } = domain([
      [
        { instructions: 1000, runningNs: 1e9, exits: { Syscall: 0xffff_fffe }, sampled: 0xffff_ffff, compiled: 3 },
        { instructions: 5000, runningNs: 3e9, exits: { Syscall: 3 }, sampled: 1, samples: [at(BASE)], compiled: 5 },
      ],
      [{}, { instructions: 500, handlingNs: 5e8, exits: { Syscall: 1 }, regions: 4, waiting: 1 }],
    ]);
    const session = new ProfileSession(control);
    session.poll();
    const { functions, ...counts } = session.profile();
    assert.deepEqual(asked, [undefined, undefined, 0xffff_ffff, 0]);
    assert.deepEqual(counts, {
      vcpus: 2,
      instructions: 4500,
      runningSeconds: 2,
      hypervisorSeconds: 0.5,
      exits: { Syscall: 6 },
      translator: { regions: 4, waiting: 1, compiled: 2, dropped: 0 },
      sampleInterval: 50_000,
      samples: 1,
      lostSamples: 1,
      translatedSamples: 0,
      userSamples: 0,
      symbols: true,
    });
    assert.deepEqual(functions, [{ where: 'kernel', name: 'first', address: null, samples: 1, translatedSamples: 0 }]);
  });

  it('takes samples of one function together, and those without a name by 256 bytes', () => {
    const samples = [
      at(BASE + 0x1004, { translated: true }),
      at(BASE + 0x1ff0),
      at(BASE + 0x1010),
      at(0x7fff_0000, { user: true }),
      at(-0x3fff_ff01),
      at(-0x3fff_fff0),
      at(BASE),
    ];
    const { control } = domain([[{}, { sampled: samples.length, samples }]]);
    const session = new ProfileSession(control);
    session.poll();
    const rows = session
      .profile(3)
      .functions.map(({ where, name, address, samples: n }) => [where, name ?? address, n]);
    assert.deepEqual(rows, [
      ['kernel', 'second', 3],
      ['kernel', '0xffffffffc0000000', 2],
      ['user', null, 1],
    ]);
  });

  it('stays small whatever addresses a guest has', () => {
    const samples = Array.from({ length: 70_000 }, (_, i) => at(-0x7000_0000_0000 + i * 4096));
    const { control } = domain([[{}, { sampled: samples.length, samples }]], undefined);
    const session = new ProfileSession(control);
    session.poll();
    const { functions, samples: all, symbols } = session.profile();
    assert.equal(symbols, false);
    assert.equal(all, samples.length);
    assert.ok(functions.length <= 65_537);
    assert.equal(functions[0]?.where, 'other');
  });
});
