import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SharedInfo, VcpuGuestContext, VcpuInfo } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import { VcpuRegisterArea, VcpuRegisterVcpuInfo } from '../../abi/vcpu.ts';
import { VcpuRunstateInfo } from '../runstate.ts';
import { call, runInGuest, testHost } from '../testing/guest.ts';
import { vaOf } from '../testing/script-processor.ts';
import { vcpuOps } from './vcpu-op.ts';

describe('vcpu_op', () => {
  it('tells which vCPUs are up and which do not exist', () => {
    runInGuest(function* (k) {
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.is_up.nr, 0), 1);
      for (const id of [1, 8191, 0xffffffff])
        assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.is_up.nr, id), Errno.ENOENT);
    });
  });

  it('moves vcpu_info once, with what it held, and marks everything pending', () => {
    runInGuest(function* (k) {
      const register = (mfn: number, offset: number) => {
        VcpuRegisterVcpuInfo.write(k.domain.view, k.domain.frameAt(k.argumentFrame), { mfn, offset, rsvd: 0 });
        return k.hypercall(call.vcpu_op, vcpuOps.register_vcpu_info.nr, 0, vaOf(k.argumentFrame));
      };
      assert.equal(yield* register(40, 4040), Errno.EINVAL);
      assert.equal(yield* register(1e9, 0), Errno.EINVAL);
      assert.equal(yield* register(40, 128), 0);
      assert.equal(yield* register(41, 128), Errno.EINVAL);
      const info = VcpuInfo.read(k.domain.view, k.domain.frameAt(40) + 128);
      assert.deepEqual(
        [info.evtchn_upcall_pending, info.evtchn_upcall_mask, info.evtchn_pending_sel],
        [1, 1, { lo: 0xffffffff, hi: 0xffffffff }],
      );
      assert.equal(info.time.version % 2, 0);
      assert.equal(info.time.tsc_to_system_mul, 0x80000000);
    });
  });

  it('fills the runstate area, whose times add up to the time since the start', () => {
    const test = testHost();
    let done = false;
    test.boot(function* (k) {
      VcpuRegisterArea.write(k.domain.view, k.domain.frameAt(k.argumentFrame), { va: vaOf(50) });
      assert.equal(
        yield* k.hypercall(call.vcpu_op, vcpuOps.register_runstate_memory_area.nr, 0, vaOf(k.argumentFrame)),
        0,
      );
      yield* k.spin(50);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.get_runstate_info.nr, 0, vaOf(51)), 0);
      const area = VcpuRunstateInfo.read(k.domain.view, k.domain.frameAt(51));
      const sum = area.time.reduce((a, b) => a + b, 0);
      assert.ok(Math.abs(sum - test.host.clock.now()) < 1000, `${sum} of ${test.host.clock.now()} ns`);
      assert.equal(VcpuRunstateInfo.read(k.domain.view, k.domain.frameAt(50)).state, 0);
      done = true;
    });
    test.host.run(() => done);
    assert.ok(done);
  });

  it('initialises a vCPU once and brings only an initialised one up', () => {
    runInGuest(function* (k) {
      assert.equal(VcpuGuestContext.size, 0x1430);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.initialise.nr, 0, vaOf(60)), Errno.EEXIST);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.initialise.nr, 0, 0x1000), Errno.EFAULT);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.up.nr, 0, 0), 0);
    });
  });
});

describe('shared_info', () => {
  it('has all upcalls masked and the wall clock set before the guest starts', () => {
    const test = testHost();
    const control = test.boot(() => (function* () {})(), { paused: true });
    const at = control.frames.base + control.sharedInfoMfn * 4096;
    const info = SharedInfo.read(control.frames.dataView, at);
    assert.ok(info.vcpu_info.every((vcpu) => vcpu.evtchn_upcall_mask === 1));
    assert.deepEqual([info.wc_version, info.wc_sec, info.wc_sec_hi], [2, 1_000_000_000, 0]);
  });
});
