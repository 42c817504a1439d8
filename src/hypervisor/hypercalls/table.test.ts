import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../../abi/errno.ts';
import { XENVER } from '../../abi/version.ts';
import { MulticallEntry } from '../multicall.ts';
import { call, runInGuest } from '../testing/guest.ts';
import { vaOf } from '../testing/script-processor.ts';
import { createHypercallTable } from './index.ts';

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
      runInGuest(function* (k) {
        assert.equal(yield* k.hypercall(nr, 1, 2, 3), errno);
      });
    });
  }
});

describe('multicall', () => {
  it('goes on after an entry that fails, stores each result, and returns 0', () => {
    runInGuest(function* (k) {
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
    runInGuest(function* (k) {
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
    runInGuest(function* (k) {
      assert.equal(yield* k.hypercall(call.multicall, 0x1000, 1), Errno.EFAULT);
      assert.equal(yield* k.hypercall(call.multicall, vaOf(30), 0xffffffff), Errno.EINVAL);
    });
  });
});
