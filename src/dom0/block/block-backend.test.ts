import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BLKIF_OP, BLKIF_RSP, type BlkifProtocolName } from '../../abi/io/blkif.ts';
import { DiskError } from '../disk/index.ts';
import { BackendHost, type FakeDevice } from '../testing/backend-host.ts';
import { BlockFrontend, type Answer } from '../testing/block-frontend.ts';
import { MemoryDisk } from '../testing/memory-disk.ts';
import { VbdDriver } from './index.ts';
import type { VbdConnection } from './vbd-connection.ts';

const { READ, WRITE, WRITE_BARRIER, FLUSH_DISKCACHE, INDIRECT } = BLKIF_OP;
const { OKAY, ERROR, EOPNOTSUPP } = BLKIF_RSP;
const SECTORS = 256;
/** Frames that tests may use for data; those before are the rings'. */
const DATA = 32;

interface Options {
  readonly protocol?: BlkifProtocolName;
  readonly queues?: number;
  readonly pages?: number;
  readonly persistent?: boolean;
  readonly readOnly?: boolean;
  readonly back?: Readonly<Record<string, string>>;
}

class Fixture {
  readonly disk: MemoryDisk;
  readonly opened: string[] = [];
  readonly host: BackendHost<VbdConnection>;
  readonly front: BlockFrontend;
  readonly device: FakeDevice;
  readonly #persistent: boolean;

  constructor(options: Options = {}) {
    const { readOnly = false, persistent = false } = options;
    this.disk = new MemoryDisk(SECTORS, readOnly);
    for (let i = 0; i < this.disk.size; i++) this.disk.bytes[i] = (i >> 9) ^ i;
    this.host = new BackendHost(
      new VbdDriver('vbd', {
        openDisk: ({ path, format }) => {
          this.opened.push(`${format}:${path}`);
          this.disk.closed = false;
          return Promise.resolve(this.disk);
        },
        scheduler: { defer: (task) => this.host.scheduler.defer(task) },
        persistentGrants: persistent,
      }),
    );
    this.#persistent = persistent;
    this.front = new BlockFrontend(this.host.addDomain(1, 128), options);
    this.device = this.host.addDevice(1, 51712, { params: '/disk.img', mode: readOnly ? 'r' : 'w', ...options.back });
  }

