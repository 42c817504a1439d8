/**
 * The work that a frame may carry with it: finishing a checksum, cutting a large segment into pieces. Done here for whoever cannot
 * leave it to somebody else: a frontend without the feature, a real wire.
 */
import { checksumOffset, EtherType, headersOf, IpProtocol, tcpHeaderLength, type Headers } from './headers.ts';
import { keepFrame, type Frame } from './link.ts';
import { put16, put32, u16, u32 } from './packet/bytes.ts';
import { addBytes, finish, fold, pseudoHeader } from './packet/checksum.ts';

const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;

/** The same frame with its checksum finished, and nothing left to do; one that is to be segmented is not for this. */
export function finishChecksum(frame: Frame): Frame {
  const { checksum } = frame;
  if (checksum === undefined) return frame;
  // Copied before it is summed up: bytes that change in between would make the sum wrong.
  const { head, length } = keepFrame(frame);
  const field = checksum.start + checksum.offset;
  // UDP's 0 means that there is no checksum (RFC 768); 0xffff stands for the same sum.
  put16(head, field, finish(addBytes(0, head.subarray(checksum.start))) || 0xffff);
  return { head, fragments: [], length, verified: true };
}

/** The sum of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) for `length` bytes of transport header and payload. */
export function pseudoHeaderSum(head: Uint8Array, headers: Headers, length: number): number {
  const { etherType, network, protocol = 0 } = headers;
  const [first, size] = etherType === EtherType.IPv4 ? [network + 12, 4] : [network + 8, 16];
  const [source, destination] = [first, first + size].map((at) => head.subarray(at, at + size));
  return fold(pseudoHeader(source ?? head, destination ?? head, protocol, length));
}

/**
 * Cuts a large TCP segment into frames of at most `segmentation.size` bytes of payload each, whose checksums are pending. Other
 * frames, and what claims to be TCP and is not, come out as they are, without the claim.
 */
export function* segments(frame: Frame): Generator<Frame, void> {
  const { segmentation, ...plain } = frame;
  const headers = headersOf(frame.head);
  const tcpLength = tcpHeaderLength(frame.head, headers.transport);
  if (segmentation === undefined || tcpLength === undefined || !isTcp(headers)) return yield plain;
  const whole = keepFrame(frame).head;
  const payloadAt = headers.transport + tcpLength;
  const end = whole.length;
  for (let at = payloadAt; at < end || at === payloadAt; at += segmentation.size) {
    const next = Math.min(at + segmentation.size, end);
    const piece = new Uint8Array(payloadAt + next - at);
    piece.set(whole.subarray(0, payloadAt));
    piece.set(whole.subarray(at, next), payloadAt);
    rewrite(piece, headers, { index: (at - payloadAt) / segmentation.size, done: at - payloadAt, last: next === end });
    yield {
      head: piece,
      fragments: [],
      length: piece.length,
      checksum: { start: headers.transport, offset: checksumOffset(piece, headers) ?? 0 },
    };
  }
}

/** Whether a frame's headers are those of a TCP segment that can be cut. */
export function isTcp({ protocol, fragment }: Headers): boolean {
  return protocol === IpProtocol.TCP && !fragment;
}

/** What differs from piece to piece (linux: net/ipv4/tcp_offload.c, tcp_gso_segment; af_inet.c, inet_gso_segment). */
function rewrite(
  piece: Uint8Array,
  headers: Headers,
  { index, done, last }: { readonly index: number; readonly done: number; readonly last: boolean },
): void {
  const { etherType, network, transport } = headers;
  const transportLength = piece.length - transport;
  if (etherType === EtherType.IPv4) {
    put16(piece, network + 2, piece.length - network);
    put16(piece, network + 4, (u16(piece, network + 4) + index) & 0xffff);
    put16(piece, network + 10, 0);
    put16(piece, network + 10, finish(addBytes(0, piece.subarray(network, transport))));
  } else {
    put16(piece, network + 4, piece.length - network - 40);
  }
  put32(piece, transport + 4, (u32(piece, transport + 4) + done) >>> 0);
  const flags = piece[transport + 13] ?? 0;
  piece[transport + 13] = flags & (index === 0 ? 0xff : ~CWR) & (last ? 0xff : ~(FIN | PSH));
  put16(piece, transport + 16, pseudoHeaderSum(piece, headers, transportLength));
}
