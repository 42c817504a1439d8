import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { keepFrame, type Frame } from '../link.ts';
import { bytesOf, frameOf } from './virtio-net-header.ts';

it('says of a frame what the frame says of itself, and back', () => {
  const shape = fc.record({
    length: fc.integer({ min: 60, max: 65_535 }),
    kind: fc.constantFrom('plain', 'verified', 'checksum', 'tcpv4', 'tcpv6'),
    size: fc.integer({ min: 1, max: 9000 }),
  });
  fc.assert(
    fc.property(shape, ({ length, kind, size }) => {
      const all = Uint8Array.from({ length }, (_, i) => i);
      const checksum = { start: 34, offset: 6 };
      const frame: Frame = {
        head: all.subarray(0, 256),
        fragments: length > 256 ? [all.subarray(256, 300), all.subarray(300)] : [],
        length,
        verified: kind !== 'plain',
        ...(kind === 'plain' || kind === 'verified' ? {} : { checksum }),
        ...(kind === 'tcpv4' || kind === 'tcpv6' ? { segmentation: { type: kind, size } } : {}),
      };
      const back = frameOf(bytesOf(frame)) ?? assert.fail();
      assert.deepEqual(keepFrame(back), keepFrame(frame));
    }),
  );
});

it('takes any bytes from the device', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const frame = frameOf(bytes);
      if (frame) assert.equal(keepFrame(frame).head.length, frame.length);
    }),
  );
});
