import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { DomainManager } from '../domain/domain-manager.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { Transit } from './transit.ts';

/** One domain, and what was done to it. */
class World {
  readonly calls: string[] = [];
  name: string | undefined = 'nomad';
  readonly transit = new Transit(this.#manager(), {
    releaseDisks: (domid) => this.#note(`release ${domid}`),
    reclaimDisks: (domid) => this.#note(`reclaim ${domid}`),
  });

  get domain(): ManagedDomain {
    return { domid: 7, name: this.name ?? '', destruction: undefined } as ManagedDomain;
  }

  #note(call: string): Promise<void> {
    this.calls.push(call);
    return Promise.resolve();
  }

  #manager(): DomainManager {
    const manager: Partial<DomainManager> = {
      domain: () => (this.name === undefined ? undefined : this.domain),
      nameOf: () => this.name,
      domidOf: (name) => (this.name === name ? 7 : undefined),
      onEvent: () => () => undefined,
      rename: (domid, name) => {
        this.calls.push(`rename ${domid} ${name}`);
        this.name = name;
      },
      resume: (domid) => void this.calls.push(`resume ${domid}`),
      unpause: (domid) => void this.calls.push(`unpause ${domid}`),
      destroy: (domid) => {
        this.name = undefined;
        return this.#note(`destroy ${domid}`);
      },
    };
    return manager as DomainManager;
  }
}

describe('a domain that leaves', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.transit.suspended(world.domain);
  });

  it('goes on where it was when nobody is left to give it away', async () => {
    await world.transit.abandoned(7);
    assert.deepEqual(world.calls, ['release 7', 'reclaim 7', 'resume 7']);
    // Once is enough.
    await world.transit.takeBack(7);
    assert.equal(world.calls.length, 3);
  });

  it('stays suspended under its other name once it is given', async () => {
    world.transit.give(7);
    await world.transit.abandoned(7);
    assert.deepEqual(world.calls, ['release 7', 'rename 7 nomad--migratedaway']);
  });

  it('comes back under its own name when the receiver does not want it', async () => {
    world.transit.give(7);
    await world.transit.takeBack(7);
    assert.deepEqual(world.calls.slice(2), ['rename 7 nomad', 'reclaim 7', 'resume 7']);
  });

  it('cannot be given once it has been taken back', async () => {
    assert.equal(world.transit.holds(7), true);
    await world.transit.takeBack(7);
    assert.equal(world.transit.holds(7), false);
    assert.throws(() => world.transit.give(7), LibxlError);
  });

  it('is left alone when it was destroyed meanwhile', async () => {
    world.name = undefined;
    await world.transit.takeBack(7);
    assert.deepEqual(world.calls, ['release 7']);
  });
});

describe('a domain that arrives', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
    world.name = world.transit.incomingName('nomad');
    world.transit.arrived(7, 'nomad');
  });

  it('gets its name, and runs, when it is given', () => {
    world.transit.start(7, false);
    assert.deepEqual(world.calls, ['rename 7 nomad', 'unpause 7']);
  });

  it('stays paused when that is wanted', () => {
    world.transit.start(7, true);
    assert.deepEqual(world.calls, ['rename 7 nomad']);
  });

  it('is destroyed when nobody gives it, and not once it runs', async () => {
    await world.transit.notGiven(7);
    assert.deepEqual(world.calls, ['destroy 7']);
    const other = new World();
    other.transit.arrived(7, 'nomad');
    other.transit.start(7, false);
    await other.transit.notGiven(7);
    assert.deepEqual(other.calls, ['rename 7 nomad', 'unpause 7']);
  });
});
