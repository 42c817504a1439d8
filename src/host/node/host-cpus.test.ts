import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { describe, it } from 'node:test';
import { HostCpus, parseList } from './host-cpus.ts';

const linux = process.platform === 'linux' ? false : 'only Linux tells where threads run';

describe('the processors of the host', () => {
  it('are read from a list of ranges', () => {
    assert.deepEqual(parseList('0-3,8'), [0, 1, 2, 3, 8]);
    assert.deepEqual(parseList('5'), [5]);
    assert.deepEqual(parseList(''), []);
    assert.deepEqual(parseList('0-4294967295'), []);
  });

  it('are given to threads and taken from them', { skip: linux }, () => {
    const cpus = new HostCpus();
    const tid = Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0]);
    const allowed = (): string | undefined =>
      /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(`/proc/self/task/${tid}/status`, 'latin1'))?.[1];
    const before = allowed();
    const all = Array.from({ length: availableParallelism() }, (_, cpu) => cpu);
    const last = all.length - 1;
    try {
      if (!cpus.confine(tid, [last])) return;
      assert.deepEqual(parseList(allowed() ?? ''), [parseList(before ?? '')[last]]);
      assert.equal(cpus.lastOf(tid), last);
    } finally {
      cpus.confine(tid, all);
    }
    assert.equal(allowed(), before);
  });

  it('cannot hold a thread that there is not', () => {
    assert.equal(new HostCpus([0, 1]).confine(2 ** 30, [0]), false);
    assert.equal(new HostCpus().lastOf(2 ** 30), undefined);
  });
});
