import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { shutdownReasons } from '../../hypervisor/control.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';
import { occupied } from '../domain/occupation.ts';
import { DomainWorld } from '../testing/domain-world.ts';
import type { GuestDomain } from '../testing/fake-host.ts';
import { suspend } from './suspend.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A domain whose guest takes no notice of anything by itself. */
async function deafGuest(): Promise<{ world: DomainWorld; domain: ManagedDomain; guest: GuestDomain }> {
  const world = new DomainWorld();
  world.clock.endless = true;
  const { guest } = await world.start();
  return { world, guest, domain: world.manager.domain(guest.domid) ?? assert.fail('no domain') };
}

const node = 'control/shutdown';
const kernelOf = (world: DomainWorld): ReturnType<DomainWorld['xenstored']['client']> =>
  world.xenstored.client({ domid: 1, privileged: false });

describe('a guest that is asked to suspend', () => {
  it('has a minute to take notice, and is then asked no more', async () => {
    const { world, domain, guest } = await deafGuest();
    const asked = suspend(world.manager, domain, world.clock);
    await world.settled(() => world.clock.isAwaited);
    assert.equal(kernelOf(world).read(node), 'suspend');
    world.clock.pass();
    await assert.rejects(asked, /guest didn't acknowledge suspend, cancelling request/);
    assert.equal(kernelOf(world).read(node), '');
    assert.equal(guest.state, 'running');
  });

  it('goes on when it suspends after nobody waits any more, and is looked after as before', async () => {
    const { world, domain, guest } = await deafGuest();
    const asked = suspend(world.manager, domain, world.clock);
    kernelOf(world).write(node, '');
    await world.settled(() => world.clock.isAwaited);
    await turn();
    world.clock.pass();
    await assert.rejects(asked, /guest did not suspend, timed out/);
    guest.shutDown(shutdownReasons.suspend);
    await world.settled(() => guest.resumes === 1);
    assert.equal(guest.state, 'running');
    await world.settled(() => world.lines.at(-1)?.startsWith('Waiting for domain web') === true);
    // Once: a later suspend is somebody else's.
    const again = suspend(world.manager, domain, world.clock);
    kernelOf(world).write(node, '');
    guest.shutDown(shutdownReasons.suspend);
    await again;
    await turn();
    assert.equal(guest.resumes, 1);
  });

  it('answers with its late suspend who has asked anew meanwhile', async () => {
    const { world, domain, guest } = await deafGuest();
    const asked = suspend(world.manager, domain, world.clock);
    kernelOf(world).write(node, '');
    await turn();
    world.clock.pass();
    await assert.rejects(asked, /timed out/);
    await occupied(domain, 'saved', async () => {
      const again = suspend(world.manager, domain, world.clock);
      guest.shutDown(shutdownReasons.suspend);
      kernelOf(world).write(node, '');
      await again;
      await turn();
      assert.deepEqual([guest.state, guest.resumes], ['shutdown', 0]);
    });
  });

  it('goes on when whoever asked has given up, before it took notice and after', async () => {
    const { world, domain, guest } = await deafGuest();
    const early = new AbortController();
    const asked = suspend(world.manager, domain, world.clock, early.signal);
    assert.equal(kernelOf(world).read(node), 'suspend');
    early.abort(new Error('enough'));
    await assert.rejects(asked, /enough/);
    assert.equal(kernelOf(world).read(node), '');
    const late = new AbortController();
    const again = suspend(world.manager, domain, world.clock, late.signal);
    kernelOf(world).write(node, '');
    await turn();
    late.abort(new Error('enough'));
    await assert.rejects(again, /enough/);
    guest.shutDown(shutdownReasons.suspend);
    await world.settled(() => guest.resumes === 1);
    // What was asked first and is late does not take back what another asks.
    const third = suspend(world.manager, domain, world.clock);
    assert.equal(kernelOf(world).read(node), 'suspend');
    kernelOf(world).write(node, '');
    guest.shutDown(shutdownReasons.suspend);
    await third;
    await assert.rejects(suspend(world.manager, domain, world.clock, early.signal), /enough/);
  });

  it('is told from one that ends in another way', async () => {
    const { world, domain, guest } = await deafGuest();
    const asked = suspend(world.manager, domain, world.clock);
    kernelOf(world).write(node, '');
    guest.shutDown(shutdownReasons.crash);
    await assert.rejects(asked, /unexpected reason code/);
    const other = await deafGuest();
    const gone = suspend(other.world.manager, other.domain, other.world.clock);
    await other.world.manager.destroy(1);
    await assert.rejects(gone, /guest was destroyed/);
  });
});

describe('what a guest is suspended for', () => {
  it('is one thing at a time', async () => {
    const { domain } = await deafGuest();
    const saving = Promise.withResolvers<void>();
    const saved = occupied(domain, 'saved', () => saving.promise);
    for (const by of ['saved', 'moved', 'cloned'] as const)
      await assert.rejects(
        occupied(domain, by, () => assert.fail()),
        { message: `domain 1 cannot be ${by}: it is being saved` },
      );
    saving.reject(new Error('disk full'));
    await assert.rejects(saved, /disk full/);
    assert.equal(await occupied(domain, 'moved', () => Promise.resolve(7)), 7);
  });
});
