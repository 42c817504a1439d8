/** Network backends that fail, and frontends that are hostile. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NETIF_RSP, type NetifTxRequest } from '../../../abi/io/netif.ts';
import { macOne, udpFrame } from '../testing/frames.ts';
import { NetHost } from '../testing/net-host.ts';

const okay = (id: number): { id: number; status: number } => ({ id, status: NETIF_RSP.OKAY });

describe('a vif whose backend fails', () => {
  it('is served by another one, which answers what was open, and the frontend sees nothing of it', async () => {
    const host = new NetHost();
    const { frontend, device, tester } = await host.connect();
    tester.end.attach({
      receive: () => {
        throw new Error('a bug');
      },
    });
    const id = frontend.send(udpFrame({ payload: 100 }));
    assert.deepEqual(frontend.txAnswers(), []);
    await host.settle();
    assert.deepEqual(frontend.txAnswers(), [{ id, status: NETIF_RSP.ERROR }]);
    assert.equal(device.backState, 'Connected');
    assert.equal(host.errors.length, 1);
    const successor = host.testers.at(-1) ?? assert.fail();
    assert.notEqual(successor, tester);
    assert.equal(tester.end.open, false);
    const next = frontend.send(udpFrame({ payload: 101 }));
    frontend.post(1);
    successor.end.send(udpFrame({ payload: 102 }));
    assert.deepEqual([frontend.txAnswers(), frontend.received().length], [[okay(next)], 1]);
  });
});

it('spreads connections over several queues, each in order', async () => {
  const host = new NetHost();
  const domain = host.addDomain(1, 600);
  const { NetFrontend } = await import('../testing/net-frontend.ts');
  const device = host.addDevice(1, 0, { mac: macOne, bridge: 'xenbr0' });
  await host.settle();
  const queues = [new NetFrontend(domain), new NetFrontend(domain, 200), new NetFrontend(domain, 400)];
  const rings = queues.map((queue, i) => queue.keys(`queue-${i}/`));
  device.write(
    Object.assign({ ...NetFrontend.features, 'multi-queue-num-queues': 3 }, ...rings) as Record<string, number>,
  );
  device.setState('Connected');
  await host.settle();
  assert.equal(device.backState, 'Connected');
  queues.forEach((queue) => queue.post(100));
  const [tester] = host.testers;
  for (let i = 0; i < 60; i++) {
    const frame = udpFrame({ payload: i });
    frame.head[35] = i % 20; // the source port
    tester?.end.send(frame);
  }
  const counts = queues.map((queue) => {
    const lastOf = new Map<number, number>();
    const packets = queue.received();
    for (const { bytes } of packets) {
      assert.ok((lastOf.get(bytes[35] ?? 0) ?? 0) <= bytes.length);
      lastOf.set(bytes[35] ?? 0, bytes.length);
    }
    return packets.length;
  });
  assert.equal(
    counts.reduce((sum, count) => sum + count),
    60,
  );
  assert.ok(
    counts.every((count) => count > 0),
    `${counts}`,
  );
  queues.forEach((queue) => queue.send(udpFrame({ payload: 10 })));
  assert.equal(tester?.frames.length, 3);
});

describe('a hostile frontend', () => {
  const request = { gref: 8, offset: 0, flags: 0, id: 1, size: 60 };
  const cases: Record<string, { requests: readonly Parameters<typeof NetifTxRequest.write>[2][]; reason: RegExp }> = {
    'a chain without end': { requests: [{ ...request, flags: 4 }], reason: /Asked for 0 slots/ },
    'extra infos that are missing': { requests: [{ ...request, flags: 8 }], reason: /Missing extra info/ },
    'a type of extra info that is none': {
      requests: [{ ...request, flags: 8 }, { gref: 6 }],
      reason: /Invalid extra type: 6/,
    },
    'data beyond the page': { requests: [{ ...request, offset: 4090 }], reason: /crosses a page/ },
    'data beyond a page in a later slot': {
      requests: [
        { ...request, flags: 4 },
        { ...request, offset: 4096, size: 1 },
      ],
      reason: /Cross page boundary/,
    },
    'far too many slots': {
      requests: Array.from({ length: 30 }, () => ({ ...request, flags: 4, size: 1 })),
      reason: /Malicious frontend using 20 slots/,
    },
    'segments of no size': {
      requests: [
        { ...request, flags: 8 },
        { gref: 1, offset: 1 },
      ],
      reason: /GSO size must not be zero/,
    },
    'segments of no known kind': {
      requests: [
        { ...request, flags: 8 },
        { gref: 0x5dc0001, offset: 3 },
      ],
      reason: /Bad GSO type 3/,
    },
  };
  for (const [what, { requests, reason }] of Object.entries(cases)) {
    it(`is cut off for ${what}`, async () => {
      const host = new NetHost();
      const { frontend, device, tester } = await host.connect();
      frontend.domain.grant(100, true);
      for (const one of requests)
        frontend.putRequest(one.gref === 8 ? { ...one, gref: frontend.domain.grant(100, true) } : one);
      frontend.kickTx();
      assert.match(host.lines.join('\n'), reason);
      assert.match(host.lines.join('\n'), /fatal error; disabling device/);
      frontend.send(udpFrame({ payload: 100 }));
      frontend.post(3);
      assert.equal(tester.end.send(udpFrame({ payload: 100 })), true);
      await host.settle();
      assert.deepEqual([tester.frames.length, frontend.received().length, device.backState], [0, 0, 'Connected']);
      assert.equal(frontend.domain.mappings, 2);
      assert.deepEqual(host.errors, []);
    });
  }

  it('has its packet refused for a few slots too many, or sizes that do not add up', async () => {
    const { frontend, tester } = await new NetHost().connect();
    const gref = frontend.domain.grant(100, true);
    const chain = (count: number, size: number, first: number): void => {
      for (let i = 0; i < count; i++)
        frontend.putRequest({ gref, offset: 0, flags: i < count - 1 ? 4 : 0, id: i, size: i === 0 ? first : size });
    };
    chain(20, 10, 500);
    chain(3, 400, 500);
    frontend.putRequest({ gref, offset: 0, flags: 0, id: 0, size: 13 });
    frontend.putRequest({ gref: 9999, offset: 0, flags: 0, id: 0, size: 60 });
    frontend.kickTx();
    const answers = frontend.txAnswers();
    assert.equal(answers.length, 25);
    assert.ok(answers.every(({ status }) => status === NETIF_RSP.ERROR));
    chain(19, 10, 500);
    frontend.kickTx();
    assert.ok(frontend.txAnswers().every(({ status }) => status === NETIF_RSP.OKAY));
    assert.equal(tester.frames.length, 1);
  });

  it('is cut off for an impossible index, on either ring', async () => {
    for (const ring of ['tx', 'rx'] as const) {
      const host = new NetHost();
      const { frontend, tester, device } = await host.connect();
      frontend[ring].setWord('req_prod', 5000);
      frontend.domain.send(ring === 'tx' ? frontend.txPort : frontend.rxPort);
      tester.end.send(udpFrame({ payload: 100 }));
      assert.match(host.lines.join('\n'), /bogus ring requests[^]*disabling device/);
      await host.settle();
      assert.deepEqual([device.backState, host.errors], ['Connected', []]);
    }
  });
});
