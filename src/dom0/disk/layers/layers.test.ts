import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../../abi/testing/fuzz.ts';
import {
  DiskModel,
  type DiskRequest,
  diskRequests,
  firstDifference,
  seededCoin,
  seededDelay,
} from '../../testing/disk-model.ts';
import { MemoryDiskHost } from '../../testing/memory-disk-host.ts';
import { createDisk } from '../create-disk.ts';
import { DiskError, type Disk, type DiskFormat, DiskImages, type DiskSnapshot } from '../index.ts';
import { checkImage } from '../qcow2/check.ts';
import { ImageFile } from '../qcow2/image-file.ts';
import { readHeader } from '../qcow2/open.ts';

/** Six clusters of a snapshot, the last of them cut off. */
const size = 5 * 65536 + 7 * 512;
const sectors = size / 512;
const writer = { format: 'raw', readOnly: false } as const;

async function world(format: DiskFormat = 'raw', seed?: number): Promise<{ host: MemoryDiskHost; images: DiskImages }> {
  const host = new MemoryDiskHost(seed === undefined ? {} : { delay: seededDelay(seed), isQuick: seededCoin(seed) });
  await createDisk(host, 'disk', {
    format,
    size,
    vhd: { subformat: 'dynamic', uuid: new Uint8Array(16), timestamp: 0 },
  });
  return { host, images: new DiskImages(host, '/layers') };
}

async function bytesOf(disk: Disk): Promise<Uint8Array> {
  const bytes = new Uint8Array(disk.size).fill(0xee);
  if (disk.readNow?.(0, [bytes]) !== true) await disk.read(0, [bytes]);
  return bytes;
}

const filled = (byte: number, count = 1): Uint8Array[] => [new Uint8Array(count * 512).fill(byte)];

async function byteAt(disk: Disk, sector: number): Promise<number | undefined> {
  const bytes = new Uint8Array(512);
  await disk.read(sector * 512, [bytes]);
  return bytes[0];
}

type Step =
  | { readonly kind: 'requests'; readonly disk: number; readonly batch: readonly DiskRequest[] }
  | { readonly kind: 'snapshot' | 'overlay' | 'close' | 'compare' | 'reopen'; readonly disk: number };

const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('requests' as const),
        disk: fc.nat(),
        batch: diskRequests(sectors, 300).map((batches) => batches.flat()),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom('snapshot' as const, 'overlay', 'close', 'compare', 'reopen'),
        disk: fc.nat(),
      }),
    },
  ),
  { minLength: 1, maxLength: 24 },
);

/** A disk and its overlays, and their overlays, each with its model; and snapshots with what they have to show. */
class Layers {
  readonly #images: DiskImages;
  readonly #format: DiskFormat;
  readonly #writable: { path: string; format: DiskFormat; disk: Disk; model: DiskModel }[] = [];
  #snapshots: { snapshot: DiskSnapshot; bytes: Uint8Array }[] = [];

  constructor(images: DiskImages, format: DiskFormat) {
    this.#images = images;
    this.#format = format;
  }

  async start(): Promise<void> {
    const disk = await this.#images.open('disk', { format: this.#format, readOnly: false });
    this.#writable.push({ path: 'disk', format: this.#format, disk, model: new DiskModel(size) });
  }

