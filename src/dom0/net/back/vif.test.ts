import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  NETIF_RSP,
  NETRXF_csum_blank,
  NETRXF_data_validated,
  NETTXF_csum_blank,
  NetifExtraInfo,
  XEN_NETIF_EXTRA_TYPE,
} from '../../../abi/io/netif.ts';
import { finishChecksum, segments } from '../offload.ts';
import { macBytes, macOne, pattern, tcpFrame, udpFrame } from '../testing/frames.ts';
import { encode } from '../testing/net-frontend.ts';
import { NetHost } from '../testing/net-host.ts';

const okay = (id: number): { id: number; status: number } => ({ id, status: NETIF_RSP.OKAY });

describe('a vif on its way to Connected', () => {
  it('offers what it can and joins the bridge before a frontend may connect', async () => {
    const host = new NetHost();
    host.addDomain(1, 64);
    const device = host.addDevice(1, 0, { mac: macOne, bridge: 'xenbr0' });
    await host.settle();
    assert.equal(device.backState, 'InitWait');
    for (const key of ['sg', 'gso-tcpv4', 'gso-tcpv6', 'ipv6-csum-offload', 'rx-copy', 'split-event-channels'])
      assert.equal(device.read(`feature-${key}`), '1', key);
    assert.deepEqual(
      [device.read('feature-rx-flip'), device.read('multi-queue-max-queues'), device.read('hotplug-status')],
      ['0', '4', 'connected'],
    );
    assert.deepEqual(
      host.testers.map(({ name }) => name),
      ['vif1.0'],
    );
  });

  it('says what is wrong with its bridge, and waits to be removed', async () => {
    const host = new NetHost({ findBridge: () => Promise.reject(new Error('no bridge xenbr7')) });
    host.addDomain(1, 64);
    const device = host.addDevice(1, 0, { mac: macOne, bridge: 'xenbr7', vifname: 'web0' });
    await host.settle();
    assert.deepEqual([device.read('hotplug-status'), device.read('hotplug-error')], ['error', 'no bridge xenbr7']);
  });

  it('refuses a frontend that does not want copies, or more queues than there are', async () => {
    for (const front of [
      { 'request-rx-copy': 0 },
      { 'multi-queue-num-queues': 5 },
      { 'tx-ring-ref': 7777 },
      { 'event-channel-rx': '' },
    ]) {
      const { device } = await new NetHost().connect({ front });
      assert.equal(device.backState, 'Closing', JSON.stringify(front));
      assert.ok(device.error);
    }
  });

  it('serves one event channel for both rings, as old frontends have it', async () => {
    const host = new NetHost();
    host.addDomain(1, 64);
    const { device, frontend, tester } = await host.connect({
      front: { 'event-channel-tx': '', 'event-channel-rx': '', 'event-channel': 1 },
    });
    assert.equal(device.backState, 'Connected');
    const id = frontend.send(udpFrame({ payload: 100 }));
    frontend.post(1);
    tester.end.send(udpFrame({ payload: 50 }));
    assert.deepEqual(frontend.txAnswers(), [okay(id)]);
    assert.equal(frontend.received().length, 1);
  });

  it('unplugs itself when the device goes, and leaves nothing mapped', async () => {
    const host = new NetHost();
    const { device, frontend, tester } = await host.connect();
    tester.open = false;
    frontend.send(udpFrame({ payload: 3000 }));
    tester.end.send(udpFrame({ payload: 3000 }));
    device.takeOffline();
    device.setState('Closed');
    await host.settle();
    assert.deepEqual([device.backState, tester.closed, frontend.domain.mappings], ['Closed', true, 0]);
    assert.deepEqual(host.errors, []);
  });
});

