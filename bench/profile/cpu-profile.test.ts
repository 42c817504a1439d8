import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hottest, type CpuProfile } from './cpu-profile.ts';

const frame = (functionName: string, url: string) => ({ functionName, url, lineNumber: 0 });
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(idle)', '') },
    { id: 2, callFrame: frame('ADD/64:r64,r64', 'wasm://wasm/1') },
    { id: 3, callFrame: frame('turn', 'file:///x/src/hypervisor/vcpu-loop.ts') },
  ],
  startTime: 1000,
  samples: [2, 1, 2, 3, 2],
  // Of each sample, since the one before; the first since the start.
  timeDeltas: [100, 10, 20, 30, 40],
};

describe('the hottest functions of a profile', () => {
  it('are sorted by their own time, in which sleep does not count', () => {
    const { total, wasm, functions } = hottest(profile, 0, 2000);
    assert.equal(total, 10 + 30 + 40);
    assert.equal(wasm, 10 + 30);
    assert.deepEqual(functions, [
      { what: 'ADD/64:r64,r64', share: 0.5 },
      { what: 'turn hypervisor/vcpu-loop.ts', share: 0.5 },
    ]);
  });

  it('are those of the time asked for', () => {
    assert.deepEqual(hottest(profile, 1155, 1165).functions, [{ what: 'turn hypervisor/vcpu-loop.ts', share: 1 }]);
  });
});