  static async connected(options: Options = {}): Promise<Fixture> {
    const f = new Fixture(options);
    await f.host.settle();
    f.front.offer(f.device, f.#persistent ? { 'feature-persistent': 1 } : {});
    await f.host.settle();
    f.device.setState('Connected');
    await f.host.settle();
    assert.equal(f.device.backState, 'Connected');
    return f;
  }

  /** A page of data, granted. */
  page(index: number, fill?: number, readonly = false): number {
    const mfn = DATA + index;
    if (fill !== undefined) this.front.domain.frames.view(mfn).fill(fill);
    return this.front.domain.grant(mfn, readonly);
  }

  bytes(index: number): Uint8Array {
    return this.front.domain.frames.view(DATA + index);
  }

  async ask(...requests: readonly Uint8Array[]): Promise<Answer[]> {
    this.front.send(...requests);
    await this.host.settle();
    return this.front.answers();
  }

  async status(request: Uint8Array): Promise<number | undefined> {
    const answers = await this.ask(request);
    assert.equal(answers.length, 1);
    assert.deepEqual(this.host.errors, []);
    return answers[0]?.status;
  }
}

describe('a block device', () => {
  it('tells a frontend what it can before and after it connects', async () => {
    const f = await Fixture.connected();
    const keys = [
      'feature-max-indirect-segments',
      'multi-queue-max-queues',
      'max-ring-page-order',
      'feature-flush-cache',
    ];
    assert.deepEqual(
      [...keys, 'feature-barrier', 'feature-discard'].map((key) => f.device.read(key)),
      ['256', '4', '4', '1', '1', '1'],
    );
    const sizes = ['sectors', 'sector-size', 'physical-sector-size', 'info', 'discard-granularity'];
    assert.deepEqual(
      sizes.map((key) => f.device.read(key)),
      ['256', '512', '512', '0', '4096'],
    );
    assert.deepEqual(f.opened, ['raw:/disk.img']);
  });

  for (const protocol of ['x86_64-abi', 'x86_32-abi'] as const) {
    for (const pages of [1, 4]) {
      for (const persistent of [false, true]) {
        it(`reads and writes: ${protocol}, ${pages} ring pages${persistent ? ', persistent grants' : ''}`, async () => {
          const f = await Fixture.connected({ protocol, pages, persistent });
          f.disk.atOnce = pages > 1;
          const [source, target] = [f.page(0, 0x5a, !persistent), f.page(1, 0)];
          for (let round = 0; round < 200; round++) {
            const sector = (round * 8) % SECTORS;
            const answers = await f.ask(f.front.request(WRITE, sector, [{ gref: source }]));
            assert.deepEqual(answers, [{ id: round * 2, operation: WRITE, status: OKAY }]);
            await f.ask(f.front.request(READ, sector, [{ gref: target }]));
            assert.ok(f.bytes(1).every((byte) => byte === 0x5a));
            if (round % 50 !== 0) f.bytes(1).fill(0);
          }
          assert.equal(f.front.domain.mappings - pages, persistent ? 2 : 0);
        });
      }
    }
  }

  it('counts requests and sectors, also those that a failed instance has left to another', async () => {
    const f = await Fixture.connected();
    await f.ask(
      f.front.request(READ, 0, [{ gref: f.page(0) }, { gref: f.page(1), first: 2, last: 3 }]),
      f.front.request(WRITE, 8, [{ gref: f.page(0) }]),
      f.front.indirect(WRITE, 16, [{ gref: f.page(0) }, { gref: f.page(1) }], DATA + 8),
      f.front.request(READ, SECTORS, [{ gref: f.page(0) }]),
      f.front.request(FLUSH_DISKCACHE, 0),
    );
    const counts = { readRequests: 2, writeRequests: 2, readSectors: 10, writeSectors: 24 };
    assert.deepEqual(f.host.devices.get(1, 51712)?.statistics.block, counts);
    f.disk.fault = () => new Error('a bug');
    f.front.send(f.front.request(READ, 0, [{ gref: f.page(0) }]));
    await f.host.settle();
    f.disk.fault = () => undefined;
    assert.equal(f.host.devices.get(1, 51712)?.statistics.block.readRequests, 3);
  });

  it('has done at once what the disk can do at once, and answers it with one notification', async () => {
    const f = await Fixture.connected({ pages: 4 });
    f.disk.atOnce = true;
    f.front.domain.raised(f.front.ports[0] ?? 0);
    const answers = await f.ask(
      f.front.request(WRITE, 0, [{ gref: f.page(0, 1) }]),
      f.front.request(WRITE, 64, [{ gref: f.page(1, 2) }]),
      f.front.request(READ, 0, [{ gref: f.page(2) }]),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [OKAY, OKAY, OKAY],
    );
    assert.deepEqual(f.disk.calls, ['write 0+4096 now', 'write 32768+4096 now', 'read 0+4096 now']);
    assert.equal(f.front.domain.mappings, 4, 'only the ring');
    assert.equal(f.front.domain.raised(f.front.ports[0] ?? 0), 1);
    f.disk.fault = (call) => (call.startsWith('read') ? new DiskError('EIO', 'broken') : undefined);
    const [failed] = await f.ask(f.front.request(READ, 0, [{ gref: f.page(2) }]));
    assert.equal(failed?.status, ERROR);
  });

  it('reads and writes parts of pages, eleven segments and indirect ones', async () => {
    const f = await Fixture.connected();
    await f.ask(
      f.front.request(READ, 3, [
        { gref: f.page(0, 0), first: 2, last: 3 },
        { gref: f.page(1, 0), first: 7, last: 7 },
      ]),
    );
    assert.deepEqual(f.bytes(0).slice(1024, 2048), f.disk.bytes.slice(3 * 512, 5 * 512));
    assert.deepEqual(f.bytes(1).slice(3584), f.disk.bytes.slice(5 * 512, 6 * 512));
    assert.ok(
      f
        .bytes(0)
        .slice(0, 1024)
        .every((byte) => byte === 0),
    );
    const segments = Array.from({ length: 20 }, (_, i) => ({ gref: f.page(i, i + 1, true) }));
    assert.equal(await f.status(f.front.request(WRITE, 0, segments.slice(0, 11))), OKAY);
    assert.deepEqual([f.disk.bytes[0], f.disk.bytes[11 * 4096 - 1]], [1, 11]);
    assert.equal(await f.status(f.front.indirect(WRITE, 64, segments, DATA + 40)), OKAY);
    assert.deepEqual([f.disk.bytes[64 * 512], f.disk.bytes[64 * 512 + 20 * 4096 - 1]], [1, 20]);
    const back = Array.from({ length: 20 }, (_, i) => ({ gref: f.page(20 + i, 0) }));
    const answers = await f.ask(f.front.indirect(READ, 64, back, DATA + 41));
    assert.deepEqual([answers[0]?.operation, answers[0]?.status], [READ, OKAY]);
    assert.deepEqual([f.bytes(20)[0], f.bytes(39)[4095]], [1, 20]);
  });

  it('makes one call of requests that follow each other, and answers each', async () => {
    const f = await Fixture.connected();
    const requests = [0, 1, 2, 5, 6].map((i) => f.front.request(READ, i * 8, [{ gref: f.page(i) }]));
    const answers = await f.ask(...requests);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [OKAY, OKAY, OKAY, OKAY, OKAY],
    );
    assert.deepEqual(f.disk.calls, ['read 0+12288', 'read 20480+8192']);
  });

  it('tells which of the requests in one call has failed', async () => {
    const f = await Fixture.connected();
    f.disk.fault = (call) =>
      /read (0|4096|8192)\+(8192|12288)|read 4096/.test(call) ? new DiskError('EIO', 'bad block') : undefined;
    const answers = await f.ask(...[0, 1, 2].map((i) => f.front.request(READ, i * 8, [{ gref: f.page(i) }])));
    assert.deepEqual(
      answers.sort((a, b) => a.id - b.id).map(({ status }) => status),
      [OKAY, ERROR, OKAY],
    );
  });

  it('has many requests under way and answers them as they end', async () => {
    const f = await Fixture.connected();
    f.disk.held = true;
    await f.ask(...[0, 2, 4].map((i) => f.front.request(READ, i * 8, [{ gref: f.page(i) }])));
    assert.equal(f.disk.waiting, 3);
    f.disk.release(2);
    await f.host.settle();
    assert.deepEqual(
      f.front.answers().map(({ id }) => id),
      [2],
    );
    f.disk.release();
    await f.host.settle();
    assert.deepEqual(
      f.front.answers().map(({ id }) => id),
      [0, 1],
    );
  });

  it('serves several queues', async () => {
    const f = await Fixture.connected({ queues: 3, pages: 2 });
    for (const queue of [0, 1, 2])
      f.front.sendTo(queue, f.front.request(WRITE, queue * 8, [{ gref: f.page(queue, queue + 1, true) }]));
    await f.host.settle();
    for (const queue of [0, 1, 2]) {
      assert.equal(f.front.answers(queue)[0]?.status, OKAY);
      assert.equal(f.disk.bytes[queue * 4096], queue + 1);
    }
  });

  it('has what was answered on the disk before it answers a flush, and writes what comes with it', async () => {
    const f = await Fixture.connected();
    await f.ask(f.front.request(WRITE, 0, [{ gref: f.page(0, 1, true) }]));
    assert.equal(f.disk.stable[0], 0);
    assert.equal(await f.status(f.front.request(FLUSH_DISKCACHE, 0)), OKAY);
    assert.equal(f.disk.stable[0], 1);
    assert.equal(await f.status(f.front.request(FLUSH_DISKCACHE, 8, [{ gref: f.page(1, 2, true) }])), OKAY);
    assert.equal(f.disk.bytes[4096], 2);
  });

  it('keeps the order around a barrier', async () => {
    const f = await Fixture.connected();
    f.disk.held = true;
    await f.ask(
      f.front.request(WRITE, 0, [{ gref: f.page(0, 1, true) }]),
      f.front.request(WRITE_BARRIER, 8, [{ gref: f.page(1, 2, true) }]),
      f.front.request(WRITE, 16, [{ gref: f.page(2, 3, true) }]),
    );
    const order: string[][] = [];
    for (let i = 0; i < 5; i++) {
      order.push(f.disk.calls.splice(0));
      f.disk.release();
      await f.host.settle();
    }
    assert.deepEqual(order, [['write 0+4096'], ['flush'], ['write 4096+4096'], ['flush'], ['write 8192+4096']]);
    assert.deepEqual(
      f.front.answers().map(({ id, status }) => [id, status]),
      [
        [0, OKAY],
        [1, OKAY],
        [2, OKAY],
      ],
    );
    f.disk.held = false;
    assert.equal(await f.status(f.front.request(WRITE_BARRIER, 0)), OKAY);
    assert.equal(await f.status(f.front.request(READ, 0, [{ gref: f.page(3) }])), OKAY);
  });

  it('discards, where it may', async () => {
    const f = await Fixture.connected();
    assert.equal(await f.status(f.front.discard(8, 16)), OKAY);
    assert.deepEqual(f.disk.calls, ['discard 4096+8192']);
    assert.equal(await f.status(f.front.discard(SECTORS - 1, 2)), ERROR);
    const not = await Fixture.connected({ back: { 'discard-enable': '0' } });
    assert.equal(not.device.read('feature-discard'), '0');
    assert.equal(await not.status(not.front.discard(0, 8)), EOPNOTSUPP);
  });

  it('is read-only when it is to be', async () => {
    const f = await Fixture.connected({ readOnly: true });
    assert.equal(f.device.read('info'), '4');
    assert.equal(f.device.read('feature-flush-cache'), '0');
    assert.equal(await f.status(f.front.request(READ, 0, [{ gref: f.page(0) }])), OKAY);
    for (const request of [
      f.front.request(WRITE, 0, [{ gref: f.page(1) }]),
      f.front.request(WRITE_BARRIER, 0, [{ gref: f.page(1) }]),
      f.front.request(FLUSH_DISKCACHE, 0),
      f.front.indirect(WRITE, 0, [{ gref: f.page(1) }], DATA + 9),
      f.front.discard(0, 8),
    ])
      assert.equal(await f.status(request), ERROR);
    assert.deepEqual(f.disk.calls, ['read 0+4096']);
  });

  it('is a CD-ROM drive, with and without a disk in it', async () => {
    const back = { 'device-type': 'cdrom', removable: '1' };
    const full = await Fixture.connected({ readOnly: true, back });
    assert.equal(full.device.read('info'), '7');
    const empty = await Fixture.connected({ readOnly: true, back: { ...back, params: '' } });
    assert.deepEqual([empty.device.read('sectors'), empty.opened], ['0', []]);
    assert.equal(await empty.status(empty.front.request(READ, 0, [{ gref: empty.page(0) }])), ERROR);
  });

  it('closes the disk, with everything flushed, when it goes', async () => {
    const f = await Fixture.connected();
    f.disk.held = true;
    await f.ask(f.front.request(WRITE, 0, [{ gref: f.page(0, 9, true) }]));
    f.device.remove();
    await f.host.settle();
    assert.deepEqual([f.disk.closed, f.front.domain.mappings], [false, 2]); // the write is still under way
    f.disk.held = false;
    f.disk.release();
    await f.host.settle();
    assert.deepEqual([f.disk.closed, f.disk.stable[0], f.front.domain.mappings], [true, 9, 0]);
  });

  it('does not open what it does not know', async () => {
    const f = new Fixture({ back: { script: '/etc/xen/scripts/block-nbd' } });
    await f.host.settle();
    assert.equal(f.device.read('hotplug-status'), 'error');
    assert.equal(f.device.read('hotplug-error'), 'hotplug script "block-nbd" is not supported; there is only "block"');
  });
});

