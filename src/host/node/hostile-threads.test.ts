/**
 * Two domains of two vCPUs each, in threads of their own, make hypercalls at random and as fast as they can, while
 * domain 0 pauses them, notifies them and maps their grants. No thread may fail, none may hold up domain 0, and the
 * accounting has to be right afterwards, whatever the order in which it happened.
 *
 *   HOSTILE_THREADS_SECONDS=300 HOSTILE_THREADS_SEED=7 node --test src/host/node/hostile-threads.test.ts
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Random } from '../../cpu/oracle/random.ts';
import type { LocalPort } from '../../hypervisor/control.ts';
import { HypercallError } from '../../hypervisor/control.ts';
import { DomainControlOf } from '../../hypervisor/domain-control.ts';
import { type MappedGrant, wrongPageCounts } from '../../hypervisor/testing/page-counts.ts';
import { wrongGrants, wrongPorts } from '../../hypervisor/testing/port-check.ts';
import { createHost } from './hypervisor-host.ts';
import { RandomCalls } from './testing/random-calls.ts';

const SECONDS = Number(process.env['HOSTILE_THREADS_SECONDS'] ?? 3);
const SEED = Number(process.env['HOSTILE_THREADS_SEED'] ?? 1);
const DOMAINS = 2;
/** A domain's life until it is looked at and replaced. */
const LIFE_MS = 500;
/** These take a few milliseconds on an idle machine, and on any one less than the hypervisor's patience with threads. */
const LONGEST_MS = 14_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('domains that make random hypercalls in threads', { timeout: (SECONDS + 600) * 1000 }, () => {
  const host = createHost({ memoryMiB: 1024, commandLine: 'dom0_mem=64M loglvl=all guest_loglvl=all' });
  after(() => host.close());
  const random = new Random(SEED, 'hostile threads');

  /** What domain 0 has to do with a domain, all in a moment. */
  function meddle(calls: RandomCalls, ports: LocalPort[], grants: MappedGrant[]): void {
    const { control } = calls;
    try {
      switch (random.below(6)) {
        case 0:
          ports.push(host.bindInterdomain(control.domid, 1 + random.below(8), () => undefined));
          break;
        case 1:
          for (const port of ports) port.notify();
          break;
        case 2:
          ports.splice(random.below(4), 1)[0]?.close();
          break;
        case 3: {
          const readonly = random.chance(0.5);
          const mapping = control.grantMap(random.below(8), { readonly });
          if (typeof mapping === 'object') grants.push({ mapping, readonly });
          break;
        }
        case 4:
          grants.splice(random.below(4), 1)[0]?.mapping.unmap();
          break;
        default: {
          const start = performance.now();
          control.pause();
          const took = performance.now() - start;
          assert.ok(took < LONGEST_MS, `pausing took ${took} ms`);
          control.unpause();
        }
      }
    } catch (error) {
      if (!(error instanceof HypercallError)) throw error;
    }
  }

  /** One domain from its creation to its end; how many instructions it got done. */
  async function live(seed: number): Promise<number> {
    const calls = new RandomCalls(host, seed);
    const { control } = calls;
    const ports: LocalPort[] = [];
    const grants: MappedGrant[] = [];
    for (let i = 0; i < 3; i++) control.allocUnbound(0);
    for (let ref = 0; ref < 4; ref++) control.seedGrant(ref, 24 + ref);
    control.unpause();
    // Threads take a while to begin.
    const over = (): boolean => control.info().shutdown || control.info().dying;
    const begun = (): boolean => [0, 1].every((vcpu) => (control.vcpuInfo(vcpu)?.instructions ?? 0) > 0);
    while (!over() && !begun()) await sleep(5);
    const end = performance.now() + LIFE_MS;
    while (performance.now() < end && !over()) {
      calls.change(4);
      meddle(calls, ports, grants);
      await sleep(1);
    }
    control.pause();
    const instructions = [0, 1].reduce((sum, vcpu) => sum + (control.vcpuInfo(vcpu)?.instructions ?? 0), 0);
    assert.ok(control instanceof DomainControlOf);
    assert.deepEqual(wrongPageCounts(control.domain, grants), []);
    assert.deepEqual(wrongPorts(control.domain), []);
    assert.deepEqual(wrongGrants(control.domain), []);
    for (const { mapping } of grants) mapping.unmap();
    control.unpause();
    const toEnd = begun();
    const start = performance.now();
    await control.destroy();
    // A thread that has not begun yet cannot notice.
    assert.ok(!toEnd || performance.now() - start < LONGEST_MS, `destroying took ${performance.now() - start} ms`);
    for (const port of ports) port.close();
    return instructions;
  }

  it(`leave domain 0 alone and the accounts in order (${SECONDS} s, seed ${SEED})`, async () => {
    const { freePages } = host.physInfo();
    const lives: number[] = [];
    const end = performance.now() + SECONDS * 1000;
    const forEver = async (seed: number): Promise<void> => {
      for (let n = 0; performance.now() < end; n++) lives.push(await live(seed + n * DOMAINS));
    };
    await Promise.all(Array.from({ length: DOMAINS }, (_, i) => forEver(SEED * 1000 + i)));
    assert.doesNotMatch(host.readConsole(), /thread ended/);
    assert.ok(
      lives.some((instructions) => instructions > 1000),
      `instructions: ${lives.join(' ')}`,
    );
    assert.equal(host.physInfo().freePages, freePages);
  });
});
