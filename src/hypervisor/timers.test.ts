import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VcpuInfo, VcpuTimeInfo } from '../abi/arch-x86.ts';
import { Errno } from '../abi/errno.ts';
import { EvtchnAllocUnbound, EvtchnBindVirq, EvtchnUnmask } from '../abi/event-channel.ts';
import { SchedPoll, SchedWatchdog } from '../abi/sched.ts';
import { VCPU_SSHOTTMR_future, VcpuSetPeriodicTimer, VcpuSetSingleshotTimer } from '../abi/vcpu.ts';
import { DOMID_SELF } from '../abi/xen.ts';
import { shutdownReasons } from './control.ts';
import { eventChannelOps as ops } from './event-channel/ops.ts';
import { VIRQ_TIMER } from './event-channel/virq.ts';
import { schedOps } from './hypercalls/sched-op.ts';
import { vcpuOps } from './hypercalls/vcpu-op.ts';
import { twoLevelSide } from './testing/event-guest.ts';
import { call, testHost } from './testing/guest.ts';
import type { GuestKernel } from './testing/guest.ts';
import { vaOf } from './testing/script-processor.ts';

const MS = 1e6;

/** Binds VIRQ_TIMER and lets it through. */
function* listen(k: GuestKernel) {
  const { out } = yield* k.op(call.event_channel_op, ops.bind_virq.nr, EvtchnBindVirq, { virq: VIRQ_TIMER, vcpu: 0 });
  yield* k.op(call.event_channel_op, ops.unmask.nr, EvtchnUnmask, { port: out.port });
}

const timerCall = (k: GuestKernel, cmd: number, at: number, flags = 0) => {
  VcpuSetSingleshotTimer.write(k.domain.view, k.domain.frameAt(k.argumentFrame), { timeout_abs_ns: at, flags });
  return k.hypercall(call.vcpu_op, cmd, 0, vaOf(k.argumentFrame));
};

/** A guest that listens to its timer, and the system times at which it was told. */
function ticking(
  program: (k: GuestKernel, now: () => number) => Generator<never, void, number> | ReturnType<typeof listen>,
) {
  const ticks: number[] = [];
  const test = testHost({
    onUpcall: (vcpu) => twoLevelSide(vcpu.domain).consume(() => ticks.push(vcpu.now())),
    nsPerTurn: 1000,
  });
  let done = false;
  test.boot(function* (k) {
    yield* listen(k);
    yield* program(k, () => test.host.clock.now());
    done = true;
    for (;;) yield* k.hypercall(call.sched_op, schedOps.block.nr);
  });
  return { ticks, test, isDone: () => done };
}

