/** CPU pools, weights and affinities as Xen and libxl handle them, without a host. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { FakeHost } from '../testing/fake-host.ts';
import { Xenstored, type Xenstore } from '../../dom0/xenstore/index.ts';
import type { DomainScheduling } from '../../hypervisor/control.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { CpuPools } from './cpu-pools.ts';
import { placement } from './placement.ts';
import { checkCredit } from './scheduler-parameters.ts';
import { Scheduling } from './scheduling.ts';

/** Domain 0 with two vCPUs, domain 1 with four, on a host of three processors. */
const vcpus: Readonly<Record<number, number>> = { 0: 2, 1: 4 };
let xs: Xenstore;
let pools: CpuPools;
let scheduling: Scheduling;
let acted: Map<number, DomainScheduling>;

beforeEach(() => {
  xs = new Xenstored(new FakeHost().asHost()).client();
  pools = new CpuPools({ nrCpus: 3, domids: () => [0, 1] }, xs, 'credit2');
  acted = new Map();
  scheduling = new Scheduling(
    pools,
    3,
    (domid) => vcpus[domid],
    (domid, how) => acted.set(domid, how),
  );
});

/** The last line that libxl writes, without where it stands in libxl's source. */
function refusal(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    assert(error instanceof LibxlError);
    return (error.lines.at(-1) ?? error.message).replace(/^libxl: error: \S+ /, '');
  }
  return assert.fail('was not refused');
}

describe('CPU pools', () => {
  it('begin with one that has all processors and all domains', () => {
    const [pool, ...others] = pools.list();
    assert.deepEqual([pool?.name, pool?.cpus, pool?.domains, others], ['Pool-0', [0, 1, 2], [0, 1], []]);
    assert.deepEqual(pools.freeCpus(), []);
  });

  it('take free processors only, and give them back', () => {
    assert.match(
      refusal(() => pools.create('a', 'credit', [2], 'u')),
      /^Error moving cpu to cpupool/,
    );
    pools.removeCpu(0, 2);
    assert.deepEqual(pools.freeCpus(), [2]);
    const poolid = pools.create('a', 'credit', [2], 'u');
    assert.deepEqual([poolid, xs.read('/local/pool/1/name'), xs.read('/local/pool/1/uuid')], [1, 'a', 'u']);
    assert.equal(
      refusal(() => pools.addCpu(0, 2)),
      'Error moving cpu 2 to cpupool: Device or resource busy',
    );
    pools.destroy(poolid);
    assert.deepEqual([pools.freeCpus(), xs.exists('/local/pool/1')], [[2], false]);
    pools.addCpu(0, 2);
    assert.deepEqual(pools.list()[0]?.cpus, [0, 1, 2]);
  });

  it('keep a processor while there are domains', () => {
    for (const cpu of [0, 1]) pools.removeCpu(0, cpu);
    assert.match(
      refusal(() => pools.removeCpu(0, 2)),
      /^Error removing cpu 2 from cpupool: Device or resource busy$/,
    );
    assert.throws(() => pools.destroy(0), LibxlError);
  });

  it('take domains in, but not domain 0, and not without a processor', () => {
    const empty = pools.create('empty', 'credit', [], 'u');
    assert.match(
      refusal(() => pools.move(1, empty)),
      /^Domain 1:Error moving domain/,
    );
    pools.removeCpu(0, 2);
    pools.addCpu(empty, 2);
    pools.move(1, empty);
    assert.deepEqual(
      pools.list().map(({ domains }) => domains),
      [[0], [1]],
    );
    assert.match(
      refusal(() => pools.move(0, empty)),
      /^Error moving domain/,
    );
    assert.throws(() => pools.destroy(empty), LibxlError);
    pools.forget(1);
    assert.equal(pools.poolOf(1).poolid, 0);
  });

  it('have no scheduler that a release of Xen has not', () => {
    assert.match(
      refusal(() => pools.create('a', 'rtds', [], 'u')),
      /^Could not create cpupool/,
    );
  });

  it("are checked with libxl's limits", () => {
    const wanted = { tsliceMs: 30, ratelimitUs: 1000, migrationDelayUs: 0 };
    assert.equal(
      refusal(() => checkCredit({ ...wanted, tsliceMs: 1001 })),
      'Time slice out of range, valid range is from 1 to 1000',
    );
    assert.match(
      refusal(() => checkCredit({ ...wanted, ratelimitUs: 99 })),
      /from 100 to 500000$/,
    );
    assert.match(
      refusal(() => checkCredit({ ...wanted, ratelimitUs: 30_001 })),
      /greater than timeslice$/,
    );
    assert.match(
      refusal(() => checkCredit({ ...wanted, migrationDelayUs: 100_001 })),
      /<= 100000us$/,
    );
  });
});