describe('the counters of a vif', () => {
  it('have what the guest sends without the Ethernet header, what it gets with it, and what it could not be given', async () => {
    const host = new NetHost();
    const { frontend, tester } = await host.connect();
    frontend.send(udpFrame({ payload: 100 }));
    frontend.post(1);
    for (const payload of [50, 60]) tester.end.send(udpFrame({ payload }));
    const length = (payload: number): number => udpFrame({ payload }).length;
    const { net } = host.devices.get(1, 0)?.statistics ?? assert.fail();
    assert.deepEqual(net.fromGuest, { bytes: length(100) - 14, packets: 1, dropped: 0 });
    assert.deepEqual(net.toGuest, { bytes: length(50), packets: 1, dropped: 0 }, 'the second waits for a page');
    host.advance(11_000);
    assert.deepEqual(net.toGuest, { bytes: length(50), packets: 1, dropped: 1 });
  });
});

describe('what a guest sends', () => {
  it('comes out as it went in, from one slot or many', async () => {
    const { frontend, tester } = await new NetHost().connect();
    const sent = [14, 60, 1514, 2048, 2049, 4096, 4097, 9000, 65535].map((length) => pattern(length, length));
    for (const bytes of sent) {
      const id = frontend.put(bytes, { cuts: bytes.length > 200 ? [66, 100] : [] });
      frontend.kickTx();
      assert.deepEqual(frontend.txAnswers().at(0), okay(id));
    }
    assert.deepEqual(
      tester.frames.map(({ head }) => head),
      sent,
    );
    assert.ok(tester.frames.every(({ checksum, verified }) => checksum === undefined && verified === false));
    assert.equal(frontend.domain.mappings, 2);
  });

  it('tells of checksums and large segments that are still to be finished', async () => {
    const { frontend, tester } = await new NetHost().connect();
    for (const v6 of [false, true]) {
      for (const frame of [
        udpFrame({ v6, payload: 1000 }),
        tcpFrame({ v6, payload: 1000 }),
        tcpFrame({ v6, vlan: true, options: 3, payload: 1000 }),
        { ...tcpFrame({ v6, payload: 30_000 }), segmentation: { type: v6 ? 'tcpv6' : 'tcpv4', size: 1448 } } as const,
      ]) {
        frontend.send(frame, { cuts: [60] });
        const got = tester.frames.pop();
        assert.deepEqual(
          [got?.head, got?.checksum, got?.segmentation],
          [frame.head, frame.checksum, frame.segmentation],
        );
      }
    }
  });

  it('is not interrupted at once for the answer to a single packet, which it finds when it sends the next', async () => {
    const host = new NetHost();
    const { frontend } = await host.connect();
    const { domain, txPort } = frontend;
    domain.raised(txPort);
    const first = frontend.send(udpFrame({ payload: 10 }));
    assert.deepEqual([frontend.txAnswers(), domain.raised(txPort)], [[okay(first)], 0]);
    host.advance(20);
    assert.equal(domain.raised(txPort), 0, 'it has looked');
    frontend.send(udpFrame({ payload: 10 }));
    host.advance(4);
    assert.equal(domain.raised(txPort), 0);
    host.advance(2);
    assert.equal(domain.raised(txPort), 1, 'it has not looked for long');
    frontend.send(udpFrame({ payload: 10 }));
    assert.equal(domain.raised(txPort), 0, 'it was told of an earlier one');
    frontend.txAnswers();
    frontend.put(pattern(100));
    frontend.put(pattern(100));
    frontend.kickTx();
    assert.equal(domain.raised(txPort), 1, 'of two it hears at once');
  });

  it('answers extra infos with a null, in their place', async () => {
    const { frontend } = await new NetHost().connect();
    const frame = { ...tcpFrame({ payload: 5000 }), segmentation: { type: 'tcpv4', size: 1000 } } as const;
    const id = frontend.send(frame, { cuts: [66] });
    const [first, extra, ...others] = frontend.txAnswers();
    assert.deepEqual([first, extra?.status], [okay(id), NETIF_RSP.NULL]);
    assert.deepEqual(others, [okay(id), okay(id)]);
  });

  it('gets the sum of the pseudo header for a large segment that lacks the flag', async () => {
    const { frontend, tester } = await new NetHost().connect();
    const frame = tcpFrame({ payload: 3000 });
    const finished = finishChecksum(frame);
    frontend.put(finished.head, { gso: { size: 1000, type: 1 } });
    frontend.kickTx();
    assert.deepEqual(tester.frames[0]?.head, frame.head);
    assert.deepEqual(tester.frames[0]?.checksum, frame.checksum);
  });

  it('is lost when its headers do not allow what it asks for', async () => {
    const { frontend, tester, device } = await new NetHost().connect();
    const gso = { size: 1000, type: 1 };
    for (const [bytes, options] of [
      [pattern(100), { flags: NETTXF_csum_blank }],
      [pattern(14), { flags: NETTXF_csum_blank }],
      [udpFrame({ payload: 3000 }).head, { gso }],
      [tcpFrame({ v6: true, payload: 3000 }).head, { gso }],
    ] as const) {
      const id = frontend.put(bytes, options);
      frontend.kickTx();
      assert.deepEqual(frontend.txAnswers()[0], okay(id));
    }
    assert.deepEqual([tester.frames.length, device.backState], [0, 'Connected']);
  });

  it('waits a moment for room, then is lost; what comes after is not', async () => {
    const host = new NetHost();
    const { frontend, tester } = await host.connect();
    tester.open = false;
    const first = frontend.send(udpFrame({ payload: 3000 }));
    assert.deepEqual(frontend.txAnswers(), []);
    assert.equal(frontend.domain.mappings, 3);
    tester.open = true;
    tester.end.ready();
    assert.deepEqual(frontend.txAnswers(), [okay(first)]);
    assert.equal(tester.frames.length, 1);

    tester.open = false;
    const [second, third] = [frontend.send(udpFrame({ payload: 100 })), frontend.send(udpFrame({ payload: 101 }))];
    host.advance(500);
    assert.deepEqual(frontend.txAnswers(), [okay(second), okay(third)]);
    assert.equal(tester.frames.length, 1);
    tester.open = true;
    tester.end.ready();
    const fourth = frontend.send(udpFrame({ payload: 102 }));
    assert.deepEqual(frontend.txAnswers(), [okay(fourth)]);
    assert.equal(tester.frames[1]?.length, udpFrame({ payload: 102 }).length);
    assert.equal(frontend.domain.mappings, 2);
  });

  it('keeps to its rate', async () => {
    const host = new NetHost();
    // 2000 bytes every 10 ms: what may be saved up is 128 KiB.
    const { frontend, tester } = await host.connect({ back: { rate: '2000,10000' } });
    for (let i = 0; i < 5; i++) frontend.send(udpFrame({ payload: 958 })); // 1000 bytes each
    assert.equal(tester.frames.length, 2);
    host.advance(5);
    assert.equal(tester.frames.length, 2);
    host.advance(5);
    assert.equal(tester.frames.length, 4);
    host.advance(10);
    assert.equal(tester.frames.length, 5);
    assert.equal(frontend.txAnswers().length, 5);
  });

  it('comes from its own addresses only, where they are given', async () => {
    const host = new NetHost();
    const { frontend, tester } = await host.connect({ back: { ip: '10.0.0.1 fe80:1::/32' } });
    frontend.send(udpFrame({ payload: 1 })); // from 10.0.0.1
    assert.equal(tester.frames.length, 1);
    frontend.send(udpFrame({ payload: 1, source: '00:16:3e:00:00:02' }));
    const other = udpFrame({ payload: 1 });
    other.head[29] = 3; // 10.0.0.3
    frontend.send(other);
    assert.equal(tester.frames.length, 1);
    assert.equal(frontend.txAnswers().length, 3);
  });

  it('is never let out when the addresses are not understood', async () => {
    const host = new NetHost();
    host.addDomain(1, 64);
    const device = host.addDevice(1, 0, { mac: macOne, bridge: 'xenbr0', ip: '10.0.0.256' });
    await host.settle();
    assert.equal(device.read('hotplug-error'), 'ip=10.0.0.256 is neither an address nor a network');
    assert.equal(host.testers.length, 0);
  });
});

