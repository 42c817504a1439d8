import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SharedInfo, VcpuInfo } from '../../abi/arch-x86.ts';
import { Errno } from '../../abi/errno.ts';
import {
  EVTCHNSTAT,
  EVTCHN_FIFO_MASKED,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindIpi,
  EvtchnBindVirq,
  EvtchnBindVcpu,
  EvtchnClose,
  EvtchnExpandArray,
  EvtchnInitControl,
  EvtchnReset,
  EvtchnSend,
  EvtchnSetPriority,
  EvtchnStatus,
  EvtchnUnmask,
} from '../../abi/event-channel.ts';
import type { ValueOf } from '../../abi/struct.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { GuestKernel } from '../testing/guest.ts';
import { call, runInGuest } from '../testing/guest.ts';
import { eventChannelOps } from './ops.ts';
import { VIRQ_DEBUG, VIRQ_DOM_EXC, VIRQ_TIMER } from './virq.ts';

const nr = call.event_channel_op;
const ops = eventChannelOps;
const inGuest = (...args: Parameters<typeof runInGuest>): void => void runInGuest(...args);

describe('EVTCHNOP', () => {
  it('hands out the lowest free port and takes a closed one again', () =>
    inGuest(function* (k) {
      const alloc = () => k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: 0 });
      assert.deepEqual([(yield* alloc()).out.port, (yield* alloc()).out.port, (yield* alloc()).out.port], [1, 2, 3]);
      assert.equal((yield* k.op(nr, ops.close.nr, EvtchnClose, { port: 2 })).result, 0);
      assert.equal((yield* alloc()).out.port, 2);
    }));

  it('has no port left beyond the limit of the toolstack', () =>
    inGuest(
      function* (k) {
        const alloc = () => k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: 0 });
        for (let i = 1; i <= 3; i++) assert.equal((yield* alloc()).result, 0);
        assert.equal((yield* alloc()).result, Errno.ENOSPC);
      },
      { maxEvtchnPort: 3 },
    ));

  const refusals: readonly {
    name: string;
    call: (k: GuestKernel) => ReturnType<GuestKernel['hypercall']> | ReturnType<GuestKernel['op']>;
    errno: number;
  }[] = [
    {
      name: 'alloc_unbound for another domain',
      call: (k) => k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: 7, remote_dom: 0 }),
      errno: Errno.EPERM,
    },
    {
      name: 'bind_virq of a VIRQ that does not exist',
      call: (k) => k.op(nr, ops.bind_virq.nr, EvtchnBindVirq, { virq: 24, vcpu: 0 }),
      errno: Errno.EINVAL,
    },
    {
      name: 'bind_virq of a global VIRQ to vCPU 1',
      call: (k) => k.op(nr, ops.bind_virq.nr, EvtchnBindVirq, { virq: VIRQ_DOM_EXC, vcpu: 1 }),
      errno: Errno.EINVAL,
    },
    {
      name: 'bind_virq for a vCPU that does not exist',
      call: (k) => k.op(nr, ops.bind_virq.nr, EvtchnBindVirq, { virq: VIRQ_TIMER, vcpu: 5 }),
      errno: Errno.ENOENT,
    },
    {
      name: 'bind_ipi for a vCPU that does not exist',
      call: (k) => k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 5 }),
      errno: Errno.ENOENT,
    },
    {
      name: 'close of a free port',
      call: (k) => k.op(nr, ops.close.nr, EvtchnClose, { port: 9 }),
      errno: Errno.EINVAL,
    },
    { name: 'close of port 0', call: (k) => k.op(nr, ops.close.nr, EvtchnClose, { port: 0 }), errno: Errno.EINVAL },
    { name: 'send to a free port', call: (k) => k.op(nr, ops.send.nr, EvtchnSend, { port: 9 }), errno: Errno.EINVAL },
    {
      name: 'send to a port beyond all limits',
      call: (k) => k.op(nr, ops.send.nr, EvtchnSend, { port: 0xffffffff }),
      errno: Errno.EINVAL,
    },
    { name: 'unmask of port 0', call: (k) => k.op(nr, ops.unmask.nr, EvtchnUnmask, { port: 0 }), errno: Errno.EINVAL },
    {
      name: 'bind_interdomain with a domain that is not there',
      call: (k) => k.op(nr, ops.bind_interdomain.nr, EvtchnBindInterdomain, { remote_dom: 9, remote_port: 1 }),
      errno: Errno.ESRCH,
    },
    {
      name: 'bind_interdomain with a free port',
      call: (k) => k.op(nr, ops.bind_interdomain.nr, EvtchnBindInterdomain, { remote_dom: DOMID_SELF, remote_port: 4 }),
      errno: Errno.EINVAL,
    },
    {
      name: 'expand_array before init_control',
      call: (k) => k.op(nr, ops.expand_array.nr, EvtchnExpandArray, { array_gfn: 20 }),
      errno: Errno.EOPNOTSUPP,
    },
    {
      name: 'set_priority with the 2-level ABI',
      call: (k) => k.op(nr, ops.set_priority.nr, EvtchnSetPriority, { port: 1, priority: 0 }),
      errno: Errno.ENOSYS,
    },
    {
      name: 'init_control with a block that crosses its page',
      call: (k) => k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 20, offset: 4032 }),
      errno: Errno.EINVAL,
    },
    {
      name: 'init_control with an unaligned block',
      call: (k) => k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 20, offset: 4 }),
      errno: Errno.EINVAL,
    },
    {
      name: 'init_control in a frame that is not there',
      call: (k) => k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 2 ** 40 }),
      errno: Errno.EINVAL,
    },
    {
      name: 'init_control for a vCPU that does not exist',
      call: (k) => k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 20, vcpu: 3 }),
      errno: Errno.ENOENT,
    },
    {
      name: 'an argument at an address that is not mapped',
      call: (k) => k.hypercall(nr, ops.send.nr, 0x1000),
      errno: Errno.EFAULT,
    },
    {
      name: "an argument among Xen's own addresses",
      call: (k) => k.hypercall(nr, ops.status.nr, -0x7fff_0000_0000),
      errno: Errno.EFAULT,
    },
    { name: 'an operation that does not exist', call: (k) => k.hypercall(nr, 77, 0), errno: Errno.ENOSYS },
  ];
  for (const refusal of refusals) {
    it(`refuses ${refusal.name}`, () =>
      inGuest(function* (k) {
        const answer = yield* refusal.call(k);
        assert.equal(typeof answer === 'number' ? answer : answer.result, refusal.errno);
      }));
  }

  it('binds a VIRQ once, and again after it was closed', () =>
    inGuest(function* (k) {
      const bind = () => k.op(nr, ops.bind_virq.nr, EvtchnBindVirq, { virq: VIRQ_DEBUG, vcpu: 0 });
      const first = yield* bind();
      assert.equal(first.result, 0);
      assert.equal((yield* bind()).result, Errno.EEXIST);
      yield* k.op(nr, ops.close.nr, EvtchnClose, { port: first.out.port });
      assert.equal((yield* bind()).result, 0);
    }));

  it('tells the state of every kind of port', () =>
    inGuest(function* (k) {
      yield* k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: 3 });
      yield* k.op(nr, ops.bind_virq.nr, EvtchnBindVirq, { virq: VIRQ_TIMER, vcpu: 0 });
      yield* k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 0 });
      yield* k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: DOMID_SELF });
      yield* k.op(nr, ops.bind_interdomain.nr, EvtchnBindInterdomain, { remote_dom: DOMID_SELF, remote_port: 4 });
      const seen: ValueOf<typeof EvtchnStatus>[] = [];
      for (let port = 1; port <= 6; port++)
        seen.push((yield* k.op(nr, ops.status.nr, EvtchnStatus, { dom: DOMID_SELF, port })).out);
      const self = k.domain.domid;
      assert.deepEqual(
        seen.map((s) => [s.status, s.u, s.interdomain_port]),
        [
          [EVTCHNSTAT.unbound, 3, 0],
          [EVTCHNSTAT.virq, VIRQ_TIMER, 0],
          [EVTCHNSTAT.ipi, 0, 0],
          [EVTCHNSTAT.interdomain, self, 5],
          [EVTCHNSTAT.interdomain, self, 4],
          [EVTCHNSTAT.closed, 0, 0],
        ],
      );
    }));

  it('leaves the peer of a closed port unbound, and its events go nowhere', () =>
    inGuest(function* (k) {
      yield* k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: DOMID_SELF });
      yield* k.op(nr, ops.bind_interdomain.nr, EvtchnBindInterdomain, { remote_dom: DOMID_SELF, remote_port: 1 });
      yield* k.op(nr, ops.close.nr, EvtchnClose, { port: 2 });
      assert.equal(
        (yield* k.op(nr, ops.status.nr, EvtchnStatus, { dom: DOMID_SELF, port: 1 })).out.status,
        EVTCHNSTAT.unbound,
      );
      assert.equal((yield* k.op(nr, ops.send.nr, EvtchnSend, { port: 1 })).result, 0);
    }));

  it('moves ports between vCPUs, but no IPI and no per-vCPU VIRQ', () =>
    inGuest(function* (k) {
      yield* k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: 0 });
      yield* k.op(nr, ops.bind_virq.nr, EvtchnBindVirq, { virq: VIRQ_TIMER, vcpu: 0 });
      yield* k.op(nr, ops.bind_virq.nr, EvtchnBindVirq, { virq: VIRQ_DOM_EXC, vcpu: 0 });
      yield* k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 0 });
      const results = [];
      for (let port = 1; port <= 5; port++)
        results.push((yield* k.op(nr, ops.bind_vcpu.nr, EvtchnBindVcpu, { port, vcpu: 0 })).result);
      assert.deepEqual(results, [0, Errno.EINVAL, 0, Errno.EINVAL, Errno.EINVAL]);
    }));

  it('closes everything on reset and goes back to the 2-level ABI', () =>
    inGuest(function* (k) {
      yield* k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 0 });
      yield* k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 20, offset: 0, vcpu: 0 });
      yield* k.op(nr, ops.expand_array.nr, EvtchnExpandArray, { array_gfn: 21 });
      assert.equal((yield* k.op(nr, ops.reset.nr, EvtchnReset, { dom: DOMID_SELF })).result, 0);
      assert.equal(
        (yield* k.op(nr, ops.status.nr, EvtchnStatus, { dom: DOMID_SELF, port: 1 })).out.status,
        EVTCHNSTAT.closed,
      );
      assert.equal(
        (yield* k.op(nr, ops.expand_array.nr, EvtchnExpandArray, { array_gfn: 21 })).result,
        Errno.EOPNOTSUPP,
      );
      assert.deepEqual([k.domain.referencesOf(20), k.domain.referencesOf(21)], [0, 0]);
      assert.equal(
        (yield* k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 20, offset: 0, vcpu: 0 })).result,
        0,
      );
    }));
});

