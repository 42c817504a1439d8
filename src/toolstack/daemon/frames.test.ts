import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeAnswer, encodeData, encodeMessage, FrameReader, maxAnswer, maxFrame } from './frames.ts';

const frames = [{ id: 1, method: 'list', params: { domid: 3 } }, { text: 'größe' }];

describe('messages on the socket', () => {
  it('come out as they went in, however the bytes are cut', () => {
    const bytes = Buffer.concat([...frames.map(encodeMessage), encodeData(Buffer.from('\x1b[6n'))]);
    for (const size of [1, 3, 7, bytes.length]) {
      const reader = new FrameReader();
      const found: unknown[] = [];
      let data = '';
      for (let at = 0; at < bytes.length; at += size) {
        for (const frame of reader.push(bytes.subarray(at, at + size))) {
          if (frame.kind === 'message') found.push(frame.message);
          else data += Buffer.from(frame.bytes).toString('latin1');
        }
      }
      assert.deepEqual(found, frames);
      assert.equal(data, '\x1b[6n');
    }
  });

  it("are taken up to the reader's own limit, and may come in very many pieces", () => {
    const message = { id: 1, result: { text: 'x'.repeat(8 * maxFrame) } };
    const bytes = encodeAnswer(message);
    const reader = new FrameReader(maxAnswer);
    const found: unknown[] = [];
    for (let at = 0; at < bytes.length; at += 1000)
      for (const frame of reader.push(bytes.subarray(at, at + 1000)))
        found.push(frame.kind === 'message' ? frame.message : frame.bytes);
    assert.deepEqual(found, [message]);
    assert.throws(() => [...new FrameReader().push(bytes)], { name: 'FrameError' });
    assert.throws(() => encodeMessage(message), { name: 'FrameError' });
  });

  const broken: readonly [string, Buffer][] = [
    ['too long', header(maxFrame + 1, 0)],
    ['without a kind', header(0, 0)],
    ['of an unknown kind', Buffer.concat([header(2, 9), Buffer.from('x')])],
    ['that are not JSON', Buffer.concat([header(2, 0), Buffer.from('x')])],
    ['that are no object', Buffer.concat([header(3, 0), Buffer.from('[]')])],
  ];
  for (const [name, bytes] of broken) {
    it(`${name} end the connection`, () => {
      assert.throws(() => [...new FrameReader().push(bytes)], { name: 'FrameError' });
    });
  }

  it('that would be too long are not sent', () => {
    assert.throws(() => encodeData(new Uint8Array(maxFrame)), { name: 'FrameError' });
  });
});

function header(length: number, kind: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32LE(length);
  bytes.writeUInt8(kind, 4);
  return bytes;
}