describe('a wrong request', () => {
  const cases: Readonly<Record<string, (f: Fixture) => Uint8Array>> = {
    'without segments': (f) => f.front.request(READ, 0),
    'with too many segments': (f) => f.front.request(READ, 0, [{ gref: f.page(0) }], 12),
    'with a segment that ends before it begins': (f) =>
      f.front.request(READ, 0, [{ gref: f.page(0), first: 5, last: 4 }]),
    'with a segment beyond its page': (f) => f.front.request(READ, 0, [{ gref: f.page(0), first: 0, last: 8 }]),
    'that ends behind the disk': (f) => f.front.request(READ, SECTORS - 7, [{ gref: f.page(0) }]),
    'far behind the disk': (f) => f.front.request(WRITE, 2 ** 63, [{ gref: f.page(0) }]),
    'whose end wraps around': (f) => f.front.request(READ, 2 ** 64 - 2048, [{ gref: f.page(0) }]),
    'with a grant that is none': (f) => f.front.request(READ, 0, [{ gref: f.page(0) }, { gref: 4000 }]),
    'that reads into a read-only grant': (f) => f.front.request(READ, 0, [{ gref: f.page(0, 0, true) }]),
    'that is indirect with a wrong operation': (f) =>
      f.front.indirect(FLUSH_DISKCACHE, 0, [{ gref: f.page(0) }], DATA + 1),
    'that is indirect within an indirect one': (f) => f.front.indirect(INDIRECT, 0, [{ gref: f.page(0) }], DATA + 1),
    'that is indirect without segments': (f) => f.front.indirect(READ, 0, [], DATA + 1),
    'that is indirect with too many segments': (f) => f.front.indirect(READ, 0, [{ gref: f.page(0) }], DATA + 1, 257),
    'that is indirect with a list that is not granted': (f) => {
      const request = f.front.indirect(READ, 0, [{ gref: f.page(0) }], DATA + 1);
      new DataView(request.buffer).setUint32(f.front.protocol.indirect.indirect_grefs, 4000, true);
      return request;
    },
    'that is a flush with too many segments': (f) => f.front.request(FLUSH_DISKCACHE, 0, [], 12),
  };
  for (const [what, make] of Object.entries(cases)) {
    it(`${what} is an error, touches nothing and leaves nothing mapped`, async () => {
      const f = await Fixture.connected();
      const before = f.disk.bytes.slice();
      const request = make(f);
      assert.equal(await f.status(request), ERROR);
      assert.equal(f.front.domain.mappings, 1);
      assert.deepEqual(f.disk.bytes, before);
      assert.deepEqual(f.disk.calls, []);
      assert.equal(await f.status(f.front.request(READ, 0, [{ gref: f.page(5) }])), OKAY);
    });
  }

  it('of an unknown operation is not supported', async () => {
    const f = await Fixture.connected();
    for (const operation of [4, 7, 255]) assert.equal(await f.status(f.front.request(operation, 0)), EOPNOTSUPP);
  });

  it('of the disk is an error of that request', async () => {
    const f = await Fixture.connected();
    f.disk.fault = () => new DiskError('ENOSPC', 'the file system is full');
    assert.equal(await f.status(f.front.request(WRITE, 0, [{ gref: f.page(0, 1, true) }])), ERROR);
    assert.equal(await f.status(f.front.request(FLUSH_DISKCACHE, 0)), ERROR);
    assert.equal(f.front.domain.mappings, 1);
  });

  it('index halts the ring, and only that', async () => {
    const f = await Fixture.connected();
    f.front.rings[0]?.setWord('req_prod', 1000);
    f.front.domain.send(f.front.ports[0] ?? 0);
    await f.host.settle();
    assert.match(f.host.lines.join(), /Frontend provided bogus ring requests \(1000 - 0 = 1000\)\. Halting/);
    assert.equal(f.device.backState, 'Connected');
    f.device.setState('Closed');
    await f.host.settle();
    assert.equal(f.device.backState, 'Closed');
  });

  it('offer of a frontend closes the device', async () => {
    const offers: Readonly<Record<string, string | number>>[] = [
      { protocol: 'sparc-abi' },
      { 'multi-queue-num-queues': 0 },
      { 'multi-queue-num-queues': 5 },
      { 'ring-page-order': 5 },
      { 'ring-page-order': 1 },
      { 'feature-persistent': 'x' },
    ];
    for (const offer of offers) {
      const f = new Fixture({ persistent: true });
      await f.host.settle();
      f.front.offer(f.device, offer);
      await f.host.settle();
      assert.equal(f.device.backState, 'Closing', JSON.stringify(offer));
      assert.equal(f.front.domain.mappings, 0);
    }
  });
});