describe('the 2-level ABI', () => {
  const shared = (k: GuestKernel): number => k.domain.frameAt(k.domain.layout.sharedInfoMfn);

  it('marks the port, its word in the selector and the vCPU, in this order and once', () =>
    inGuest(function* (k) {
      const { out } = yield* k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 0 });
      yield* k.op(nr, ops.send.nr, EvtchnSend, { port: out.port });
      const { view } = k.domain;
      assert.equal(view.getUint32(shared(k) + SharedInfo.at.evtchn_pending, true), 1 << out.port);
      const info = VcpuInfo.read(view, shared(k));
      assert.deepEqual([info.evtchn_pending_sel.lo, info.evtchn_upcall_pending, info.evtchn_upcall_mask], [1, 1, 1]);
    }));

  it('keeps a masked port pending and raises it when it is unmasked', () =>
    inGuest(function* (k) {
      const { out } = yield* k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 0 });
      const { view } = k.domain;
      view.setUint32(shared(k) + SharedInfo.at.evtchn_mask, 0xffffffff, true);
      yield* k.op(nr, ops.send.nr, EvtchnSend, { port: out.port });
      assert.equal(view.getUint8(shared(k) + VcpuInfo.at.evtchn_upcall_pending), 0);
      yield* k.op(nr, ops.unmask.nr, EvtchnUnmask, { port: out.port });
      assert.equal(view.getUint8(shared(k) + VcpuInfo.at.evtchn_upcall_pending), 1);
      assert.equal(view.getUint32(shared(k) + SharedInfo.at.evtchn_mask, true), (0xffffffff & ~(1 << out.port)) >>> 0);
    }));
});

