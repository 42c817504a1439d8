import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hex, hypercall, program } from './pv/testing/code.ts';
import { PvGuest, frames, powerOff, va } from './pv/testing/pv-guest.ts';
import { ManualClock } from './testing/steppable-host.ts';

const XENVER_version = 0;
const CALLS = 130;
/** mov $300000,%ecx; 1: dec %ecx; jnz 1b */
const loop = hex('b9 e0 93 04 00 ff c9 75 fc');
/** Less what the processor does not count: the beginnings of blocks that an exit cut short. */
const LEAST_INSTRUCTIONS = 599_900;

/** Every look at it takes 100 ns. */
class SlowClock extends ManualClock {
  override now(): number {
    this.advance(100);
    return super.now();
  }
}

describe("a domain's profile", () => {
  const call = hypercall(17, XENVER_version, 0);
  const guest = new PvGuest({ clock: new SlowClock(), transitions: false });
  const before = guest.control.profile(0);
  guest.write(frames.data, 0xfe0, new Uint8Array(4));
  guest.run(program(...Array.from({ length: CALLS }, () => call), loop, powerOff));
  const after = guest.control.profile(0, before?.sampled);

  it('counts instructions and exits', () => {
    assert.ok(before && after);
    assert.equal(before.instructions, 0);
    assert.ok(after.instructions >= LEAST_INSTRUCTIONS);
    assert.equal(after.exits['Syscall'], CALLS + 1);
    assert.equal(after.exits['Privileged'], 0);
  });

  it('samples where the guest was', () => {
    assert.ok(before && after);
    assert.equal(after.sampled, Math.floor(after.instructions / after.sampleInterval));
    assert.equal(after.samples.length, after.sampled);
    const at = va(frames.code) + CALLS * call.length + 5;
    for (const { rip, user } of after.samples) assert.deepEqual([rip, user], [at, false]);
  });

  it('estimates the time in the hypervisor from some of the exits', () => {
    assert.ok(before && after);
    assert.equal(before.handlingNs, 0);
    // Two of the calls were timed, each between two looks at the clock.
    assert.equal(after.handlingNs, 2 * 64 * 100);
    assert.ok(after.runningNs > 0);
  });

  it('is had of vCPUs only', () => {
    assert.equal(guest.control.profile(1), undefined);
    assert.equal(guest.host.hypervisor.domain(0)?.profile(0), undefined);
  });
});