describe('a block backend that fails', () => {
  for (const persistent of [false, true]) {
    it(`is replaced, and every request is answered once${persistent ? ', persistent grants' : ''}`, async () => {
      const f = await Fixture.connected({ persistent });
      f.disk.held = true;
      const requests = [0, 2, 4, 6].map((i) => f.front.request(WRITE, i * 8, [{ gref: f.page(i, i + 1) }]));
      await f.ask(...requests, f.front.request(WRITE_BARRIER, 80, [{ gref: f.page(8, 77) }]));
      assert.equal(f.disk.waiting, 4);
      f.disk.fault = () => new Error('a bug');
      f.disk.release(1);
      await f.host.settle();
      f.disk.fault = () => undefined;
      f.disk.held = false;
      f.disk.release();
      await f.host.settle();
      assert.equal(f.device.backState, 'Connected');
      const answers = f.front.answers();
      assert.deepEqual(answers.map(({ id }) => id).sort(), [0, 1, 2, 3, 4]);
      assert.ok(answers.every(({ status }) => status === OKAY));
      assert.deepEqual(
        [0, 2, 4, 6, 10].map((i) => f.disk.bytes[i * 4096]),
        [1, 3, 5, 7, 77],
      );
      assert.equal(f.host.errors.length, 1);
      assert.equal(f.front.domain.mappings, persistent ? 6 : 1);
    });
  }
});
