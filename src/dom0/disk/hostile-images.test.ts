/** Images in which bytes were changed: they are read, refused or found damaged, in a sentence, and nothing else happens. */
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { checkQcow2, spoil, spoiling, useAs } from '../testing/image-use.ts';
import { MemoryDiskHost } from '../testing/memory-disk-host.ts';
import { openDisk } from './index.ts';
import { createQcow2 } from './qcow2/create.ts';
import { openQcow2 } from './qcow2/open.ts';
import { createSnapshot } from './qcow2/snapshots.ts';
import { createVhd } from './vhd/create.ts';
import { checksum } from './vhd/footer.ts';

const size = 256 * 1024;

/** An image with something of everything in it. */
async function qcow2Image(): Promise<Uint8Array> {
  const host = new MemoryDiskHost();
  const base = await host.create('base');
  await base.write(0, [new Uint8Array(size).fill(5)]);
  const options = { size, clusterSize: 4096, backingFile: 'base', backingFormat: 'raw' };
  await createQcow2(await host.create('disk'), options);
  const file = await host.open('disk', { readOnly: false });
  const disk = await openQcow2(file, { codecs: host.codecs, openBacking: () => Promise.resolve(undefined) });
  await disk.write(0, [new Uint8Array(30_000 - (30_000 % 512)).fill(1)]);
  await disk.writeCompressed(65536, await host.codecs.deflateRaw(new Uint8Array(4096).fill(2)));
  await createSnapshot(disk, { name: 'one', now: 0 });
  await disk.writeZeroes(8192, 8192);
  await disk.write(100 * 512, [new Uint8Array(8192).fill(3)]);
  await disk.close();
  return host.files.get('disk')?.current.bytes() ?? new Uint8Array();
}

async function vhdImage(): Promise<Uint8Array> {
  const host = new MemoryDiskHost();
  const file = await host.create('disk');
  await createVhd(file, { size, subformat: 'dynamic', uuid: new Uint8Array(16), timestamp: 0 });
  const disk = await openDisk(host, 'disk', { format: 'vhd', readOnly: false });
  await disk.write(0, [new Uint8Array(4096).fill(1)]);
  await disk.close();
  return host.files.get('disk')?.current.bytes() ?? new Uint8Array();
}

describe('an image in which bytes were changed', () => {
  it('as qcow2 is used, refused, or found damaged', async () => {
    const image = await qcow2Image();
    await fc.assert(
      fc.asyncProperty(spoiling(image.length, 600), async (changes) => {
        const bytes = spoil(image, changes);
        await useAs('qcow2', bytes);
        await checkQcow2(bytes);
      }),
      fuzz(250),
    );
  });

  it('as VHD is used or refused, also when its checksums are right', async () => {
    const image = await vhdImage();
    await fc.assert(
      fc.asyncProperty(spoiling(image.length, 1700), fc.boolean(), async (changes, summed) => {
        const bytes = spoil(image, changes);
        if (summed) {
          const view = new DataView(bytes.buffer);
          view.setUint32(64, checksum(bytes.subarray(0, 512), 64));
          view.setUint32(512 + 36, checksum(bytes.subarray(512, 1536), 36));
          bytes.copyWithin(bytes.length - 512, 0, 512);
        }
        await useAs('vhd', bytes);
      }),
      fuzz(100),
    );
  });

  it('or cut off anywhere is used or refused', async () => {
    const image = await qcow2Image();
    await fc.assert(
      fc.asyncProperty(fc.nat(image.length), async (length) => {
        await useAs('qcow2', image.slice(0, length));
      }),
      fuzz(40),
    );
  });
});
