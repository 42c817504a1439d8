import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SharedInfo, VcpuGuestContext, VcpuInfo } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import { E820Entry, XenDomainId, XenMachphysMapping, XenMemoryMap, XenMemoryReservation } from '../../abi/memory.ts';
import { PhysdevIrqStatusQuery, PhysdevPirqEoiGmfn, PhysdevSetIobitmap, PhysdevSetIopl } from '../../abi/physdev.ts';
import { SchedShutdown } from '../../abi/sched.ts';
import { VcpuRegisterArea, VcpuRegisterVcpuInfo } from '../../abi/vcpu.ts';
import { XENVER, XenCompileInfo, XenFeatureInfo } from '../../abi/version.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import { shutdownReasons } from '../control.ts';
import { MulticallEntry } from '../multicall.ts';
import { VcpuRunstateInfo } from '../runstate.ts';
import { call, testHost } from '../testing/guest.ts';
import type { GuestKernel } from '../testing/guest.ts';
import type { Program } from '../testing/script-processor.ts';
import { vaOf } from '../testing/script-processor.ts';
import { createHypercallTable } from './index.ts';
import { memoryOps } from './memory-op.ts';
import { physdevOps } from './physdev-op.ts';
import { schedOps } from './sched-op.ts';
import { vcpuOps } from './vcpu-op.ts';

function inGuest(
  program: (kernel: GuestKernel) => Program,
  options: Parameters<ReturnType<typeof testHost>['boot']>[1] = {},
) {
  const test = testHost();
  let done = false;
  const control = test.boot(function* (kernel) {
    yield* program(kernel);
    done = true;
  }, options);
  test.host.run(() => done);
  assert.ok(done, 'the program ran to its end');
  return { test, control };
}

describe('the table of hypercalls', () => {
  const table = createHypercallTable([]);

  it('answers every number of Xen 4.17 by a row, a refused one with its reason', () => {
    const platform = [0, 1, 2, 3, 5, 8, 9, 10, 14, 21, 23, 25, 26, 30];
    for (let nr = 0; nr <= 42; nr++) {
      if (platform.includes(nr)) continue;
      const row = table.rows.find((candidate) => candidate.nr === nr);
      assert.ok(row, `hypercall ${nr}`);
      assert.equal(row.run === undefined, row.support.level === 'none', `${row.name}: refused rows have no handler`);
    }
  });

  it('gives the numbers to their calls that xen.h does', () => {
    const numbers = Object.fromEntries(table.rows.map((row) => [row.name, row.nr]));
    assert.deepEqual(
      [
        numbers['memory_op'],
        numbers['multicall'],
        numbers['xen_version'],
        numbers['vcpu_op'],
        numbers['sched_op'],
        numbers['event_channel_op'],
        numbers['domctl'],
      ],
      [12, 13, 17, 24, 29, 32, 36],
    );
  });

  const refusals: readonly [number, number][] = [
    [7, Errno.EPERM],
    [11, Errno.ENOSYS],
    [31, Errno.ENOSYS],
    [35, Errno.EPERM],
    [36, Errno.EPERM],
    [38, Errno.ENOSYS],
    [39, Errno.EOPNOTSUPP],
    [40, Errno.EOPNOTSUPP],
    [43, Errno.ENOSYS],
    [56, Errno.ENOSYS],
    [0x7fffffff, Errno.ENOSYS],
    [2 ** 40, Errno.ENOSYS],
    [-1, Errno.ENOSYS],
  ];
  for (const [nr, errno] of refusals) {
    it(`answers ${errno} to number ${nr}`, () => {
      inGuest(function* (k) {
        assert.equal(yield* k.hypercall(nr, 1, 2, 3), errno);
      });
    });
  }
});

describe('multicall', () => {
  it('goes on after an entry that fails, stores each result, and returns 0', () => {
    inGuest(function* (k) {
      const list = k.domain.frameAt(30);
      const entry = (i: number, op: number, ...args: number[]) =>
        MulticallEntry.write(k.domain.view, list + i * MulticallEntry.size, {
          op,
          result: 99,
          args: Array.from({ length: 6 }, (_, j) => ({ lo: args[j] ?? 0, hi: 0 })),
        });
      entry(0, call.xen_version, XENVER.version);
      entry(1, 11);
      entry(2, call.multicall, 0, 0);
      entry(3, call.xen_version, XENVER.pagesize);
      assert.equal(yield* k.hypercall(call.multicall, vaOf(30), 4), 0);
      const results = [0, 1, 2, 3].map(
        (i) => MulticallEntry.read(k.domain.view, list + i * MulticallEntry.size).result,
      );
      assert.deepEqual(results, [0x00040011, Errno.ENOSYS, Errno.ENOSYS, 4096]);
    });
  });

  it('works for a list across a page boundary', () => {
    inGuest(function* (k) {
      const at = 4096 - 32;
      MulticallEntry.write(k.domain.view, k.domain.frameAt(30) + at, {
        op: call.xen_version,
        args: Array.from({ length: 6 }, () => ({ lo: 0, hi: 0 })),
      });
      assert.equal(yield* k.hypercall(call.multicall, vaOf(30, at), 1), 0);
      assert.equal(MulticallEntry.read(k.domain.view, k.domain.frameAt(30) + at).result, 0x00040011);
    });
  });

  it('is refused at an address that is not mapped and for an absurd count', () => {
    inGuest(function* (k) {
      assert.equal(yield* k.hypercall(call.multicall, 0x1000, 1), Errno.EFAULT);
      assert.equal(yield* k.hypercall(call.multicall, vaOf(30), 0xffffffff), Errno.EINVAL);
    });
  });
});

