import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { xenVersion } from '../../hypervisor/xen-version.ts';
import { hwCap, withBuild } from './build-info.ts';

describe('what a host tells of itself', () => {
  it('has the features that guests see, in the words of Xen', () => {
    const [d1 = 0, c1 = 0, de = 0, ce = 0, xsave, b7 = 0] = hwCap();
    assert.equal(hwCap().length, 8);
    assert.ok((d1 & (1 << 25)) !== 0 && (d1 & (1 << 26)) !== 0, 'SSE and SSE2');
    assert.ok((c1 & (1 << 20)) !== 0, 'SSE4.2');
    assert.ok((de & (1 << 29)) !== 0 && (ce & 1) !== 0, 'long mode, LAHF in it');
    assert.equal(xsave, 0);
    assert.ok((b7 & (1 << 8)) !== 0, 'BMI2');
  });

  it('has a date and a build id as a linker makes them', () => {
    const build = withBuild(xenVersion(''), new Date(Date.UTC(2026, 10, 4, 16, 52, 28)));
    assert.equal(build.compileDate, 'Wed Nov  4 16:52:28 UTC 2026');
    assert.match(build.buildId, /^[0-9a-f]{40}$/);
    assert.equal(build.buildId, withBuild(xenVersion(''), new Date(0)).buildId);
  });
});
