/** Our daemon in a conversation (store-conversation.ts): programs on its socket, domains on their rings, all in one process. */
import { XsMessage } from '../../abi/io/xs-wire.ts';
import { encodeMessage, textOf } from '../xenstore/wire.ts';
import { Xenstored } from '../xenstore/xenstored.ts';
import { FakeHypervisor, type FakeDomain } from './fake-hypervisor.ts';
import { bytesOfVisible, visible } from './store-conversation.ts';
import { StreamClient } from './stream-client.ts';
import { XenstoreFrontend } from './xenstore-frontend.ts';

/** As many domains as a conversation has numbers for. */
const domids = [1, 2, 3, 4, 5, 6];

export class RecordedStore {
  readonly xenstored: Xenstored;
  readonly #hypervisor = new FakeHypervisor();
  readonly #domains = new Map<number, FakeDomain>();
  readonly #programs = new Map<string, StreamClient>();
  readonly #rings = new Map<string, XenstoreFrontend>();
  readonly #events = new Map<string, string[]>();

  constructor() {
    for (const domid of domids) {
      const domain = this.#hypervisor.add(domid);
      domain.allocUnbound();
      this.#domains.set(domid, domain);
    }
    this.xenstored = new Xenstored(this.#hypervisor);
  }

  /** The answer as conversations write it; an error by its name. Lists are sorted. */
  call(connection: string, type: string, payload: string, txId: number): string {
    const number = type.startsWith('#') ? Number(type.slice(1)) : XsMessage[`XS_${type}` as keyof typeof XsMessage];
    const bytes = bytesOfVisible(payload);
    const reply = /\d/.test(connection)
      ? this.#onRing(connection, number, bytes, txId)
      : this.#onStream(connection, number, bytes, txId);
    const text = visible(reply.payload);
    if (reply.type === XsMessage.XS_ERROR) return text.slice(0, -1);
    if (type === 'INTRODUCE') this.#connect(payload);
    if (type === 'RELEASE') this.#rings.delete(payload.slice(0, -1));
    return type === 'DIRECTORY' ? sorted(text) : text;
  }

  command(what: string, domid: string): void {
    this.#hypervisor.end(Number(domid), what === 'kill' ? 'gone' : 'shutdown');
    if (what === 'kill') this.#rings.delete(domid);
  }

  /** Events that have come to anybody since the last call. */
  events(): string[] {
    for (const [name, client] of this.#programs) this.#take(name, client.events());
    for (const [name, ring] of this.#rings) {
      this.#take(
        name,
        ring.events().map((strings) => strings.join('|')),
      );
    }
    const all = [...this.#events].sort(([a], [b]) => (a < b ? -1 : 1));
    this.#events.clear();
    return all.flatMap(([name, events]) => events.map((event) => `${name} ${event}`));
  }

  #take(name: string, events: readonly string[]): void {
    if (events.length > 0) this.#events.set(name, [...(this.#events.get(name) ?? []), ...events]);
  }

  #onStream(name: string, type: number, payload: Uint8Array, txId: number): { type: number; payload: Uint8Array } {
    let client = this.#programs.get(name);
    if (!client) this.#programs.set(name, (client = new StreamClient(this.xenstored)));
    client.connection.receive(encodeMessage({ type, reqId: 1, txId, payload }));
    const at = client.received.findIndex((message) => message.type !== XsMessage.XS_WATCH_EVENT);
    const [reply] = at < 0 ? [] : client.received.splice(at, 1);
    if (!reply) throw new Error('no reply');
    return reply;
  }

  #onRing(name: string, type: number, payload: Uint8Array, txId: number): { type: number; payload: Uint8Array } {
    const ring = this.#rings.get(name);
    if (!ring) throw new Error(`domain ${name} has no connection`);
    ring.send(encodeMessage({ type, reqId: 1, txId, payload }));
    let reply: { type: number; payload: Uint8Array } | undefined;
    for (const message of ring.receive()) {
      if (message.type === XsMessage.XS_WATCH_EVENT) {
        this.#take(name, [textOf(message.payload).slice(0, -1).replaceAll('\0', '|')]);
      } else reply = message;
    }
    if (!reply) throw new Error('no reply');
    return reply;
  }

  #connect(payload: string): void {
    const [domid = '', mfn] = payload.split('|');
    const domain = this.#domains.get(Number(domid));
    if (domain) this.#rings.set(domid, new XenstoreFrontend(domain, Number(mfn), 1));
  }
}

function sorted(list: string): string {
  return list
    .split('|')
    .slice(0, -1)
    .sort()
    .map((name) => `${name}|`)
    .join('');
}
