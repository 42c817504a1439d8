import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PTE } from '../../abi/arch-x86/page-table.ts';
import { Errno } from '../../abi/errno.ts';
import { PAGE_SIZE } from '../../abi/numbers.ts';
import type { DomainControl, DomainTemplate, GrantMapping } from '../control.ts';
import { hex, mov, program, store } from './testing/code.ts';
import { PvGuest, RAM, frames, powerOff, stackTop, va } from './testing/pv-guest.ts';

const VALUE = 0x1234;
const RAX = 0;
const L1 = 1;

/** Has a port, and a grant of which domain 0 has two mappings, and has not begun. */
function resting(onPrepareFreeze?: () => Promise<void>): PvGuest {
  const guest = new PvGuest(onPrepareFreeze === undefined ? {} : { onPrepareFreeze });
  guest.write(frames.code, 0, program(mov(RAX, VALUE), store(va(frames.data), RAX), powerOff));
  guest.words(frames.data, 0xfe0, [0]);
  // The guest itself may only read the granted page.
  guest.words(frames.l1, frames.spare * 8, [frames.spare * PAGE_SIZE + (PTE.P | PTE.A), 0]);
  guest.control.pinTable(frames.l4, 4);
  guest.control.setVcpuContext(0, { rip: va(frames.code), rsp: stackTop, rsi: 0, cr3Mfn: frames.l4 });
  assert.equal(guest.control.allocUnbound(0), 1);
  guest.control.seedGrant(0, frames.spare);
  for (const readonly of [true, false]) assert.notEqual(typeof guest.control.grantMap(0, { readonly }), 'number');
  return guest;
}

function clone({ host }: PvGuest, template: DomainTemplate): DomainControl {
  return host.hypervisor.createDomain({ handle: new Uint8Array(16).fill(7), maxVcpus: 1, maxMemKiB: 4, template });
}

const word = ({ frames }: DomainControl, frame: number): number =>
  frames.dataView.getUint32(frames.base + frame * PAGE_SIZE, true);

describe('a domain that begins in a template', () => {
  it('has its memory, tables and registers, and writes to its own', () => {
    const guest = resting();
    const template = guest.control.freeze();
    const one = clone(guest, template);
    template.close();
    const { domid, handle, paused, totPages, shutdown } = one.info();
    assert.deepEqual([domid, handle[0], paused, totPages, shutdown], [2, 7, true, RAM, false]);
    assert.deepEqual(one.frameType(frames.l4), { level: 4, pinned: true });
    one.unpause();
    guest.host.run(() => one.info().shutdown);
    assert.equal(one.info().shutdownReason, 0);
    assert.deepEqual([word(one, frames.data), word(guest.control, frames.data)], [VALUE, 0]);
    guest.control.unpause();
    guest.host.run(() => guest.control.info().shutdown);
    assert.equal(word(guest.control, frames.data), VALUE);
  });

  it('hears of writes to code that was decoded in the template', () => {
    const guest = resting();
    guest.write(frames.code, 0, program(mov(RAX, 1), store(va(frames.data), RAX), hex('eb fe')));
    guest.control.unpause();
    guest.host.run(() => word(guest.control, frames.data) === 1);
    guest.control.pause();
    guest.control.setVcpuContext(0, { rip: va(frames.code), rsp: stackTop, rsi: 0, cr3Mfn: frames.l4 });
    // The number in `mov`, which nobody has executed since.
    guest.write(frames.code, 2, Uint8Array.of(9));
    const one = clone(guest, guest.control.freeze());
    one.unpause();
    guest.host.run(() => word(one, frames.data) === 9);
    assert.equal(word(guest.control, frames.data), 1);
  });

  it('has none of the ports, grants and mappings', () => {
    const guest = resting();
    const one = clone(guest, guest.control.freeze());
    assert.equal(one.allocUnbound(0), 1);
    assert.equal(typeof one.grantMap(0, { readonly: true }), 'number');
    one.seedGrant(0, frames.spare);
    const mapping = one.grantMap(0, { readonly: false }) as GrantMapping;
    assert.equal(mapping.mfn, frames.spare);
    mapping.unmap();
    // What nobody holds as a page to write to can become a page table.
    one.pinTable(frames.spare, L1);
    assert.throws(() => guest.control.pinTable(frames.spare, L1), { errno: Errno.EINVAL });
  });

  it('is not counted with pages of the template', () => {
    const guest = resting();
    const { state } = guest.host;
    const { freePages } = state;
    const one = clone(guest, guest.control.freeze());
    assert.equal(state.freePages, freePages);
    return one.destroy().then(() => assert.equal(state.freePages, freePages));
  });

  it('is prepared while the vCPUs stand still, whoever unpauses the domain meanwhile', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const guest = resting(() => promise);
    const prepared = guest.control.prepareFreeze();
    guest.control.unpause();
    guest.host.run();
    assert.deepEqual([guest.control.info().paused, word(guest.control, frames.data)], [true, 0]);
    resolve();
    await prepared;
    guest.host.run(() => guest.control.info().shutdown);
    assert.equal(word(guest.control, frames.data), VALUE);
  });

  it('is prepared without a thread for a vCPU that has none', async () => {
    const guest = resting();
    const one = clone(guest, guest.control.freeze());
    await one.prepareFreeze();
    assert.equal(guest.host.loop(one.domid, 0), undefined);
    assert.equal(one.info().paused, true);
  });

  it('is not made of one that was destroyed while it was prepared', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const guest = resting(() => promise);
    const prepared = guest.control.prepareFreeze();
    await guest.control.destroy();
    resolve();
    await prepared;
    assert.throws(() => guest.control.freeze(), { errno: Errno.EINVAL });
    await assert.rejects(guest.control.prepareFreeze(), { errno: Errno.EINVAL });
  });

  it('is not made of one that runs', () => {
    const guest = resting();
    guest.control.unpause();
    assert.throws(() => guest.control.freeze(), { errno: Errno.EINVAL });
  });
});
