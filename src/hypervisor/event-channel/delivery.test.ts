/** No event is lost, whatever the guest masks and whoever sends: the guest's side of each ABI against Xen's. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  EVTCHN_FIFO_MASKED,
  EvtchnAllocUnbound,
  EvtchnBindIpi,
  EvtchnExpandArray,
  EvtchnInitControl,
  EvtchnSend,
  EvtchnSetPriority,
  EvtchnUnmask,
} from '../../abi/event-channel.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { LocalPort } from '../control.ts';
import type { Domain } from '../domain.ts';
import { fifoSide, twoLevelSide } from '../testing/event-guest.ts';
import type { EventSide } from '../testing/event-guest.ts';
import { call, testHost } from '../testing/guest.ts';
import type { GuestKernel } from '../testing/guest.ts';
import { eventChannelOps as ops } from './ops.ts';

const nr = call.event_channel_op;
const CONTROL_FRAME = 20;
const ARRAY_FRAME = 21;
const PORTS = 40;

interface Abi {
  readonly name: string;
  setUp(k: GuestKernel): Generator<never, EventSide, number> | ReturnType<typeof setUpFifo>;
}

function* setUpFifo(k: GuestKernel) {
  const { domain } = k;
  const array = domain.frameAt(ARRAY_FRAME) >>> 2;
  domain.u32.fill(EVTCHN_FIFO_MASKED, array, array + 1024);
  assert.equal(
    (yield* k.op(nr, ops.init_control.nr, EvtchnInitControl, { control_gfn: CONTROL_FRAME, offset: 0, vcpu: 0 }))
      .result,
    0,
  );
  assert.equal((yield* k.op(nr, ops.expand_array.nr, EvtchnExpandArray, { array_gfn: ARRAY_FRAME })).result, 0);
  return fifoSide(domain, CONTROL_FRAME, [ARRAY_FRAME]);
}

const abis: readonly Abi[] = [
  {
    name: '2-level',
    *setUp(k) {
      const side = twoLevelSide(k.domain);
      for (let port = 0; port < 4096; port++) side.mask(port);
      return side;
    },
  },
  { name: 'FIFO', setUp: setUpFifo },
];

function generator(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

for (const abi of abis) {
  describe(`events in the ${abi.name} ABI`, () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      it(`reach the guest whatever it masks meanwhile (seed ${seed})`, () => {
        const pick = generator(seed * 7919);
        const expected = new Set<number>();
        const masked = new Set<number>();
        let side: EventSide | undefined;
        let handled = 0;
        const handle = (port: number): void => {
          assert.ok(expected.has(port), `port ${port} was sent`);
          assert.ok(!masked.has(port), `port ${port} is not masked`);
          expected.delete(port);
          handled++;
        };
        const test = testHost({ seed, onUpcall: () => side?.consume(handle) });
        let finished = false;
        test.boot(
          function* (k) {
            side = yield* abi.setUp(k);
            const ports: number[] = [];
            for (let i = 0; i < PORTS; i++)
              ports.push((yield* k.op(nr, ops.bind_ipi.nr, EvtchnBindIpi, { vcpu: 0 })).out.port);
            const unmask = function* (port: number) {
              masked.delete(port);
              if (side?.unmask(port) !== true) yield* k.op(nr, ops.unmask.nr, EvtchnUnmask, { port });
            };
            for (const port of ports) yield* unmask(port);
            k.domain.u8[k.domain.frameAt(k.domain.layout.sharedInfoMfn) + 1] = 0;
            for (let i = 0; i < 2000; i++) {
              const port = ports[pick(PORTS)] ?? 0;
              const action = pick(10);
              if (action < 5) {
                expected.add(port);
                yield* k.op(nr, ops.send.nr, EvtchnSend, { port });
              } else if (action < 7) {
                side.mask(port);
                masked.add(port);
              } else if (action < 9) yield* unmask(port);
              else yield* k.op(nr, ops.set_priority.nr, EvtchnSetPriority, { port, priority: pick(16) });
            }
            for (const port of ports) yield* unmask(port);
            yield* k.hypercall(call.xen_version, 0, 0);
            finished = true;
          },
          { maxEvtchnPort: 1023 },
        );
        test.host.run(() => finished);
        assert.deepEqual([...expected], [], 'every event that was sent has been handled');
        assert.ok(handled > 400, `${handled} events handled`);
      });
    }

    it('travel to domain 0 and back, and the first one even before anybody was bound', () => {
      let side: EventSide | undefined;
      let answers = 0;
      let domain: Domain | undefined;
      const test = testHost({ onUpcall: () => side?.consume(() => answers++) });
      const control = test.boot(function* (k) {
        domain = k.domain;
        side = yield* abi.setUp(k);
        const { out } = yield* k.op(nr, ops.alloc_unbound.nr, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: 0 });
        assert.equal((yield* k.op(nr, ops.send.nr, EvtchnSend, { port: out.port })).result, 0);
        if (side.unmask(out.port) !== true) yield* k.op(nr, ops.unmask.nr, EvtchnUnmask, { port: out.port });
        for (;;) {
          yield* k.op(nr, ops.send.nr, EvtchnSend, { port: out.port });
          yield* k.hypercall(call.sched_op, 1);
        }
      });
      test.host.run(() => domain !== undefined && test.host.loop(control.domid, 0)?.vcpu.load('blocked') === 1);
      let requests = 0;
      const local: LocalPort = test.host.hypervisor.bindInterdomain(control.domid, 1, () => {
        requests++;
        local.notify();
      });
      test.host.run(() => answers >= 10);
      assert.ok(requests >= 10);
      local.close();
      const before = answers;
      local.notify();
      test.host.run();
      assert.equal(answers, before, 'a closed port notifies nobody');
    });
  });
}
