import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { EtherType, headersOf, IpProtocol } from './headers.ts';
import type { Frame } from './link.ts';
import { finishChecksum, pseudoHeaderSum, segments } from './offload.ts';
import { put16, u16, u32 } from './packet/bytes.ts';
import { addBytes, finish, fold } from './packet/checksum.ts';
import { tcpFrame, udpFrame } from './testing/frames.ts';

/** 0 when the transport checksum of a finished frame is right. */
function residue(frame: Frame): number {
  const headers = headersOf(frame.head);
  const { transport } = headers;
  const sum = addBytes(pseudoHeaderSum(frame.head, headers, frame.length - transport), frame.head.subarray(transport));
  return finish(sum);
}

it('finishes a checksum over head and fragments', () => {
  for (const v6 of [false, true]) {
    for (const make of [tcpFrame, udpFrame]) {
      const whole = make({ v6, payload: 999 });
      const frame: Frame = {
        ...whole,
        head: whole.head.subarray(0, 301),
        fragments: [whole.head.subarray(301, 302), whole.head.subarray(302)],
      };
      assert.notEqual(residue(whole), 0);
      const finished = finishChecksum(frame);
      assert.equal(residue(finished), 0);
      assert.deepEqual([finished.checksum, finished.verified, finished.length], [undefined, true, frame.length]);
    }
  }
});

it('sends 0xffff for a checksum of 0, since 0 stands for none in UDP', () => {
  const frame = udpFrame({ payload: 2 });
  const headers = headersOf(frame.head);
  // With the payload the sum becomes 0xffff, and its complement 0.
  put16(frame.head, frame.length - 2, 0);
  put16(frame.head, frame.length - 2, finish(addBytes(0, frame.head.subarray(headers.transport))));
  const { head } = finishChecksum(frame);
  assert.equal(u16(head, headers.transport + 6), 0xffff);
});

it('cuts a large segment into ones whose lengths, numbers, flags and checksums are right', () => {
  const arbitrary = fc.record({
    v6: fc.boolean(),
    vlan: fc.boolean(),
    payload: fc.integer({ min: 1, max: 9000 }),
    size: fc.integer({ min: 1, max: 3000 }),
    options: fc.integer({ min: 0, max: 10 }),
    sequence: fc.integer({ min: 0, max: 0xffffffff }),
  });
  fc.assert(
    fc.property(arbitrary, ({ size, ...shape }) => {
      fc.pre(shape.payload / size < 200);
      const large = tcpFrame({ ...shape, flags: 0x99 });
      const type = shape.v6 ? 'tcpv6' : 'tcpv4';
      const pieces = [...segments({ ...large, segmentation: { type, size } })].map(finishChecksum);
      assert.equal(pieces.length, Math.ceil(shape.payload / size));
      const payload: number[] = [];
      pieces.forEach((piece, i) => {
        const headers = headersOf(piece.head);
        const { network, transport } = headers;
        const last = i === pieces.length - 1;
        assert.equal(residue(piece), 0);
        const first = u32(large.head, transport + 4);
        const sequence = u32(piece.head, transport + 4);
        assert.equal(sequence, (first + i * size) % 2 ** 32);
        assert.equal(piece.head[transport + 13], 0x10 | (i === 0 ? 0x80 : 0) | (last ? 0x09 : 0));
        if (shape.v6) {
          assert.equal(u16(piece.head, network + 4), piece.length - network - 40);
        } else {
          assert.equal(u16(piece.head, network + 2), piece.length - network);
          assert.equal(fold(addBytes(0, piece.head.subarray(network, transport))), 0xffff);
          assert.equal(u16(piece.head, network + 4), (u16(large.head, network + 4) + i) & 0xffff);
        }
        payload.push(...piece.head.subarray(transport + 20 + 4 * shape.options));
      });
      assert.deepEqual(Uint8Array.from(payload), large.head.subarray(large.length - shape.payload));
    }),
    { numRuns: 60 },
  );
});

it('leaves alone what is no TCP', () => {
  const frame: Frame = { ...udpFrame({ payload: 100 }), segmentation: { type: 'tcpv4', size: 10 } };
  const [only, ...more] = segments(frame);
  assert.deepEqual([only?.segmentation, only?.head, more.length], [undefined, frame.head, 0]);
});

it('finds headers behind VLAN tags and extension headers, and none in what is cut off', () => {
  const { head } = tcpFrame({ v6: true, vlan: true, payload: 10 });
  const { etherType, network, protocol, transport } = headersOf(head);
  assert.deepEqual([etherType, network, protocol, transport], [EtherType.IPv6, 18, IpProtocol.TCP, 58]);
  // A hop-by-hop header of 16 bytes, then one that says it is a fragment.
  const extended = new Uint8Array(14 + 40 + 16 + 8 + 20);
  extended.set([0x86, 0xdd, 0x60], 12);
  extended[14 + 6] = IpProtocol.hopByHop;
  extended.set([IpProtocol.fragment, 1], 54);
  extended.set([IpProtocol.TCP, 0, 0, 8], 70);
  assert.deepEqual(headersOf(extended), {
    etherType: EtherType.IPv6,
    network: 14,
    protocol: IpProtocol.TCP,
    transport: 78,
    fragment: true,
  });
  for (const length of [0, 13, 14, 20, 53, 60, 75])
    assert.equal(headersOf(extended.subarray(0, length)).protocol, undefined);
});

it('is never surprised by a frame', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 15, maxLength: 300 }),
      fc.boolean(),
      fc.integer({ min: 1 }),
      (head, v6, size) => {
        head.set(v6 ? [0x86, 0xdd, 0x60 | ((head[14] ?? 0) & 15)] : [8, 0, 0x45], 12);
        const { transport } = headersOf(head.subarray(0, head.length));
        assert.ok(transport >= 0);
        for (const piece of segments({
          head,
          fragments: [],
          length: head.length,
          segmentation: { type: 'tcpv4', size },
        }))
          assert.ok(piece.length <= head.length);
      },
    ),
  );
});
