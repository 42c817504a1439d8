import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../../abi/errno.ts';
import { E820Entry, XenDomainId, XenMachphysMapping, XenMemoryMap, XenMemoryReservation } from '../../abi/memory.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import { Domain, MAIN_THREAD } from '../domain.ts';
import { call, runInGuest, testHost } from '../testing/guest.ts';
import type { GuestKernel } from '../testing/guest.ts';
import { vaOf } from '../testing/script-processor.ts';
import { memoryOps } from './memory-op.ts';

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
    runInGuest(
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
    const { test, control } = runInGuest(function* (k) {
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
    runInGuest(function* (k) {
      assert.equal((yield* reservation(k, memoryOps.populate_physmap.nr, [300])).result, 0);
      assert.equal((yield* reservation(k, memoryOps.populate_physmap.nr, [0], 11)).result, 0);
    });
  });

  it('lets others in while a long list is worked on, and goes on where it was', () => {
    const test = testHost({ nsPerTurn: 1 });
    const list = Array.from({ length: 500 }, (_, i) => 100 + i);
    let result = 0;
    const control = test.boot(
      function* (k) {
        list.forEach((frame, i) => k.domain.view.setUint32(k.domain.frameAt(30) + i * 8, frame, true));
        // Somebody kicks the vCPU all the time.
        new Domain(k.domain.domid, k.domain.memory, k.domain.layout, MAIN_THREAD).kick(0);
        const call = k.op(12, memoryOps.decrease_reservation.nr, XenMemoryReservation, {
          extent_start: vaOf(30),
          nr_extents: list.length,
          domid: DOMID_SELF,
        });
        result = (yield* call).result;
      },
      { pages: 700 },
    );
    test.host.run(() => result !== 0);
    assert.equal(result, 500);
    assert.equal(control.info().totPages, 200);
  });

  it('refuses other domains, bad lists and numbers it does not know', () => {
    runInGuest(function* (k) {
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
