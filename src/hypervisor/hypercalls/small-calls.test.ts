import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../../abi/errno.ts';
import { PhysdevIrqStatusQuery, PhysdevPirqEoiGmfn, PhysdevSetIobitmap, PhysdevSetIopl } from '../../abi/physdev.ts';
import { SchedShutdown } from '../../abi/sched.ts';
import { XENVER, XenCompileInfo, XenFeatureInfo } from '../../abi/version.ts';
import { shutdownReasons } from '../control.ts';
import { call, runInGuest, testHost } from '../testing/guest.ts';
import type { GuestKernel } from '../testing/guest.ts';
import { vaOf } from '../testing/script-processor.ts';
import { physdevOps } from './physdev-op.ts';
import { schedOps } from './sched-op.ts';

describe('xen_version', () => {
  const text = (k: GuestKernel, length: number): string => {
    const bytes = k.domain.u8.slice(k.domain.frameAt(30), k.domain.frameAt(30) + length);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  };

  it('tells a domU what 4.17 tells it, and denies the rest', () => {
    runInGuest(function* (k) {
      const ask = (cmd: number) => k.hypercall(call.xen_version, cmd, vaOf(30));
      assert.equal(yield* ask(XENVER.version), 0x00040011);
      assert.equal(yield* ask(XENVER.pagesize), 4096);
      assert.equal(yield* ask(XENVER.extraversion), 0);
      assert.equal(text(k, 16), '.7');
      yield* ask(XENVER.capabilities);
      assert.match(text(k, 1024), /^xen-3\.0-x86_64 /);
      yield* ask(XENVER.commandline);
      assert.equal(text(k, 1024), '<denied>');
      assert.equal(yield* ask(XENVER.build_id), Errno.EPERM);
      assert.equal(yield* ask(XENVER.platform_parameters), 0);
      assert.equal(k.domain.view.getBigUint64(k.domain.frameAt(30), true), 0xffff800000000000n);
      assert.equal(yield* ask(XENVER.compile_info), 0);
      assert.ok(XenCompileInfo.read(k.domain.view, k.domain.frameAt(30)).compiler[0]);
      yield* ask(XENVER.guest_handle);
      assert.equal(k.domain.u8[k.domain.frameAt(30) + 15], 0x11);
      assert.equal(yield* ask(99), Errno.ENOSYS);
    });
  });

  it('offers the features of a PV guest, one more after pae_extended_cr3', () => {
    runInGuest(function* (k) {
      const features = () => k.op(call.xen_version, XENVER.get_features, XenFeatureInfo, { submap_idx: 0 });
      assert.equal((yield* features()).out.submap, 0x000220e0);
      k.domain.set('vmAssist', 1 << 3);
      assert.equal((yield* features()).out.submap, 0x000220f0);
      assert.equal(
        (yield* k.op(call.xen_version, XENVER.get_features, XenFeatureInfo, { submap_idx: 1 })).result,
        Errno.EINVAL,
      );
    });
  });
});

describe('sched_op shutdown', () => {
  for (const [name, reason] of Object.entries(shutdownReasons)) {
    it(`ends the domain with reason ${name}`, async () => {
      const test = testHost();
      const control = test.boot(function* (k) {
        yield* k.op(call.sched_op, schedOps.shutdown.nr, SchedShutdown, { reason });
        assert.fail('the guest runs on');
      });
      const told: number[] = [];
      test.host.hypervisor.onDomainException((domid) => told.push(domid));
      test.host.run();
      await Promise.resolve();
      assert.deepEqual([control.info().shutdown, control.info().shutdownReason, told], [true, reason, [1]]);
      const dumped = test.host.hypervisor.readConsole().includes('Domain 1 (vcpu#0) crashed on cpu#0:');
      assert.equal(dumped, reason === shutdownReasons.crash);
    });
  }
});

describe('console_io', () => {
  it('is refused, but leaves its lines in the log where guests may talk', () => {
    const { test } = runInGuest(function* (k) {
      const text = new TextEncoder().encode('early \x1b[31mhello\nand more\n');
      k.domain.frame(30).set(text);
      assert.equal(yield* k.hypercall(call.console_io, 0, text.length, vaOf(30)), Errno.EPERM);
      assert.equal(yield* k.hypercall(call.console_io, 0, 0xffffffff, vaOf(30)), Errno.EPERM);
    });
    assert.match(test.host.hypervisor.readConsole(), /^\(d1\) early \[31mhello\n\(d1\) and more$/m);
  });
});

describe('physdev_op', () => {
  const nr = call.physdev_op;

  it('sets the I/O privilege level up to 3', () => {
    runInGuest(function* (k) {
      assert.equal((yield* k.op(nr, physdevOps.set_iopl.nr, PhysdevSetIopl, { iopl: 4 })).result, Errno.EINVAL);
      assert.equal((yield* k.op(nr, physdevOps.set_iopl.nr, PhysdevSetIopl, { iopl: 1 })).result, 0);
      assert.equal(
        (yield* k.op(nr, physdevOps.set_iobitmap.nr, PhysdevSetIobitmap, { bitmap: vaOf(30), nr_ports: 65537 })).result,
        Errno.EINVAL,
      );
      assert.equal(
        (yield* k.op(nr, physdevOps.set_iobitmap.nr, PhysdevSetIobitmap, { bitmap: vaOf(30), nr_ports: 65536 })).result,
        0,
      );
    });
  });

  it('keeps one page of EOI bits, and refuses hardware', () => {
    runInGuest(function* (k) {
      const give = (gmfn: number) => k.op(nr, physdevOps.pirq_eoi_gmfn_v2.nr, PhysdevPirqEoiGmfn, { gmfn });
      assert.equal((yield* give(1e9)).result, Errno.EINVAL);
      assert.equal((yield* give(40)).result, 0);
      assert.equal((yield* give(41)).result, Errno.EBUSY);
      assert.equal(yield* k.hypercall(nr, physdevOps.map_pirq.nr, vaOf(30)), Errno.EPERM);
      assert.equal(
        (yield* k.op(nr, physdevOps.irq_status_query.nr, PhysdevIrqStatusQuery, { irq: 1 })).result,
        Errno.EINVAL,
      );
    });
  });
});
