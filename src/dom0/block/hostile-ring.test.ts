/**
 * A guest that writes anything into its ring: each request is answered once, and nothing but the pages it grants and its sectors change.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { blkifProtocols, type BlkifProtocolName } from '../../abi/io/blkif.ts';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { BackendHost } from '../testing/backend-host.ts';
import { BlockFrontend } from '../testing/block-frontend.ts';
import { MemoryDisk } from '../testing/memory-disk.ts';
import { VbdDriver } from './index.ts';

const SECTORS = 64;
const FRAMES = 48;
const GUARD = 40;

/** A request of random bytes in which each member is, more often than not, one that could be right. */
function anyRequest(protocol: BlkifProtocolName): fc.Arbitrary<Uint8Array> {
  const { slotSize, request, indirect } = blkifProtocols[protocol];
  const sometimes = (likely: fc.Arbitrary<number>, max: number): fc.Arbitrary<number> =>
    fc.oneof({ weight: 5, arbitrary: likely }, { weight: 1, arbitrary: fc.integer({ min: 0, max }) });
  const gref = sometimes(fc.integer({ min: 8, max: 8 + 20 }), 0xffffffff);
  return fc
    .record({
      bytes: fc.uint8Array({ minLength: slotSize, maxLength: slotSize }),
      operation: sometimes(fc.integer({ min: 0, max: 6 }), 255),
      count: sometimes(fc.integer({ min: 0, max: 11 }), 255),
      sector: sometimes(fc.integer({ min: 0, max: SECTORS }), 0xffffffff),
      high: sometimes(fc.constant(0), 0xffffffff),
      segments: fc.array(
        fc.tuple(gref, sometimes(fc.integer({ min: 0, max: 7 }), 255), sometimes(fc.integer({ min: 0, max: 7 }), 255)),
        {
          minLength: 11,
          maxLength: 11,
        },
      ),
    })
    .map(({ bytes, operation, count, sector, high, segments }) => {
      const view = new DataView(bytes.buffer);
      view.setUint8(request.operation, operation);
      view.setUint32(request.sector_number, sector, true);
      view.setUint32(request.sector_number + 4, high, true);
      segments.forEach(([ref, first, last], i) => {
        view.setUint32(request.seg + i * 8, ref, true);
        view.setUint8(request.seg + i * 8 + 4, first);
        view.setUint8(request.seg + i * 8 + 5, last);
      });
      if (operation === 6) {
        view.setUint8(indirect.indirect_op, count % 3);
        view.setUint16(indirect.nr_segments, count, true);
        for (let i = 0; i < 8; i++) view.setUint32(indirect.indirect_grefs + i * 4, segments[i]?.[0] ?? 0, true);
      } else {
        view.setUint8(request.nr_segments, count);
      }
      return bytes;
    });
}

for (const protocol of ['x86_64-abi', 'x86_32-abi'] as const) {
  for (const persistent of [false, true]) {
    it(`answers anything: ${protocol}${persistent ? ', persistent grants' : ''}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(anyRequest(protocol), { maxLength: 60 }),
          fc.uint8Array({ maxLength: 4096 }),
          async (requests, list) => {
            const disk = new MemoryDisk(SECTORS);
            disk.atOnce = list.length % 2 === 0;
            const host: BackendHost<unknown> = new BackendHost(
              new VbdDriver('vbd', {
                openDisk: () => Promise.resolve(disk),
                scheduler: { defer: (task) => host.scheduler.defer(task) },
                persistentGrants: persistent,
              }) as never,
            );
            const domain = host.addDomain(1, FRAMES);
            const front = new BlockFrontend(domain, { protocol });
            // One of these is full of random segments.
            for (let mfn = 2; mfn < 22; mfn++) domain.grant(mfn, mfn % 3 === 0);
            domain.frames.view(2).set(list);
            for (let mfn = GUARD; mfn < FRAMES; mfn++) domain.frames.view(mfn).fill(0xa5);
            const device = host.addDevice(1, 51712, { params: 'x', mode: 'w' });
            await host.settle();
            front.offer(device, { 'feature-persistent': persistent ? 1 : 0 });
            await host.settle();
            let answered = 0;
            for (let at = 0; at < requests.length; at += 20) {
              front.send(...requests.slice(at, at + 20));
              await host.settle();
              answered += front.answers().length;
            }
            assert.equal(answered, requests.length);
            assert.deepEqual(host.errors, []);
            assert.equal(device.backState, 'Connected');
            for (let mfn = GUARD; mfn < FRAMES; mfn++)
              assert.ok(domain.frames.view(mfn).every((byte) => byte === 0xa5));
            device.remove();
            await host.settle();
            assert.equal(domain.mappings, 0);
          },
        ),
        fuzz(40),
      );
    });
  }
}