describe('what a guest receives', () => {
  it('fills as many pages as it needs', async () => {
    const { frontend, tester } = await new NetHost().connect();
    frontend.post(60);
    const frames = [60, 4096, 4097, 65535].map((length) => ({ head: pattern(length, length), fragments: [], length }));
    for (const frame of frames) assert.equal(tester.end.send(frame), true);
    const received = frontend.received();
    assert.deepEqual(
      received.map(({ bytes }) => bytes),
      frames.map(({ head }) => head),
    );
    assert.deepEqual(
      received.map(({ slots }) => slots),
      [1, 1, 2, 16],
    );
    assert.deepEqual(
      received.map(({ flags }) => flags & NETRXF_data_validated),
      [0, 0, 0, 0],
    );
  });

  it('has its pages announced, since they may have held code', async () => {
    const { frontend, tester } = await new NetHost().connect();
    const wrote: number[] = [];
    Object.assign(frontend.domain.frames, { wrote: (mfn: number) => wrote.push(mfn) });
    frontend.post(3);
    frontend.send(udpFrame({ payload: 3000 }));
    assert.deepEqual(wrote, []);
    tester.end.send({ head: pattern(9000), fragments: [], length: 9000 });
    assert.deepEqual([wrote.length, new Set(wrote).size], [3, 3]);
  });

  it('is told what is left to be done', async () => {
    const { frontend, tester } = await new NetHost().connect();
    frontend.post(30);
    tester.end.send(udpFrame({ payload: 100 }));
    tester.end.send({ ...udpFrame({ payload: 100 }), checksum: undefined, verified: true });
    tester.end.send({ ...tcpFrame({ v6: true, payload: 9000 }), segmentation: { type: 'tcpv6', size: 1400 } });
    const [blank, verified, large] = frontend.received();
    assert.equal((blank?.flags ?? 0) & 3, NETRXF_csum_blank | NETRXF_data_validated);
    assert.equal((verified?.flags ?? 0) & 3, NETRXF_data_validated);
    assert.deepEqual([large?.gso?.size, large?.gso?.type, large?.bytes.length], [1400, 2, 9074]);
  });

  it('needs no features: checksums are finished and large segments cut', async () => {
    const host = new NetHost();
    const { frontend, tester } = await host.connect({
      front: { 'feature-sg': '', 'feature-gso-tcpv4': 0, 'feature-no-csum-offload': 1 },
    });
    frontend.post(20);
    const large = { ...tcpFrame({ payload: 9000 }), segmentation: { type: 'tcpv4', size: 1460 } } as const;
    tester.end.send(large);
    tester.end.send(udpFrame({ payload: 300 }));
    tester.end.send({ head: pattern(5000), fragments: [], length: 5000 }); // cannot be: more than a slot
    const expected = [...segments(large), udpFrame({ payload: 300 })].map((frame) => finishChecksum(frame).head);
    assert.deepEqual(
      frontend.received().map(({ bytes }) => bytes),
      expected,
    );
  });

  it('leaves room before the data for a frontend that asks for it, at any time', async () => {
    const host = new NetHost();
    const { frontend, tester, device } = await host.connect();
    device.write({ 'xdp-headroom': 256 });
    device.setState('Reconfiguring');
    await host.settle();
    assert.equal(device.read('state'), '8');
    frontend.post(20);
    tester.end.send({ ...tcpFrame({ payload: 8000 }), segmentation: { type: 'tcpv4', size: 1400 } });
    const [packet] = frontend.received();
    assert.deepEqual([packet?.headroom, packet?.gso?.size, packet?.slots], [256, 1400, 5]);
    assert.deepEqual(packet?.bytes, tcpFrame({ payload: 8000 }).head);
  });

  it('waits for pages, then says that there is no room, then goes on in order', async () => {
    const host = new NetHost();
    const { frontend, tester } = await host.connect();
    const frame = (seed: number) => ({ head: pattern(60_000, seed), fragments: [], length: 60_000 });
    let sent = 0;
    while (tester.end.send(frame(sent))) sent++;
    assert.equal(sent, 9); // 512 KiB and what the last one is more
    assert.deepEqual(frontend.received(), []);
    frontend.post(14);
    assert.deepEqual(frontend.received(), []); // 15 are needed
    frontend.post(18);
    assert.equal(tester.rooms, 1);
    frontend.post(15 * 7);
    const received = frontend.received();
    assert.equal(received.length, sent);
    received.forEach(({ bytes }, i) => assert.deepEqual(bytes, pattern(60_000, i)));
    assert.equal(tester.end.send(frame(77)), true);
  });

  it('holds up nobody for long when it gives no pages', async () => {
    const host = new NetHost();
    const { frontend, tester } = await host.connect();
    const frame = { head: pattern(60_000), fragments: [], length: 60_000 };
    while (tester.end.send(frame));
    host.advance(10_000);
    assert.equal(tester.rooms, 1);
    for (let i = 0; i < 100; i++) assert.equal(tester.end.send(frame), true);
    frontend.post(20);
    assert.deepEqual(frontend.received(), []);
    tester.end.send(frame);
    assert.equal(frontend.received().length, 1);
  });

  it('is looked after when it tells of no pages', async () => {
    const host = new NetHost();
    const { frontend, tester } = await host.connect({ front: { 'feature-rx-notify': '' } });
    tester.end.send(udpFrame({ payload: 100 }));
    frontend.rx.setWord('req_event', 1000);
    frontend.post(3);
    assert.deepEqual(frontend.received(), []);
    host.advance(30);
    assert.equal(frontend.received().length, 1);
  });

  it('gets an error for a page that it has not granted', async () => {
    const { frontend, tester } = await new NetHost().connect();
    frontend.post(3);
    const first = frontend.rx.pages[0] ?? assert.fail();
    new DataView(first.buffer, first.byteOffset).setUint32(64 + 8 + 4, 4711, true);
    tester.end.send({ head: pattern(9000), fragments: [], length: 9000 });
    assert.deepEqual(frontend.received()[0]?.status, [4096, NETIF_RSP.ERROR, 808]);
  });

  it('gets the groups that it has joined, and all of them unless it wants to choose', async () => {
    const host = new NetHost();
    const { frontend, tester, device } = await host.connect();
    const [one, two, all] = ['33:33:00:00:00:01', '33:33:00:00:00:02', 'ff:ff:ff:ff:ff:ff'];
    const sends = (): string[] => {
      frontend.post(4);
      for (const destination of [one, two, all, macOne]) tester.end.send(udpFrame({ destination, payload: 10 }));
      return frontend.received().map(({ bytes }) => Buffer.from(bytes.subarray(0, 6)).toString('hex'));
    };
    const named = (...macs: string[]): string[] => macs.map((mac) => Buffer.from(macBytes(mac)).toString('hex'));
    const tell = (type: number, mac: string): number => {
      frontend.putRequest({ id: 9, flags: 8, size: 0, offset: 0, gref: 0 });
      frontend.tx.put(encode(NetifExtraInfo, { type, data: Uint8Array.from(macBytes(mac)) }));
      frontend.kickTx();
      return frontend.txAnswers()[0]?.status ?? NaN;
    };
    assert.deepEqual(sends(), named(one, two, all, macOne));
    device.write({ 'request-multicast-control': 1 });
    await host.settle();
    assert.deepEqual(sends(), named(all, macOne));
    assert.equal(tell(XEN_NETIF_EXTRA_TYPE.MCAST_ADD, two), NETIF_RSP.OKAY);
    assert.deepEqual(sends(), named(two, all, macOne));
    assert.equal(tell(XEN_NETIF_EXTRA_TYPE.MCAST_DEL, two), NETIF_RSP.OKAY);
    assert.deepEqual(sends(), named(all, macOne));
    for (let i = 0; i < 64; i++) assert.equal(tell(XEN_NETIF_EXTRA_TYPE.MCAST_ADD, one), NETIF_RSP.OKAY);
    assert.equal(tell(XEN_NETIF_EXTRA_TYPE.MCAST_ADD, one), NETIF_RSP.ERROR);
    device.write({ 'request-multicast-control': 0 });
    await host.settle();
    assert.deepEqual(sends(), named(one, two, all, macOne));
  });
});
