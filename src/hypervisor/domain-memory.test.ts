import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { computeLayout, cpuRegionAt, vcpuAt } from './domain-memory.ts';
import type { DomainShape } from './domain-memory.ts';

const MIB_PAGES = 256;
const shape = (mib: number, more: Partial<DomainShape> = {}): DomainShape => ({
  maxPages: mib * MIB_PAGES,
  maxVcpus: 1,
  maxEvtchnPort: 1023,
  maxGrantFrames: 64,
  processor: {
    regionSize: (frames) => 40 * 2 ** 20 + Math.ceil(frames / 512) * 4096,
    exitRequest: 0,
    codeMask: 0,
    retired: 0,
  },
  ...more,
});

describe('the layout of a domain', () => {
  for (const mib of [1, 96, 192, 1024, 3072]) {
    it(`gives ${mib} MiB of RAM first and Xen's frames after it, none twice`, () => {
      const layout = computeLayout(shape(mib));
      assert.ok(layout);
      assert.equal(layout.sharedInfoMfn, mib * MIB_PAGES);
      const ends = [
        layout.sharedInfoMfn + 1,
        layout.grantMfn + layout.maxGrantFrames,
        layout.statusMfn + layout.statusFrames,
        layout.m2pTablesMfn + layout.m2pTables,
        layout.m2pMfn + layout.m2pFrames,
      ];
      assert.deepEqual(ends, [
        layout.grantMfn,
        layout.statusMfn,
        layout.m2pTablesMfn,
        layout.m2pMfn,
        layout.totalFrames,
      ]);
      assert.ok(layout.m2pFrames * 4096 >= layout.totalFrames * 8, 'the M2P has an entry for every frame');
      assert.ok(layout.framesAt + layout.totalFrames * 4096 <= layout.wasmPages * 65536);
    });
  }

  it('places vCPUs one after the other, aligned to pages, before the frames', () => {
    const layout = computeLayout(shape(96, { maxVcpus: 4 }));
    assert.ok(layout);
    for (let vcpu = 0; vcpu < 4; vcpu++) {
      assert.equal(cpuRegionAt(layout, vcpu) % 4096, 0);
      assert.ok(cpuRegionAt(layout, vcpu) > vcpuAt(layout, vcpu));
    }
    assert.ok(vcpuAt(layout, 4) <= layout.framesAt);
  });

  it('does not exist for more than a 32-bit memory holds', () => {
    assert.equal(computeLayout(shape(4096)), undefined);
  });
});
