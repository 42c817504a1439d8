/** Rings full of anything: whatever a frontend writes, the host goes on, nothing stays mapped, and every answer has its place. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import {
  NETIF_CTRL_SLOT_SIZE,
  NetifCtrlRequest,
  NetifCtrlResponse,
  XEN_NETIF_CTRL_STATUS,
} from '../../../abi/io/netif.ts';
import { FrontRing } from '../../testing/front-ring.ts';
import { maxFrameLength, type Frame } from '../link.ts';
import { pattern, tcpFrame, udpFrame } from '../testing/frames.ts';
import { encode } from '../testing/net-frontend.ts';
import { NetHost } from '../testing/net-host.ts';

/** Mostly what a frontend could write, so that it goes further than the first check. */
const request = fc.record({
  gref: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 8, max: 16 }) }, fc.nat(0xffffffff)),
  offset: fc.oneof({ weight: 9, arbitrary: fc.nat(100) }, fc.nat(0xffff)),
  flags: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(0, 0, 1, 4, 8, 5, 9, 12) }, fc.nat(0xffff)),
  id: fc.nat(0xffff),
  size: fc.oneof({ weight: 9, arbitrary: fc.nat(3000) }, fc.nat(0xffff)),
});
const extra = fc.record({
  gref: fc.constantFrom(0x05b40001, 0x05b40101, 1, 2, 3, 4, 5, 6, 0x101, 0xff),
  offset: fc.nat(3),
  flags: fc.nat(0xffff),
  id: fc.nat(0xffff),
  size: fc.nat(0xffff),
});
const step = fc.oneof(
  fc.record({
    put: fc.array(fc.oneof({ weight: 3, arbitrary: request }, { weight: 1, arbitrary: extra }), {
      minLength: 1,
      maxLength: 25,
    }),
  }),
  fc.record({ post: fc.nat(20) }),
  fc.record({ send: fc.constantFrom('small', 'large', 'segment') }),
  fc.record({
    word: fc.constantFrom('req_prod', 'req_event', 'rsp_prod', 'rsp_event'),
    value: fc.nat(0xffffffff),
    rx: fc.boolean(),
  }),
  fc.record({ wait: fc.nat(12_000) }),
  fc.record({ open: fc.boolean() }),
);
const forTheGuest: Readonly<Record<string, Frame>> = {
  small: udpFrame({ payload: 100 }),
  large: { head: pattern(20_000), fragments: [], length: 20_000 },
  segment: { ...tcpFrame({ payload: 30_000 }), segmentation: { type: 'tcpv4', size: 1400 } },
};

it('survives anything that a frontend writes', async () => {
  const front = fc.record({
    'feature-sg': fc.constantFrom(0, 1),
    'feature-gso-tcpv4': fc.constantFrom(0, 1),
    'feature-no-csum-offload': fc.constantFrom(0, 1),
    'xdp-headroom': fc.constantFrom(0, 256),
  });
  await fc.assert(
    fc.asyncProperty(front, fc.array(step, { maxLength: 12 }), async (keys, steps) => {
      const host = new NetHost();
      const { frontend, tester, device } = await host.connect({ front: keys, frames: 400 });
      const { domain } = frontend;
      // Random bytes, beginning as frames do.
      for (let i = 0; i < 8; i++) {
        const mfn = frontend.frame();
        domain.grant(mfn, i % 2 === 0);
        domain.frames.view(mfn).set((i % 3 === 0 ? tcpFrame : udpFrame)({ v6: i > 4, payload: 900 }).head);
      }
      const seen = new Set<number>();
      const rings = { tx: frontend.tx, rx: frontend.rx };
      for (const one of steps) {
        if ('put' in one) {
          one.put.forEach((slot) => frontend.putRequest(slot));
          rings.tx.push();
          domain.send(frontend.txPort);
        } else if ('post' in one) {
          frontend.post(one.post);
        } else if ('send' in one) {
          tester.end.send(forTheGuest[one.send] ?? assert.fail());
        } else if ('word' in one) {
          rings[one.rx ? 'rx' : 'tx'].setWord(one.word, one.value);
          domain.send(one.rx ? frontend.rxPort : frontend.txPort);
        } else if ('wait' in one) {
          host.advance(one.wait);
        } else {
          tester.open = one.open;
          if (one.open) tester.end.ready();
        }
        host.scheduler.run();
        for (const frame of tester.frames.splice(0)) {
          seen.add(frame.length);
          assert.ok(frame.length >= 14 && frame.length <= maxFrameLength && frame.head.length === frame.length);
          const { checksum, segmentation } = frame;
          if (checksum) assert.ok(checksum.start + checksum.offset + 2 <= frame.length);
          if (segmentation) assert.ok(checksum && segmentation.size > 0);
        }
      }
      assert.deepEqual(host.errors, []);
      assert.equal(device.backState, 'Connected');
      device.takeOffline();
      device.setState('Closed');
      await host.settle();
      assert.deepEqual([device.backState, domain.mappings], ['Closed', 0]);
    }),
    fuzz(150),
  );
});

it('survives any request on the control ring', async () => {
  const word = fc.oneof({ weight: 5, arbitrary: fc.nat(140) }, fc.nat(0xffffffff));
  const asked = fc.record({ id: fc.nat(0xffff), type: fc.nat(9), data0: word, data1: word, data2: word });
  const frames = fc.constantFrom(...Object.values(forTheGuest));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(asked, frames), { maxLength: 60 }), async (steps) => {
      const host = new NetHost();
      const domain = host.addDomain(1, 400);
      const ring = new FrontRing(domain, [350], NETIF_CTRL_SLOT_SIZE);
      const port = domain.allocUnbound();
      for (let mfn = 351; mfn < 360; mfn++) domain.frames.view(mfn).fill(mfn, 0, domain.grant(mfn, mfn % 2 === 0) * 20);
      const { frontend, tester } = await host.connect({
        front: { 'ctrl-ring-ref': ring.refs[0] ?? 0, 'event-channel-ctrl': port },
      });
      frontend.post(100);
      for (const one of steps) {
        if ('head' in one) {
          tester.end.send(one);
          frontend.received();
          continue;
        }
        ring.put(encode(NetifCtrlRequest, one));
        if (ring.push()) domain.send(port);
        const answer = ring.take(NetifCtrlResponse.size) ?? assert.fail('no answer');
        const { id, type, status } = NetifCtrlResponse.read(new DataView(answer.buffer), 0);
        assert.deepEqual([id, type], [one.id, one.type]);
        assert.ok(Object.values<number>(XEN_NETIF_CTRL_STATUS).includes(status));
      }
      assert.deepEqual(host.errors, []);
      assert.equal(domain.mappings, 3);
    }),
    fuzz(100),
  );
});