describe('xen_version', () => {
  const text = (k: GuestKernel, length: number): string => {
    const bytes = k.domain.u8.slice(k.domain.frameAt(30), k.domain.frameAt(30) + length);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  };

  it('tells a domU what 4.17 tells it, and denies the rest', () => {
    inGuest(function* (k) {
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
    inGuest(function* (k) {
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

describe('vcpu_op', () => {
  it('tells which vCPUs are up and which do not exist', () => {
    inGuest(function* (k) {
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.is_up.nr, 0), 1);
      for (const id of [1, 8191, 0xffffffff])
        assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.is_up.nr, id), Errno.ENOENT);
    });
  });

  it('moves vcpu_info once, with what it held, and marks everything pending', () => {
    inGuest(function* (k) {
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
    inGuest(function* (k) {
      assert.equal(VcpuGuestContext.size, 0x1430);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.initialise.nr, 0, vaOf(60)), Errno.EEXIST);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.initialise.nr, 0, 0x1000), Errno.EFAULT);
      assert.equal(yield* k.hypercall(call.vcpu_op, vcpuOps.up.nr, 0, 0), 0);
    });
  });
});

describe('memory_op', () => {
  const reservation = (
    k: GuestKernel,
    cmd: number,
    frames: readonly number[],
    extent_order = 0,
    domid = DOMID_SELF,
  ) => {
    frames.forEach((frame, i) => k.domain.view.setBigUint64(k.domain.frameAt(30) + i * 8, BigInt(frame), true));
    return k.op(call.memory_op, cmd, XenMemoryReservation, {
      extent_start: vaOf(30),
      nr_extents: frames.length,
      extent_order,
      domid,
    });
  };

  it('describes the memory of the domain', () => {
    inGuest(
      function* (k) {
        const { out, result } = yield* k.op(call.memory_op, memoryOps.memory_map.nr, XenMemoryMap, {
          nr_entries: 128,
          buffer: vaOf(30),
        });
        assert.deepEqual([result, out.nr_entries], [0, 1]);
        assert.deepEqual(E820Entry.read(k.domain.view, k.domain.frameAt(30)), { addr: 0, size: 280 * 4096, type: 1 });
        const mapping = yield* k.op(call.memory_op, memoryOps.machphys_mapping.nr, XenMachphysMapping, {});
        assert.deepEqual(mapping.out, { v_start: -0x8000_0000_0000, v_end: -0x7fc0_0000_0000, max_mfn: 0x7ffffff });
        const asked = (cmd: number) => k.op(call.memory_op, cmd, XenDomainId, { domid: DOMID_SELF });
        assert.equal((yield* asked(memoryOps.current_reservation.nr)).result, 256);
        assert.equal((yield* asked(memoryOps.maximum_reservation.nr)).result, 300);
        assert.equal(
          (yield* k.op(call.memory_op, memoryOps.maximum_reservation.nr, XenDomainId, { domid: 0 })).result,
          Errno.EPERM,
        );
      },
      { pages: 256, maxPages: 300, memmapPages: 280 },
    );
  });

  it('gives frames back to the host and takes them again, the same ones if they are free', () => {
    const { test, control } = inGuest(function* (k) {
      assert.equal((yield* reservation(k, memoryOps.decrease_reservation.nr, [100, 101, 102])).result, 3);
      assert.equal(k.domain.isRam(101), false);
      assert.equal(
        (yield* reservation(k, memoryOps.decrease_reservation.nr, [103, 101, 104])).result,
        1,
        'stops at the first that is not there',
      );
      assert.equal((yield* reservation(k, memoryOps.populate_physmap.nr, [101, 5])).result, 2);
      const given = [0, 1].map((i) => k.domain.view.getUint32(k.domain.frameAt(30) + i * 8, true));
      assert.equal(given[0], 101);
      assert.ok([100, 102, 103].includes(given[1] ?? 0), 'another frame where the wished one is taken');
    });
    assert.equal(control.info().totPages, 254);
    const { totalPages, freePages } = test.host.hypervisor.physInfo();
    assert.equal(totalPages - freePages, 254 + 4096);
  });

  it('never gives more than the maximum', () => {
    inGuest(function* (k) {
      assert.equal((yield* reservation(k, memoryOps.populate_physmap.nr, [300])).result, 0);
      assert.equal((yield* reservation(k, memoryOps.populate_physmap.nr, [0], 11)).result, 0);
    });
  });

  it('refuses other domains, bad lists and numbers it does not know', () => {
    inGuest(function* (k) {
      assert.equal((yield* reservation(k, memoryOps.populate_physmap.nr, [1], 0, 0)).result, Errno.EPERM);
      const bad = yield* k.op(call.memory_op, memoryOps.decrease_reservation.nr, XenMemoryReservation, {
        extent_start: 0x1000,
        nr_extents: 2 ** 50,
        domid: DOMID_SELF,
      });
      assert.equal(bad.result, 0);
      assert.equal(yield* k.hypercall(call.memory_op, 60, 0), Errno.ENOSYS);
      assert.equal(yield* k.hypercall(call.memory_op, 24, 0), Errno.EPERM);
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
    const { test } = inGuest(function* (k) {
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
    inGuest(function* (k) {
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
    inGuest(function* (k) {
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
