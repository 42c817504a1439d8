/**
 * The name server that guests are told: it passes their questions on to the host's resolvers and the answers back, unchanged. It understands no
 * more of a message (RFC 1035, section 4.1.1) than its number. Questions over TCP go through the NAT like other connections.
 */
import { u16 } from '../packet/bytes.ts';
import type { Timers } from '../timers.ts';
import type { HostAddress, HostDatagrams, HostSockets } from './host-sockets.ts';

export interface DnsRelayOptions {
  readonly timers: Timers;
  readonly sockets: Pick<HostSockets, 'openUdp'>;
  readonly resolvers: () => readonly HostAddress[];
}

const HEADER = 12;
const MOST_QUESTIONS = 256;
/** A resolver that has not answered by then is passed over for the next. */
const PATIENCE_MS = 2000;
const ANSWER_FLAG = 0x80;
const RECURSION_AVAILABLE = 0x80;
const SERVER_FAILURE = 2;

export class DnsRelay {
  readonly #o: DnsRelayOptions;
  readonly #open = new Set<() => void>();

  constructor(options: DnsRelayOptions) {
    this.#o = options;
  }

  ask(question: Uint8Array, answer: (bytes: Uint8Array) => void): void {
    if (question.length < HEADER || ((question[2] ?? 0) & ANSWER_FLAG) !== 0 || this.#open.size >= MOST_QUESTIONS)
      return;
    const resolvers = this.#o.resolvers();
    this.#askOne(question, resolvers, 0, answer);
  }

  /** A socket of its own, hence a port of its own, for each question: answers are hard to guess. */
  #askOne(
    question: Uint8Array,
    resolvers: readonly HostAddress[],
    index: number,
    answer: (bytes: Uint8Array) => void,
  ): void {
    const resolver = resolvers[index];
    if (resolver === undefined) {
      answer(failure(question));
      return;
    }
    const done = (): void => {
      cancel();
      this.#open.delete(done);
      socket.close();
    };
    const next = (): void => {
      if (!this.#open.has(done)) return;
      done();
      this.#askOne(question, resolvers, index + 1, answer);
    };
    const socket: HostDatagrams = this.#o.sockets.openUdp(resolver.address.includes(':') ? 6 : 4, {
      received: (bytes, from) => {
        const right = from.port === resolver.port && from.address === resolver.address;
        if (!right || bytes.length < HEADER || u16(bytes, 0) !== u16(question, 0) || !this.#open.has(done)) return;
        done();
        answer(bytes);
      },
      failed: next,
    });
    const cancel = this.#o.timers.after(PATIENCE_MS, next);
    this.#open.add(done);
    socket.send(question, resolver);
  }

  close(): void {
    for (const done of [...this.#open]) done();
  }
}

/** "Server failure", so that the guest does not wait. */
function failure(question: Uint8Array): Uint8Array {
  const bytes = question.slice();
  bytes[2] = (bytes[2] ?? 0) | ANSWER_FLAG;
  bytes[3] = RECURSION_AVAILABLE | SERVER_FAILURE;
  return bytes;
}