describe('timers', () => {
  it('a single-shot timer ends a block when its time has come, and only once', () => {
    const { ticks, test } = ticking(function* (k) {
      assert.equal(yield* timerCall(k, vcpuOps.set_singleshot_timer.nr, 5 * MS), 0);
    });
    test.host.run();
    assert.equal(ticks.length, 1);
    assert.ok((ticks[0] ?? 0) >= 5 * MS && (ticks[0] ?? 0) < 5.1 * MS, `at ${ticks[0]}`);
  });

  it('a time in the past is no error: the event comes at once', () => {
    const { ticks, test } = ticking(function* (k) {
      assert.equal(yield* timerCall(k, vcpuOps.set_singleshot_timer.nr, 1), 0);
    });
    test.host.run();
    assert.equal(ticks.length, 1);
  });

  it('a time in the past is refused when the guest says that it must be in the future', () => {
    const { ticks, test } = ticking(function* (k) {
      yield* k.spin(5);
      assert.equal(yield* timerCall(k, vcpuOps.set_singleshot_timer.nr, 1, VCPU_SSHOTTMR_future), Errno.ETIME);
    });
    test.host.run();
    assert.deepEqual(ticks, []);
  });

  it('a stopped timer does not fire', () => {
    const { ticks, test } = ticking(function* (k) {
      yield* timerCall(k, vcpuOps.set_singleshot_timer.nr, 5 * MS);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.stop_singleshot_timer.nr, 0, 0), 0);
    });
    test.host.run();
    assert.deepEqual(ticks, []);
  });

  it('set_timer_op sets and cancels the same timer, and a nonsensical time gives a tick soon', () => {
    const { ticks, test } = ticking(function* (k, now) {
      yield* k.hypercall(call.set_timer_op, 3 * MS);
      yield* k.hypercall(call.set_timer_op, 0);
      assert.equal(yield* k.hypercall(call.set_timer_op, now() + 2 ** 51), 0);
    });
    test.host.run();
    assert.equal(ticks.length, 1);
    assert.ok((ticks[0] ?? 0) < 101 * MS);
  });

  it('a periodic timer fires every period until it is stopped; a period below 1 ms is refused', () => {
    const { ticks, test } = ticking(function* (k) {
      const set = (period_ns: number) => {
        VcpuSetPeriodicTimer.write(k.domain.view, k.domain.frameAt(k.argumentFrame), { period_ns });
        return k.hypercall(call.vcpu_op, vcpuOps.set_periodic_timer.nr, 0, vaOf(k.argumentFrame));
      };
      assert.equal(yield* set(999_999), Errno.EINVAL);
      assert.equal(yield* set(10 * MS), 0);
    });
    test.host.run(() => ticks.length === 5);
    const gaps = ticks.slice(1).map((tick, i) => tick - (ticks[i] ?? 0));
    for (const gap of gaps) assert.ok(Math.abs(gap - 10 * MS) < 0.1 * MS, `gap ${gap}`);
  });

  it('SCHEDOP_poll ends at its timeout, an absolute time', () => {
    let woke = 0;
    const { test, isDone } = ticking(function* (k, now) {
      const { out } = yield* k.op(call.event_channel_op, ops.alloc_unbound.nr, EvtchnAllocUnbound, {
        dom: DOMID_SELF,
        remote_dom: 0,
      });
      k.domain.view.setUint32(k.domain.frameAt(30), out.port, true);
      yield* k.op(call.sched_op, schedOps.poll.nr, SchedPoll, { ports: vaOf(30), nr_ports: 1, timeout: 20 * MS });
      woke = now();
    });
    test.host.run(isDone);
    assert.ok(woke >= 20 * MS && woke < 20.1 * MS, `woke at ${woke}`);
  });

  it('SCHEDOP_poll ends when a polled port becomes pending although it is masked', () => {
    let woke = false;
    const test = testHost();
    const control = test.boot(function* (k) {
      const { out } = yield* k.op(call.event_channel_op, ops.alloc_unbound.nr, EvtchnAllocUnbound, {
        dom: DOMID_SELF,
        remote_dom: 0,
      });
      twoLevelSide(k.domain).mask(out.port);
      k.domain.view.setUint32(k.domain.frameAt(30), out.port, true);
      const { result } = yield* k.op(call.sched_op, schedOps.poll.nr, SchedPoll, {
        ports: vaOf(30),
        nr_ports: 1,
        timeout: 0,
      });
      assert.equal(result, 0);
      woke = true;
    });
    test.host.run();
    assert.equal(woke, false);
    assert.equal(control.info().blocked, true);
    test.host.hypervisor.bindInterdomain(control.domid, 1, () => undefined).notify();
    test.host.run(() => woke);
    assert.ok(woke);
  });

  it('SCHEDOP_poll refuses more than 128 ports and ports that cannot be', () => {
    const { test, isDone } = ticking(function* (k) {
      const poll = (nr_ports: number, ports: number) =>
        k.op(call.sched_op, schedOps.poll.nr, SchedPoll, { ports, nr_ports, timeout: 0 });
      assert.equal((yield* poll(129, vaOf(30))).result, Errno.EINVAL);
      assert.equal((yield* poll(1, vaOf(30))).result, Errno.EINVAL);
      assert.equal((yield* poll(1, 0x1000)).result, Errno.EFAULT);
    });
    test.host.run(isDone);
  });

  it('a watchdog that is not fed ends the domain with its own reason', () => {
    const test = testHost();
    const control = test.boot(function* (k) {
      const set = (id: number, timeout: number) =>
        k.op(call.sched_op, schedOps.watchdog.nr, SchedWatchdog, { id, timeout });
      assert.equal((yield* set(0, 2)).result, 1);
      assert.equal((yield* set(0, 60)).result, 2);
      assert.equal((yield* set(0, 60)).result, Errno.ENOSPC);
      assert.equal((yield* set(2, 0)).result, 0);
      assert.equal((yield* set(2, 5)).result, Errno.EINVAL);
      assert.equal((yield* set(3, 5)).result, Errno.EINVAL);
      for (;;) yield* k.hypercall(call.sched_op, schedOps.block.nr);
    });
    test.host.run();
    assert.equal(control.info().shutdownReason, shutdownReasons.watchdog);
    assert.ok(test.host.clock.now() >= 2000 * MS);
    assert.match(test.host.hypervisor.readConsole(), /Watchdog timer 0 fired for domain d1/);
  });

  it('the clock that a guest reads before its first hypercall is valid', () => {
    const test = testHost();
    const control = test.boot(() => (function* () {})(), { paused: true });
    const time = VcpuTimeInfo.read(
      control.frames.dataView,
      control.frames.base + control.sharedInfoMfn * 4096 + VcpuInfo.at.time,
    );
    assert.equal(time.version % 2, 0);
    assert.deepEqual([time.tsc_to_system_mul, time.tsc_shift, time.flags], [0x80000000, 1, 1]);
    assert.equal(time.tsc_timestamp, time.system_time);
  });
});
