/** Records as real Xen 4.17 has written them, and what it accepts of ours (`npm run interop` tries both with real Xen itself). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { ValueOf } from '../../abi/struct.ts';
import type { DomainControl } from '../../hypervisor/control.ts';
import { checkCpuidPolicy, writeCpuidPolicy } from './cpu-policy.ts';
import { viewOf } from './records.ts';
import { CPUID_NO_SUBLEAF, CpuidLeaf } from './stream-format.ts';
import { readExtended } from './vcpu-records.ts';

const recorded = JSON.parse(readFileSync(new URL('recorded-records.json', import.meta.url), 'utf8')) as Record<
  'cpuidPolicy' | 'vcpuExtended',
  string
>;
const bytesOf = (name: keyof typeof recorded): Uint8Array => new Uint8Array(Buffer.from(recorded[name], 'hex'));

type Leaf = ValueOf<typeof CpuidLeaf>;

function leavesOf(policy: Uint8Array): Leaf[] {
  return Array.from({ length: policy.length / CpuidLeaf.size }, (_, i) =>
    CpuidLeaf.read(viewOf(policy), i * CpuidLeaf.size),
  );
}

/** A processor with the leaves of a policy; what it does not name is 0. */
function processorOf(policy: Uint8Array): Pick<DomainControl, 'cpuid'> {
  const leaves = leavesOf(policy);
  return {
    cpuid: (leaf, subleaf) => {
      const found = leaves.find((one) => one.leaf === leaf && [subleaf, CPUID_NO_SUBLEAF].includes(one.subleaf));
      return found === undefined ? [0, 0, 0, 0] : [found.a, found.b, found.c, found.d];
    },
  };
}

describe('a stream of real Xen', () => {
  it('fits a processor that has what the guest may use, and no smaller one', () => {
    const policy = bytesOf('cpuidPolicy');
    checkCpuidPolicy(policy, processorOf(policy));
    const smaller = policy.slice();
    const at = leavesOf(policy).findIndex(({ leaf }) => leaf === 1) * CpuidLeaf.size + CpuidLeaf.at.c;
    const SSE42 = 1 << 20;
    viewOf(smaller).setUint32(at, viewOf(smaller).getUint32(at, true) & ~SSE42, true);
    assert.throws(() => checkCpuidPolicy(policy, processorOf(smaller)), /does not have: sse4_2 /);
  });

  it('says where a vCPU takes SYSENTER to', () => {
    const none = { syscall32Callback: 0, sysenterCallback: 0, tscAux: 7 };
    const flags = { syscall32DisablesEvents: false, sysenterDisablesEvents: false };
    // Behind the number of the vCPU.
    const body = bytesOf('vcpuExtended').subarray(8);
    assert.deepEqual(readExtended(body, { ...none, ...flags }), {
      syscall32Callback: 0,
      sysenterCallback: -0x7efd_9e50,
      syscall32DisablesEvents: false,
      sysenterDisablesEvents: true,
      tscAux: 7,
    });
  });
});

describe('the CPUID policy of a stream', () => {
  it('has no leaf that Xen refuses, whatever the processor has', () => {
    const all: Pick<DomainControl, 'cpuid'> = {
      cpuid: (leaf) => (leaf === 0 ? [0x20, 1, 2, 3] : leaf === 0x8000_0000 ? [0x8000_0030, 0, 0, 0] : [leaf, 0, 0, 0]),
    };
    const leaves = leavesOf(writeCpuidPolicy(all));
    const of = (first: number): Leaf[] => leaves.filter(({ leaf }) => leaf >= first && leaf < first + 0x100);
    assert.equal(of(0).at(-1)?.leaf, 0xd);
    assert.equal(of(0)[0]?.a, 0xd);
    assert.equal(of(0x8000_0000).at(-1)?.leaf, 0x8000_001c);
    assert.equal(of(0x8000_0000)[0]?.a, 0x8000_001c);
    // x86_cpuid_copy_from_buffer: these are known by their subleaves alone.
    const plain = [4, 7, 0xb, 0xd].filter((wanted) =>
      leaves.some(({ leaf, subleaf }) => leaf === wanted && subleaf === CPUID_NO_SUBLEAF),
    );
    assert.deepEqual(plain, []);
  });
});
