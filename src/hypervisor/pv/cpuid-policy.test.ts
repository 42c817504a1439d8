import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { features } from '../../abi/arch-x86/cpufeatureset.ts';
import { cpuFeatures } from '../../cpu/index.ts';
import { CpuidPolicy } from './cpuid-policy.ts';

const policy = new CpuidPolicy(cpuFeatures);
const query = { vcpu: 0, vcpus: 1, xenVersion: 0x40011, addressBits: 32 };
const hexLeaf = (leaf: number, subleaf = 0, q = query): string[] =>
  policy.query(leaf, subleaf, q).map((value) => value.toString(16));
const text = (words: readonly number[]): string =>
  words.map((w) => String.fromCharCode(w & 255, (w >> 8) & 255, (w >> 16) & 255, w >>> 24)).join('');

describe('the CPUID policy', () => {
  it('has Xen’s leaves as a PV guest of 4.17 sees them', () => {
    assert.deepEqual(hexLeaf(0x40000000), ['40000005', '566e6558', '65584d4d', '4d4d566e']);
    assert.deepEqual(hexLeaf(0x40000001), ['40011', '0', '0', '0']);
    assert.deepEqual(hexLeaf(0x40000002), ['1', '40000000', '1', '0']);
    assert.deepEqual(hexLeaf(0x40000005), ['0', '20', '0', '0']);
    assert.deepEqual(hexLeaf(0x40000100), ['0', '0', '0', '0']);
  });

  it('hides what a PV guest cannot use', () => {
    const hidden = [
      'pse',
      'pse36',
      'pge',
      'mtrr',
      'page1gb',
      'pcid',
      'invpcid',
      'x2apic',
      'monitor',
      'vmx',
      'svm',
      'smep',
      'smap',
      'umip',
      'pku',
      'la57',
      'xsave',
      'topoext',
    ] as const;
    assert.deepEqual(
      hidden.filter((name) => policy.has(name)),
      [],
    );
  });

  it('shows everything that the processor has', () => {
    assert.deepEqual(
      cpuFeatures.filter((name) => features[name].pv === 'cpu' && !policy.has(name)),
      [],
    );
  });

  it('is a baseline x86-64 processor with a hypervisor', () => {
    for (const name of [
      'fpu',
      'tsc',
      'msr',
      'pae',
      'cx8',
      'apic',
      'cmov',
      'pat',
      'clflush',
      'mmx',
      'fxsr',
      'sse',
      'sse2',
      'syscall',
      'nx',
      'lm',
      'cx16',
      'hypervisor',
    ] as const) {
      assert.equal(policy.has(name), true, name);
    }
  });

  it('names itself', () => {
    const [, ebx, ecx, edx] = policy.query(0, 0, query);
    assert.equal(text([ebx, edx, ecx]), 'GenuineIntel');
    const brand = [2, 3, 4].flatMap((n) => policy.query(0x80000000 + n, 0, query));
    assert.equal(text(brand).replace(/\0+$/, ''), 'Xenolith Virtual Processor @ 1.00GHz');
  });

  it('gives the TSC frequency the same way everywhere', () => {
    const [denominator, numerator, crystal] = policy.query(0x15, 0, query);
    assert.equal((crystal * numerator) / denominator, 1e9);
    assert.equal(policy.query(0x16, 0, query)[0], 1000);
    assert.deepEqual(policy.query(0x40000003, 0, query), [6, 0, 1_000_000, 0]);
    const [, , mul, shift] = policy.query(0x40000003, 1, query);
    assert.equal((2 ** shift * mul) / 2 ** 32, 1);
  });

  it('has topology leaves that agree for any number of vCPUs', () => {
    for (const vcpus of [1, 2, 3, 8]) {
      for (let vcpu = 0; vcpu < vcpus; vcpu++) {
        const q = { ...query, vcpu, vcpus };
        const [, leaf1] = policy.query(1, 0, q);
        const cores = (policy.query(4, 0, q)[0] >>> 26) + 1;
        assert.equal(leaf1 >>> 24, vcpu);
        assert.equal((leaf1 >>> 16) & 255, cores, 'one thread for each core');
        assert.equal(2 ** (policy.query(0xb, 1, q)[0] & 31), cores);
        assert.equal(policy.query(0xb, 0, q)[3], vcpu);
      }
    }
  });

  it('answers leaves that do not exist with zeros', () => {
    for (const leaf of [0x3, 0x5, 0x6, 0xa, 0xd, 0x17, 0x80000005, 0x80000009, 0xffffffff])
      assert.deepEqual(policy.query(leaf, 0, query), [0, 0, 0, 0]);
  });
});