  async run(step: Step): Promise<void> {
    const it = this.#writable[step.disk % this.#writable.length];
    if (it === undefined) return;
    switch (step.kind) {
      case 'requests': {
        // While they are under way all snapshots are read: each shows what it has always shown.
        const reads = this.#snapshots.map((one) => this.#compare(one));
        await it.model.run(it.disk, step.batch);
        await Promise.all(reads);
        return;
      }
      case 'snapshot':
        this.#snapshots.push({
          snapshot: await this.#images.snapshot(it.path, it.format),
          bytes: it.model.bytes.slice(),
        });
        return;
      case 'overlay': {
        const of = this.#snapshots[step.disk % Math.max(1, this.#snapshots.length)];
        if (of === undefined || this.#writable.length > 5) return;
        const path = await this.#images.createOverlay('test', of.snapshot);
        const model = new DiskModel(size);
        model.bytes.set(of.bytes);
        this.#writable.push({ path, format: 'raw', disk: await this.#images.open(path, writer), model });
        return;
      }
      case 'close': {
        const [gone] = this.#snapshots.splice(step.disk % Math.max(1, this.#snapshots.length), 1);
        await gone?.snapshot.close();
        return;
      }
      case 'reopen':
        await it.disk.close();
        it.disk = await this.#images.open(it.path, { format: it.format, readOnly: false });
        return;
      case 'compare':
        return this.compare();
    }
  }

  async compare(): Promise<void> {
    for (const { model, disk } of this.#writable) await model.compare(disk);
    for (const one of this.#snapshots) await this.#compare(one);
  }

  async close(): Promise<void> {
    for (const { path, disk } of this.#writable) {
      await this.#images.removeOverlay(path);
      await disk.close();
    }
    for (const { snapshot } of this.#snapshots) await snapshot.close();
  }

  async #compare({ snapshot, bytes }: { snapshot: DiskSnapshot; bytes: Uint8Array }): Promise<void> {
    assert.equal(firstDifference(await bytesOf(snapshot), bytes), undefined);
  }
}

describe('layers on a disk', () => {
  for (const format of ['raw', 'qcow2', 'vhd'] as const) {
    it(`show each its own moment, and nothing is left of them, on a ${format} image`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer(), steps, async (seed, all) => {
          const { host, images } = await world(format, seed);
          const layers = new Layers(images, format);
          await layers.start();
          for (const step of all) await layers.run(step);
          await layers.compare();
          await layers.close();
          assert.deepEqual([...host.files.keys()], ['disk']);
          if (format !== 'qcow2') return;
          const file = await host.open('disk', { readOnly: true });
          const { corruptions, leaks, problems } = await checkImage(new ImageFile(file, await readHeader(file)));
          assert.deepEqual([corruptions, leaks, problems], [0, 0, []]);
        }),
        fuzz(60),
      );
    });
  }

  it('are of one moment: a write is in a snapshot or waits for it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const { images } = await world('raw', seed);
        const disk = await images.open('disk', writer);
        await disk.write(0, filled(1, sectors));
        // Under way when the snapshot is asked for; and begun after that, which may be before it or after it.
        const half = size - 3 * 65536;
        const before = disk.write(0, [new Uint8Array(half).fill(2)]);
        const taking = images.snapshot('disk', 'raw');
        const after = disk.write(half, [new Uint8Array(size - half).fill(3)]);
        const snapshot = await taking;
        const shown = await bytesOf(snapshot);
        assert.ok(shown.every((byte, at) => byte === (at < half ? 2 : shown[half])));
        await Promise.all([before, after]);
        await disk.write(0, filled(4, sectors));
        assert.equal(firstDifference(await bytesOf(snapshot), shown), undefined);
      }),
      fuzz(30),
    );
  });

  it('keep a cluster once for all snapshots, and use its place again', async () => {
    const { host, images } = await world();
    const disk = await images.open('disk', writer);
    await disk.write(0, filled(1, sectors));
    const older = await images.snapshot('disk', 'raw');
    await disk.write(0, filled(2));
    for (let round = 2; round < 8; round++) {
      const pair = await Promise.all([images.snapshot('disk', 'raw'), images.snapshot('disk', 'raw')]);
      await disk.write(0, filled(round + 1));
      await disk.write(65536, filled(round + 1));
      for (const snapshot of pair) {
        assert.equal(await byteAt(snapshot, 0), round);
        await snapshot.close();
      }
    }
    // Two clusters of the old one, and two that came and went with each pair.
    assert.equal(host.files.get('/layers/1-kept')?.current.size, 4 * 65536);
    assert.ok((await bytesOf(older)).every((byte) => byte === 1));
    await older.close();
    assert.deepEqual([...host.files.keys()], ['disk']);
  });

  it('do without what cannot be kept, while the owner goes on', async () => {
    const { host, images } = await world();
    const disk = await images.open('disk', writer);
    await disk.write(0, filled(1, sectors));
    const snapshot = await images.snapshot('disk', 'raw');
    await disk.write(0, filled(2));
    const kept = host.files.get('/layers/1-kept');
    if (kept !== undefined) kept.failWrites = new DiskError('ENOSPC', 'full');
    await disk.write(128 * 512, filled(2));
    assert.equal(await byteAt(disk, 128), 2);
    assert.deepEqual([await byteAt(snapshot, 0), await byteAt(snapshot, 300)], [1, 1]);
    await assert.rejects(byteAt(snapshot, 128), { code: 'EIO' });
    await snapshot.close();
    await assert.rejects(byteAt(snapshot, 0), { code: 'EBADF' });
  });

  it('leave what is discarded where a snapshot needs it, and give back the rest', async () => {
    const { images } = await world();
    const disk = await images.open('disk', writer);
    await disk.write(0, filled(1, sectors));
    const snapshot = await images.snapshot('disk', 'raw');
    await disk.write(0, filled(2));
    await disk.discard(0, size);
    assert.deepEqual([await byteAt(disk, 0), await byteAt(disk, 1), await byteAt(disk, 128)], [0, 0, 1]);
    assert.ok((await bytesOf(snapshot)).every((byte) => byte === 1));
  });
});

