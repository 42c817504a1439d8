/**
 * A guest's connection: the shared ring page and its event channel. After xen/include/public/io/xs_wire.h.
 *
 * The page belongs to the guest, who may change any of it at any time. Our own indices are kept here and only written there;
 * the guest's are read once each time, and what they promise is checked. A guest that breaks the rules finds the reason in
 * `error`, is not served any more, and may ask for a fresh start through `connection`.
 */
import {
  XENSTORE_CONNECTED,
  XENSTORE_ERROR_NONE,
  XENSTORE_ERROR_PROTO,
  XENSTORE_ERROR_RINGIDX,
  XENSTORE_RECONNECT,
  XENSTORE_RING_SIZE,
  XENSTORE_SERVER_FEATURE_ERROR,
  XENSTORE_SERVER_FEATURE_RECONNECTION,
  XENSTORE_SERVER_FEATURE_WATCHDEPTH,
  XenstoreDomainInterface,
} from '../../abi/io/xs-wire.ts';
import type { LocalPort } from '../../hypervisor/control.ts';
import type { Scheduler } from '../scheduler.ts';
import type { Session } from './session.ts';
import { MessageReader } from './wire.ts';

const at = XenstoreDomainInterface.at;
const mask = XENSTORE_RING_SIZE - 1;
const ringIndices = [at.req_cons, at.req_prod, at.rsp_cons, at.rsp_prod];
const serverFeatures =
  XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR | XENSTORE_SERVER_FEATURE_WATCHDEPTH;
/** Requests served before others get their turn. */
const REQUESTS_PER_PASS = 64;

export interface RingGlue {
  /** The ring page itself, not a copy. */
  readonly page: Uint8Array;
  readonly scheduler: Scheduler;
  newSession(onSettle: () => void): Session;
}

export class RingConnection {
  readonly session: Session;
  readonly #page: Uint8Array;
  readonly #words: Int32Array;
  readonly #scheduler: Scheduler;
  #port: LocalPort | undefined;
  #reader = new MessageReader();
  #reqCons: number;
  #rspProd: number;
  #state: 'serving' | 'ignoring' | 'closed' = 'serving';
  #busy = false;
  /** Ends the wait of a guest that has written too fast. */
  #late: (() => void) | undefined;

