import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  NETIF_CTRL_SLOT_SIZE,
  NetifCtrlRequest,
  NetifCtrlResponse,
  NetifExtraHash,
  NetifExtraInfo,
  NETRXF_extra_info,
  NetifRxResponse,
  XEN_NETIF_CTRL_HASH_ALGORITHM,
  XEN_NETIF_CTRL_HASH_TYPE,
  XEN_NETIF_CTRL_STATUS,
  XEN_NETIF_CTRL_TYPE,
  XEN_NETIF_EXTRA_TYPE,
} from '../../../abi/io/netif.ts';
import { FrontRing } from '../../testing/front-ring.ts';
import { macOne, tcpFrame, udpFrame } from '../testing/frames.ts';
import { encode, NetFrontend } from '../testing/net-frontend.ts';
import { NetHost, type Tester } from '../testing/net-host.ts';
import { toeplitz } from './hash.ts';

const { SUCCESS, NOT_SUPPORTED, INVALID_PARAMETER } = XEN_NETIF_CTRL_STATUS;
const { TOEPLITZ, NONE } = XEN_NETIF_CTRL_HASH_ALGORITHM;
const Type = XEN_NETIF_CTRL_TYPE;
const { IPV4, IPV4_TCP, IPV6_TCP } = XEN_NETIF_CTRL_HASH_TYPE;

/** The key and the sums of Microsoft's "Verifying the RSS Hash Calculation". */
const key = Uint8Array.from(
  ('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b4' + '77cb2da38030f20c6a42b73bbeac01fa').match(/../g) ?? [],
  (byte) => parseInt(byte, 16),
);
const bytesOf = (address: string, ...ports: readonly number[]): number[] => [
  ...address.split('.').map(Number),
  ...ports.flatMap((port) => [port >> 8, port & 0xff]),
];

class Fixture {
  readonly host = new NetHost();
  readonly domain = this.host.addDomain(1, 1500);
  readonly queues = [
    new NetFrontend(this.domain),
    new NetFrontend(this.domain, 400),
    new NetFrontend(this.domain, 800),
  ];
  readonly ring = new FrontRing(this.domain, [1200], NETIF_CTRL_SLOT_SIZE);
  readonly port = this.domain.allocUnbound();
  readonly device = this.host.addDevice(1, 0, { mac: macOne, bridge: 'xenbr0' });
  #id = 7;

  async connect(): Promise<this> {
    await this.host.settle();
    const rings = this.queues.map((queue, i) => queue.keys(`queue-${i}/`));
    const control = { 'ctrl-ring-ref': this.ring.refs[0] ?? 0, 'event-channel-ctrl': this.port };
    this.device.write(Object.assign({ ...NetFrontend.features, 'multi-queue-num-queues': 3, ...control }, ...rings));
    this.device.setState('Connected');
    await this.host.settle();
    assert.equal(this.device.backState, 'Connected');
    return this;
  }

  get tester(): Tester {
    return this.host.testers.at(-1) ?? assert.fail();
  }