describe('the FIFO ABI', () => {
  it('takes over what was pending in the 2-level ABI once the array is there', () =>
    inGuest(function* (k) {
      const { domain } = k;
      const { out } = yield* k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 0 });
      yield* k.op(nr, ops.send.nr, EvtchnSend, { port: out.port });
      yield* k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 20, offset: 64, vcpu: 0 });
      domain.u32.fill(EVTCHN_FIFO_MASKED, domain.frameAt(21) >>> 2, (domain.frameAt(21) >>> 2) + 1024);
      domain.u32[(domain.frameAt(21) >>> 2) + out.port] = 0;
      assert.equal((yield* k.op(nr, ops.expand_array.nr, EvtchnExpandArray, { array_gfn: 21 })).result, 0);
      const priority = 7;
      assert.equal(domain.view.getUint32(domain.frameAt(20) + 64, true), 1 << priority, 'ready');
      assert.equal(domain.view.getUint32(domain.frameAt(20) + 64 + 8 + priority * 4, true), out.port, 'head');
    }));

  it('gives 17 link bits and a second control block for the same vCPU is refused', () =>
    inGuest(function* (k) {
      const init = () => k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: 20, offset: 0, vcpu: 0 });
      assert.equal((yield* init()).out.link_bits, 17);
      assert.equal((yield* init()).result, Errno.EINVAL);
      assert.equal(
        (yield* k.op(nr, ops.set_priority.nr, EvtchnSetPriority, { port: 1, priority: 16 })).result,
        Errno.EINVAL,
      );
      assert.equal((yield* k.op(nr, ops.set_priority.nr, EvtchnSetPriority, { port: 1, priority: 15 })).result, 0);
    }));
});
