/**
 * Nothing that a guest does stops the host: no exception leaves the hypervisor, every call ends, and what the hypervisor
 * keeps of the domain agrees with itself afterwards. A failure names the list of seeds that leads to it, as short as can be.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MMUEXT } from '../abi/arch-x86/mmu.ts';
import { PTE } from '../abi/arch-x86/page-table.ts';
import { GTF_permit_access, GrantEntryV1 } from '../abi/grant-table.ts';
import { PAGE_SIZE } from '../abi/numbers.ts';
import { fuzz } from '../abi/testing/fuzz.ts';
import { DOMID_SELF } from '../abi/xen.ts';
import { grantTableOps } from './grant-table/ops.ts';
import { RAM, frames, va } from './pv/testing/pv-guest.ts';
import { act } from './testing/hostile-actions.ts';
import { HostileGuest, type Value } from './testing/hostile-guest.ts';

const parameters = fuzz(30);
const ACTIONS = 400;
const CHECK_EVERY = 4;
/** Guest addresses that the hypervisor has looked at when the domain is destroyed. */
const DIES_AFTER = 200;

const seeds = fc.array(fc.noShrink(fc.integer({ min: 1, max: 0x7fff_ffff })), {
  minLength: 1,
  maxLength: ACTIONS,
  size: 'max',
});

function sequence(list: readonly number[]): number {
  const guest = new HostileGuest();
  let done = 0;
  for (const seed of list) {
    act(guest, seed);
    if (++done % CHECK_EVERY === 0) guest.check();
    if (!guest.alive) break;
  }
  guest.check();
  guest.checkBystander();
  return done;
}

describe('a hostile guest', () => {
  it('stops nothing but itself', () => {
    let actions = 0;
    const property = fc.property(seeds, (list) => {
      actions += sequence(list);
    });
    fc.assert(property, { ...parameters, endOnFailure: process.env['HOSTILE_GUEST_SHRINK'] === '0' });
    assert.ok(actions > parameters.numRuns * 20, `only ${actions} actions: the guests die too soon to show anything`);
  });
});

/** A list of equal entries as long as the guest's memory allows: one page of them, mapped again and again. */
function longList(g: HostileGuest, entry: readonly number[]): { readonly at: number; readonly length: number } {
  g.guest.words(
    frames.data,
    0,
    Array.from({ length: 1024 }, (_, i) => entry[i % entry.length] ?? 0),
  );
  for (let page: number = frames.spare; page < RAM; page++)
    assert.equal(g.guest.remap(page, frames.data * 4096 + PTE.P + PTE.RW), 0);
  return { at: va(frames.spare), length: Math.floor(((RAM - frames.spare) * 1024) / entry.length) };
}

describe('a domain that is destroyed in the middle of a hypercall', () => {
  const calls: Readonly<
    Record<string, readonly [entry: readonly number[], call: (at: number, n: number) => [number, Value[]]]>
  > = {
    multicall: [[17, ...new Array<number>(15).fill(0)], (at, n) => [13, [at, n]]],
    mmu_update: [[frames.l1 * 4096 + (RAM + 1) * 8, 0, 0, 0], (at, n) => [1, [at, n, 0, DOMID_SELF]]],
    mmuext_op: [new Array<number>(6).fill(MMUEXT.TLB_FLUSH_LOCAL), (at, n) => [26, [at, n, 0, DOMID_SELF]]],
  };
  for (const [name, [entry, make]] of Object.entries(calls)) {
    it(`comes out of ${name} at once`, () => {
      const g = new HostileGuest();
      const list = longList(g, entry);
      const [nr, args] = make(list.at, list.length);
      const { processor } = g.vcpu;
      const translate = processor.translate.bind(processor);
      let seen = 0;
      processor.translate = (address, access) => {
        if (++seen === DIES_AFTER) g.domain.die();
        return translate(address, access);
      };
      g.call(nr, args);
      assert.ok(seen >= DIES_AFTER && seen < DIES_AFTER + 1000, `${seen} of the addresses were looked at`);
    });
  }
});

describe('a grant that domain 0 has mapped', () => {
  it('is given back when the guest has made its table shorter meanwhile', () => {
    const g = new HostileGuest();
    const { grantMfn, m2pTablesMfn, totalFrames } = g.domain.layout;
    const perFrame = PAGE_SIZE / GrantEntryV1.size;
    const ref = 64 * perFrame - 1;
    const [frame, offset] = [grantMfn + Math.floor(ref / perFrame), (ref % perFrame) * GrantEntryV1.size];
    g.guest.words(frames.data, 0, [DOMID_SELF, 64, 0, 0, va(frames.data + 1), 0]);
    g.call(20, [grantTableOps.setup_table.nr, va(frames.data), 1]);
    g.guest.words(frame, offset, [GTF_permit_access, frames.spare]);
    const mapping = g.control.grantMap(ref, { readonly: true });
    assert.ok(typeof mapping === 'object');
    // The guest says that nobody uses it, and asks for entries of twice the size.
    g.guest.words(frame, offset, [0, 0]);
    g.guest.words(frames.data, 0, [2]);
    g.call(20, [grantTableOps.set_version.nr, va(frames.data), 1]);
    assert.equal(g.domain.get('grantVersion'), 2);
    const ofXen = (): Uint8Array => g.domain.u8.slice(g.domain.frameAt(m2pTablesMfn), g.domain.frameAt(totalFrames));
    const before = ofXen();
    mapping.unmap();
    assert.deepEqual(ofXen(), before);
    g.check();
  });
});