  put(type: number, ...data: readonly number[]): number {
    const [data0 = 0, data1 = 0, data2 = 0] = data;
    this.ring.put(encode(NetifCtrlRequest, { id: ++this.#id, type, data0, data1, data2 }));
    return this.#id;
  }

  push(): void {
    if (this.ring.push()) this.domain.send(this.port);
  }

  /** Status and data. */
  ask(type: number, ...data: readonly number[]): [number, number] {
    const id = this.put(type, ...data);
    this.push();
    const bytes = this.ring.take(NetifCtrlResponse.size) ?? assert.fail('no answer');
    const response = NetifCtrlResponse.read(new DataView(bytes.buffer), 0);
    assert.deepEqual([response.id, response.type], [id, type]);
    return [response.status, response.data];
  }

  granted(bytes: Uint8Array): number {
    this.domain.frames.view(1201).set(bytes);
    return this.domain.grant(1201, true);
  }

  mapping(...queues: readonly number[]): number {
    return this.granted(new Uint8Array(Uint32Array.from(queues).buffer));
  }

  /** A hash as the specification has it, with this table. */
  hashing(...queues: readonly number[]): void {
    const asked = [
      this.ask(Type.SET_HASH_ALGORITHM, TOEPLITZ),
      this.ask(Type.SET_HASH_FLAGS, (1 << IPV4) | (1 << IPV4_TCP)),
      this.ask(Type.SET_HASH_KEY, this.granted(key), key.length),
      this.ask(Type.SET_HASH_MAPPING_SIZE, queues.length),
      this.ask(Type.SET_HASH_MAPPING, this.mapping(...queues), queues.length, 0),
    ];
    assert.ok(asked.every(([status]) => status === SUCCESS));
  }
}

it('sums up as the specification of the hash does', () => {
  const source = bytesOf('66.9.149.187');
  const destination = bytesOf('161.142.100.80');
  const ports = bytesOf('66', 2794, 1766).slice(1);
  assert.equal(toeplitz(key, Uint8Array.from([...source, ...destination]), 8), 0x323e8fc2);
  assert.equal(toeplitz(key, Uint8Array.from([...source, ...destination, ...ports]), 12), 0x51ccc178);
});

describe('a control ring', () => {
  it('answers what Linux netback answers', async () => {
    const f = await new Fixture().connect();
    assert.equal(f.device.read('feature-ctrl-ring'), '1');
    assert.deepEqual(f.ask(Type.GET_HASH_FLAGS), [NOT_SUPPORTED, 0], 'before there is an algorithm');
    assert.deepEqual(f.ask(Type.SET_HASH_FLAGS, 1), [INVALID_PARAMETER, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_ALGORITHM, 2), [INVALID_PARAMETER, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_ALGORITHM, TOEPLITZ), [SUCCESS, 0]);
    assert.deepEqual(f.ask(Type.GET_HASH_FLAGS), [SUCCESS, 15]);
    assert.deepEqual(f.ask(Type.SET_HASH_FLAGS, 16), [INVALID_PARAMETER, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_FLAGS, 1 << IPV6_TCP), [SUCCESS, 0]);
    assert.deepEqual(f.ask(Type.GET_HASH_MAPPING_SIZE), [SUCCESS, 128]);
    assert.deepEqual(f.ask(Type.SET_HASH_MAPPING_SIZE, 129), [INVALID_PARAMETER, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_MAPPING_SIZE, 4), [SUCCESS, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_MAPPING, f.mapping(0, 1), 2, 2), [SUCCESS, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_MAPPING, f.mapping(0, 1), 2, 3), [INVALID_PARAMETER, 0], 'beyond its end');
    assert.deepEqual(f.ask(Type.SET_HASH_MAPPING, f.mapping(3), 1, 0), [INVALID_PARAMETER, 0], 'no such queue');
    assert.deepEqual(f.ask(Type.SET_HASH_MAPPING, 7777, 1, 0), [INVALID_PARAMETER, 0], 'not granted');
    assert.deepEqual(f.ask(Type.SET_HASH_MAPPING, 7777, 0xffffffff, 2), [INVALID_PARAMETER, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_KEY, f.granted(key), 41), [INVALID_PARAMETER, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_KEY, 7777, 40), [INVALID_PARAMETER, 0]);
    assert.deepEqual(f.ask(Type.SET_HASH_KEY, 7777, 0), [SUCCESS, 0]);
    assert.deepEqual(f.ask(Type.INVALID), [NOT_SUPPORTED, 0]);
    assert.deepEqual(f.ask(99, 1, 2, 3), [NOT_SUPPORTED, 0]);
    assert.deepEqual(f.host.errors, []);
  });

  it('lets a frontend say to which queue a connection goes, and tells it the hash', async () => {
    const f = await new Fixture().connect();
    f.hashing(2, 2, 1, 2);
    f.queues.forEach((queue) => queue.post(10));
    const frame = tcpFrame({ payload: 10 });
    frame.head.set(bytesOf('66.9.149.187'), 26);
    frame.head.set(bytesOf('161.142.100.80'), 30);
    frame.head.set(bytesOf('0', 2794, 1766).slice(1), 34);
    f.tester.end.send(frame);
    // 0x51ccc178 % 4 is 0: queue 2.
    assert.deepEqual(
      f.queues.slice(0, 2).map((queue) => queue.received().length),
      [0, 0],
    );
    const { rx } = f.queues[2] ?? assert.fail();
    const first = NetifRxResponse.read(new DataView((rx.take(8) ?? assert.fail()).buffer), 0);
    assert.equal(first.flags & NETRXF_extra_info, NETRXF_extra_info);
    const info = NetifExtraInfo.read(new DataView((rx.take(8) ?? assert.fail()).buffer), 0);
    assert.deepEqual([info.type, info.flags], [XEN_NETIF_EXTRA_TYPE.HASH, 0]);
    const { buffer, byteOffset } = info.data;
    const { type, algorithm, value } = NetifExtraHash.read(new DataView(buffer, byteOffset), 0);
    assert.deepEqual([type, algorithm, [...value]], [IPV4_TCP, TOEPLITZ, [0x78, 0xc1, 0xcc, 0x51]]);
  });

  it('sends to the first of the table what no hash was asked for, and all to where it was when there is none any more', async () => {
    const f = await new Fixture().connect();
    f.hashing(1, 2);
    f.queues.forEach((queue) => queue.post(10));
    const counts = (): number[] => f.queues.map((queue) => queue.received().length);
    f.tester.end.send(tcpFrame({ v6: true, payload: 10 }));
    f.tester.end.send({ head: new Uint8Array(60), fragments: [], length: 60 });
    assert.deepEqual(counts(), [0, 2, 0]);
    f.ask(Type.SET_HASH_ALGORITHM, NONE);
    f.tester.end.send(udpFrame({ payload: 10 }));
    assert.equal(
      counts().reduce((sum, count) => sum + count),
      1,
    );
  });

  it('is kept, with what was set up, when the backend fails; a request that was taken has an answer', async () => {
    const f = await new Fixture().connect();
    f.hashing(1, 1);
    f.queues.forEach((queue) => queue.post(10));
    f.tester.end.attach({
      receive: () => {
        throw new Error('a bug');
      },
    });
    f.queues[0]?.send(udpFrame({ payload: 10 }));
    await f.host.settle();
    assert.equal(f.host.errors.length, 1);
    assert.deepEqual(f.ask(Type.GET_HASH_FLAGS), [SUCCESS, 15]);
    f.tester.end.send(tcpFrame({ payload: 10 }));
    assert.equal(f.queues[1]?.received().length, 1);
  });

  it('takes many requests at once, and ends the device for an impossible index', async () => {
    const f = await new Fixture().connect();
    for (let i = 0; i < f.ring.slots; i++) f.put(Type.GET_HASH_MAPPING_SIZE);
    f.push();
    f.host.scheduler.run();
    let answers = 0;
    while (f.ring.take(NetifCtrlResponse.size)) answers++;
    assert.equal(answers, f.ring.slots);
    f.ring.setWord('req_prod', 5000);
    f.domain.send(f.port);
    assert.match(f.host.lines.join('\n'), /bogus ring requests[^]*disabling device/);
    assert.deepEqual(f.host.errors, []);
  });

  it('without an event channel is a fatal error of the device', async () => {
    const { device } = await new NetHost().connect({ front: { 'ctrl-ring-ref': 8 } });
    assert.equal(device.backState, 'Closing');
    assert.match(device.error ?? '', /event-channel-ctrl/);
  });
});