  constructor(glue: RingGlue) {
    this.#page = glue.page;
    this.#words = new Int32Array(glue.page.buffer, glue.page.byteOffset, glue.page.byteLength / 4);
    this.#scheduler = glue.scheduler;
    this.session = glue.newSession(() => this.#onSettle());
    // Introduction begins the ring anew, as xenstored does: what a saved guest left in it was meant for another store.
    this.#reqCons = this.#rspProd = 0;
    for (const index of ringIndices) this.#store(index, 0);
    this.#store(at.server_features, serverFeatures);
    this.#store(at.error, XENSTORE_ERROR_NONE);
    this.#store(at.connection, XENSTORE_CONNECTED);
  }

  /** Whose event calls `pump`; until there is one, nobody is told of anything. */
  set port(port: LocalPort) {
    this.#port = port;
  }

  /** Serves what there is to serve: called on every event from the guest. */
  pump(): void {
    if (this.#busy || this.#state === 'closed') return;
    this.#busy = true;
    try {
      if (this.#load(at.connection) === XENSTORE_RECONNECT) this.#reconnect();
      if (this.#pass()) this.#port?.notify();
    } finally {
      this.#busy = false;
    }
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.session.close();
    this.#late?.();
    this.#port?.close();
  }

  /** Sends, receives, sends. True when the guest must be told that something moved. */
  #pass(): boolean {
    let moved = false;
    for (let served = 0; this.#state === 'serving'; served++) {
      moved = this.#send() || moved;
      if (this.#mustWait()) break;
      if (served === REQUESTS_PER_PASS) {
        this.#scheduler.defer(() => this.pump());
        break;
      }
      const received = this.#receive();
      // A part is no end: Linux sends a header and its payload one after the other and signals only when it found the ring empty, so what came
      // while the header was taken is announced by nobody. The ring is left after our index was stored and nothing more was found.
      if (received === 'nothing') break;
      moved = true;
    }
    return moved;
  }

  /** A guest that has taken too much is not read from any further, until what it waits for has happened. */
  #mustWait(): boolean {
    const { outstanding, outbox, caller, host } = this.session;
    const { quotas } = host.store;
    if (outstanding.count >= quotas.outstanding) {
      outstanding.wait(() => this.#scheduler.defer(() => this.pump()));
      return true;
    }
    // It will signal when it has read what waits for it.
    if (outbox.bytes >= quotas.memory) return true;
    const delay = host.writeRate.delay(caller.domid);
    if (delay === 0) return false;
    this.#late ??= host.clock?.after(delay, () => {
      this.#late = undefined;
      this.pump();
    });
    return true;
  }

  /** Reads up to the end of one request, and serves it. */
  #receive(): 'nothing' | 'part' | 'request' {
    const available = (this.#load(at.req_prod) - this.#reqCons) >>> 0;
    if (available > XENSTORE_RING_SIZE) {
      this.#ignore(XENSTORE_ERROR_RINGIDX);
      return 'nothing';
    }
    let left = available;
    while (left > 0) {
      const start = this.#reqCons & mask;
      const piece = this.#page.subarray(at.req + start, at.req + Math.min(start + left, XENSTORE_RING_SIZE));
      const result = this.#reader.take(piece, 0);
      if (result === 'too long') {
        this.#ignore(XENSTORE_ERROR_PROTO);
        return 'part';
      }
      left -= result.taken;
      this.#reqCons = (this.#reqCons + result.taken) | 0;
      this.#store(at.req_cons, this.#reqCons);
      if (result.message) {
        this.session.handle(result.message);
        return 'request';
      }
    }
    return available > 0 ? 'part' : 'nothing';
  }

  #send(): boolean {
    const { outbox } = this.session;
    let sent = false;
    for (let bytes = outbox.peek(); bytes; bytes = outbox.peek()) {
      const used = (this.#rspProd - this.#load(at.rsp_cons)) >>> 0;
      if (used > XENSTORE_RING_SIZE) {
        this.#ignore(XENSTORE_ERROR_RINGIDX);
        break;
      }
      const start = this.#rspProd & mask;
      const count = Math.min(bytes.length, XENSTORE_RING_SIZE - used, XENSTORE_RING_SIZE - start);
      if (count === 0) break;
      this.#page.set(bytes.subarray(0, count), at.rsp + start);
      this.#rspProd = (this.#rspProd + count) | 0;
      this.#store(at.rsp_prod, this.#rspProd);
      outbox.consume(count);
      sent = true;
    }
    return sent;
  }

  #onSettle(): void {
    if (this.#state !== 'serving') {
      this.session.outbox.clear();
      return;
    }
    if (this.#busy) return; // the pass under way sends it
    if (this.#send()) this.#port?.notify();
  }

  #ignore(error: number): void {
    this.#state = 'ignoring';
    this.session.close();
    this.#store(at.error, error);
    this.#port?.notify();
  }

  /** xs_wire.h, XENSTORE_RECONNECT: everything of the old connection is forgotten, the ring begins anew. */
  #reconnect(): void {
    this.session.close();
    this.#reader = new MessageReader();
    this.#reqCons = this.#rspProd = 0;
    for (const index of ringIndices) this.#store(index, 0);
    this.#store(at.error, XENSTORE_ERROR_NONE);
    this.#store(at.connection, XENSTORE_CONNECTED);
    this.#state = 'serving';
    this.#port?.notify();
  }

  #load(offset: number): number {
    return Atomics.load(this.#words, offset >> 2);
  }

  #store(offset: number, value: number): void {
    Atomics.store(this.#words, offset >> 2, value | 0);
  }
}
