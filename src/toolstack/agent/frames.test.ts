import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { crc32c } from './crc32c.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';
import { maxFrame, type Message } from './protocol.ts';

const content = fc.oneof(
  fc.uint8Array({ maxLength: 600 }),
  // What is hardest to stuff: no zero at all, and nothing but.
  fc.nat(4000).map((length) => new Uint8Array(length).fill(1)),
  fc.nat(4000).map((length) => new Uint8Array(length)),
);
const anyMessage = fc.record({ type: fc.nat(255), id: fc.nat(0xffff_ffff), content });
const plain = ({ type, id, content }: Message): unknown => ({ type, id, content: [...content] });
const all = (decoder: FrameDecoder, bytes: Uint8Array): unknown[] => [...decoder.push(bytes)].map(plain);

describe('frames of the agent’s channel', () => {
  it('come out as they went in, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 5 }), fc.integer({ min: 1, max: 5000 }), (messages, step) => {
        const bytes = Buffer.concat(messages.map(encodeFrame));
        const decoder = new FrameDecoder();
        const found: unknown[] = [];
        for (let at = 0; at < bytes.length; at += step) found.push(...all(decoder, bytes.subarray(at, at + step)));
        assert.deepEqual(found, messages.map(plain));
      }),
      fuzz(100),
    );
  });

  it('are summed up as iSCSI does it', () => {
    // RFC 3720 B.4
    assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
    assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, n) => n)), 0x46dd_794e);
  });

  it('have no zero inside', () => {
    fc.assert(
      fc.property(anyMessage, (message) => encodeFrame(message).indexOf(0) === encodeFrame(message).length - 1),
      fuzz(100),
    );
  });

  it('are found again after anything', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3 * maxFrame }), anyMessage, (noise, message) => {
        const decoder = new FrameDecoder();
        [...decoder.push(noise)].forEach(() => undefined);
        assert.deepEqual(all(decoder, Buffer.concat([Uint8Array.of(0), encodeFrame(message)])).at(-1), plain(message));
      }),
      fuzz(100),
    );
  });

  it('that lost bytes, or have others, are dropped', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(), fc.nat(255), (message, where, byte) => {
        const frame = Buffer.from(encodeFrame(message));
        const at = where % (frame.length - 1);
        const cut = Buffer.concat([frame.subarray(0, at), frame.subarray(at + 1)]);
        assert.deepEqual(all(new FrameDecoder(), cut), []);
        if (frame[at] === byte) return;
        frame[at] = byte;
        assert.deepEqual(all(new FrameDecoder(), frame), []);
      }),
      fuzz(100),
    );
  });

  it('that are longer than any can be cost no memory', () => {
    const decoder = new FrameDecoder();
    for (let i = 0; i < 100; i++) assert.deepEqual(all(decoder, new Uint8Array(65_536).fill(7)), []);
    const message = { type: 1, id: 2, content: Uint8Array.of(3) };
    assert.deepEqual(all(decoder, Uint8Array.of(0)), []);
    assert.deepEqual(all(decoder, encodeFrame(message)), [plain(message)]);
  });
});