describe('scheduling parameters of a domain', () => {
  it('are what Xen gives to one that asks for nothing, and change one by one', () => {
    assert.deepEqual(scheduling.parameters(1), { weight: 256, cap: 0 });
    scheduling.setParameters(1, 'credit2', { cap: 400 });
    scheduling.setParameters(1, undefined, { weight: 512, cap: -1 });
    assert.deepEqual(scheduling.parameters(1), { weight: 512, cap: 400 });
    const cpus = Array<number[]>(4).fill([0, 1, 2]);
    assert.deepEqual(acted.get(1), { weight: 512, cap: 400, ratelimitUs: 1000, cpus });
  });

  it('stay within limits that the number of vCPUs sets', () => {
    assert.match(
      refusal(() => scheduling.setParameters(1, 'credit2', { weight: 0 })),
      /^Domain 1:Cpu weight out of range/,
    );
    assert.match(
      refusal(() => scheduling.setParameters(1, 'credit2', { cap: 401 })),
      /valid range is from 0 to 400 for specified number of vcpus$/,
    );
    assert.match(
      refusal(() => scheduling.setParameters(1, 'credit', { cap: 1 })),
      /Getting domain sched credit: Invalid argument$/,
    );
    assert.throws(() => scheduling.setParameters(9, 'credit2', {}), LibxlError);
  });
});

describe('affinity', () => {
  it('is all processors until it is set', () => {
    assert.deepEqual(scheduling.affinity(1, 3), { hard: 'all', soft: 'all' });
    scheduling.pin(1, 3, { hard: [0, 2] });
    scheduling.pin(1, 3, { soft: [1] });
    assert.deepEqual(scheduling.affinity(1, 3), { hard: [0, 2], soft: [1] });
    scheduling.pin(1, 3, { hard: [0, 1, 2] });
    assert.equal(scheduling.affinity(1, 3).hard, 'all');
    scheduling.forget(1);
    assert.equal(scheduling.affinity(1, 3).soft, 'all');
  });

  it('acts within the CPU pool, and not where it leaves no processor', () => {
    const cpus = (): unknown => acted.get(1)?.cpus.slice(2);
    scheduling.pin(1, 3, { hard: [0, 2] });
    assert.deepEqual(cpus(), [
      [0, 1, 2],
      [0, 2],
    ]);
    pools.removeCpu(0, 2);
    assert.deepEqual(cpus(), [[0, 1], [0]]);
    pools.removeCpu(0, 0);
    assert.deepEqual(cpus(), [[1], [1]]);
    pools.move(1, pools.create('other', 'credit', [2], 'u'));
    assert.deepEqual(cpus(), [[2], [2]]);
  });

  it('is refused for vCPUs and processors that there are not', () => {
    const invalid = 'Domain 1:Setting vcpu affinity: Invalid argument';
    assert.equal(
      refusal(() => scheduling.pin(1, 4, { hard: [0] })),
      invalid,
    );
    pools.removeCpu(0, 2);
    assert.equal(
      refusal(() => scheduling.pin(1, 0, { hard: [2] })),
      invalid,
    );
    assert.match(
      refusal(() => scheduling.pin(9, 0, { hard: [0] })),
      /No such process$/,
    );
  });
});

describe('placement of a new domain', () => {
  const config = (c_info: object, b_info: object): never =>
    ({ c_info, b_info: { sched_params: {}, ...b_info } }) as never;

  it('follows its configuration', () => {
    const service = placement(pools, scheduling);
    pools.removeCpu(0, 2);
    pools.create('fast', 'credit', [2], 'u');
    const wanted = config(
      { pool_name: 'fast' },
      { sched_params: { weight: 100, cap: 50 }, vcpu_hard_affinity: [[2], [2]], vcpu_soft_affinity: [[0]] },
    );
    service.check(wanted);
    service.admit(1, wanted);
    assert.equal(pools.poolOf(1).name, 'fast');
    assert.deepEqual(scheduling.parameters(1), { weight: 100, cap: 50 });
    assert.deepEqual(scheduling.affinity(1, 0), { hard: [2], soft: [0] });
    service.forget(1);
    assert.equal(pools.poolOf(1).name, 'Pool-0');
  });

  it('is refused where there is no such pool, or no such processor in it', () => {
    const service = placement(pools, scheduling);
    assert.equal(
      refusal(() => service.check(config({ pool_name: 'nosuch' }, {}))),
      'Illegal pool specified: nosuch',
    );
    pools.removeCpu(0, 2);
    assert.equal(
      refusal(() => service.admit(1, config({}, { vcpu_hard_affinity: [[2]] }))),
      "setting affinity failed on vcpu `0'",
    );
  });
});