describe('images', () => {
  it('stay while snapshots are read, and their owner may come again', async () => {
    const { images } = await world();
    const disk = await images.open('disk', writer);
    await assert.rejects(images.open('disk', writer), { code: 'EBUSY' });
    await disk.write(0, filled(1));
    const snapshot = await images.snapshot('disk', 'raw');
    await disk.close();
    await disk.close();
    await assert.rejects(disk.write(0, filled(1)), { code: 'EBADF' });
    const again = await images.open('disk', writer);
    await again.write(0, filled(2));
    assert.deepEqual([await byteAt(snapshot, 0), await byteAt(again, 0)], [1, 2]);
    await again.close();
    const reader = await images.open('disk', { format: 'raw', readOnly: true });
    assert.equal(await byteAt(reader, 0), 2);
    await assert.rejects(reader.write(0, filled(1)), { code: 'EROFS' });
    assert.equal(images.ties('disk').hasSnapshots, true);
    await Promise.all([reader.close(), snapshot.close()]);
    assert.equal(images.ties('disk').hasSnapshots, false);
  });

  it('that nobody has open can have overlays, and nobody writes to them then', async () => {
    const { host, images } = await world('qcow2');
    const snapshot = await images.snapshot('disk', 'qcow2');
    const path = await images.createOverlay('xvda', snapshot);
    assert.equal(path, '/layers/1-xvda');
    await snapshot.close();
    await assert.rejects(images.open('disk', { format: 'qcow2', readOnly: false }), { code: 'EBUSY' });
    const overlay = await images.open(path, writer);
    await overlay.write(512, filled(7));
    await overlay.close();
    // A clone that boots again finds what it has written.
    const again = await images.open(path, writer);
    assert.deepEqual([await byteAt(again, 0), await byteAt(again, 1)], [0, 7]);
    await images.removeOverlay(path);
    await again.close();
    assert.deepEqual([...host.files.keys()], ['disk']);
    await assert.rejects(images.open(path, writer), { code: 'ENOENT' });
    await (await images.open('disk', { format: 'qcow2', readOnly: false })).close();
  });

  it('lie behind each other to some depth', async () => {
    const { images } = await world();
    let path = 'disk';
    const layers = [];
    for (let depth = 1; depth < 64; depth++) {
      const snapshot = await images.snapshot(path, 'raw');
      path = await images.createOverlay('deep', snapshot);
      layers.push(path);
      await snapshot.close();
    }
    const deepest = await images.open(path, writer);
    assert.equal(await byteAt(deepest, 3), 0);
    const snapshot = await images.snapshot(path, 'raw');
    await assert.rejects(images.createOverlay('deep', snapshot), { code: 'ENOTSUP' });
    await images.close();
  });
});
