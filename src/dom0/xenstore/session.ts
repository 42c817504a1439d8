/** One client's state in the store: who it is, its watches, its transactions, what is to be sent to it. The transport is not here. */
import { XENSTORE_PAYLOAD_MAX, XsMessage, type XsError } from '../../abi/io/xs-wire.ts';
import type { Clock } from '../scheduler.ts';
import { messages, type Reply } from './messages.ts';
import { isXsError } from './operations.ts';
import { Outbox } from './outbox.ts';
import { Outstanding, type OpenRequest } from './outstanding.ts';
import { domainPath, formatPath, isSpecial, parsePath, type Path } from './path.ts';
import type { Caller } from './permissions.ts';
import type { Store } from './store.ts';
import type { Transaction } from './transaction.ts';
import type { Cause, Watch, Watcher } from './watches.ts';
import { bytesOf, encodeMessage, joinStrings, textOf, type Message } from './wire.ts';
import type { WriteRate } from './write-rate.ts';

/** The domains that the store serves: what the requests about domains do. Errors are for the caller, who is privileged. */
export interface DomainRegistry {
  introduce(domid: number, mfn: number, port: number): XsError | undefined;
  release(domid: number): XsError | undefined;
  isIntroduced(domid: number): boolean;
  resume(domid: number): XsError | undefined;
  setTarget(domid: number, target: number): XsError | undefined;
}

/** What a session needs of the daemon it belongs to. */
export interface SessionHost {
  readonly store: Store;
  readonly domains: DomainRegistry;
  readonly clock: Clock | undefined;
  readonly writeRate: WriteRate;
  /** XS_CONTROL */
  control(command: string, args: readonly string[]): Reply;
  log(line: string): void;
  /** Hears of our own mistakes; the client gets EIO. */
  bug(error: unknown): void;
  /** Sees every request, for an access log. */
  readonly trace: ((connection: string, request: string, detail: string) => void) | undefined;
}

/** xenstored's default for `--timeout watch-event`: how long an event waits for a guest that does not read. */
const EVENT_TIMEOUT_MS = 20_000;
/** Between two warnings about the same guest. */
const WARN_EVERY_MS = 10_000;
const ok = bytesOf('OK\0');

export class Session implements Watcher {
  readonly outbox = new Outbox();
  readonly outstanding = new Outstanding();
  readonly host: SessionHost;
  /** `D1` for a domain's connection, `A7` for others, as oxenstored's access log has them. */
  readonly name: string;
  caller: Caller;
  readonly #onSettle: () => void;
  readonly #watches = new Map<string, Watch>();
  #watchBytes = 0;
  readonly #transactions = new Map<number, Transaction>();
  #nextTransaction = 1;
  #expiry: (() => void) | undefined;
  #warned = -Infinity;
  #large = false;

  constructor(host: SessionHost, name: string, caller: Caller, onSettle: () => void) {
    this.host = host;
    this.name = name;
    this.caller = caller;
    this.#onSettle = onSettle;
  }

  get watches(): number {
    return this.#watches.size;
  }

  get transactions(): number {
    return this.#transactions.size;
  }

  /** Bytes that the session takes up: what the quota `memory` limits. */
  get memory(): number {
    let bytes = this.outbox.bytes + this.#watchBytes;
    for (const transaction of this.#transactions.values()) bytes += transaction.bytes;
    return bytes;
  }

  /** Answers a request, into the outbox, and lets everybody know what it changed. */
  handle(message: Message): void {
    const { store } = this.host;
    const request = this.caller.privileged ? undefined : this.outstanding.begin();
    store.cause = request;
    try {
      this.#answer(message, this.#guarded(message), request);
      store.settle();
    } finally {
      store.cause = undefined;
    }
    if (request) this.#warn();
  }

  event(path: string, token: string, cause?: Cause): void {
    const key = `${path}\0${token}`;
    if (key.length + 1 > XENSTORE_PAYLOAD_MAX || (!isSpecial(path) && this.outbox.waits(key))) return;
    const payload = joinStrings([path, token]);
    const bytes = encodeMessage({ type: XsMessage.XS_WATCH_EVENT, reqId: 0, txId: 0, payload });
    if (this.caller.privileged) {
      this.outbox.event(key, bytes);
      return;
    }
    // A guest that reads too little loses events, as xenstored's does, and nobody else anything.
    if (this.memory + bytes.length > this.host.store.quotas.memory) return;
    const { clock } = this.host;
    cause?.hold();
    this.outbox.event(key, bytes, {
      until: clock ? clock.now() + EVENT_TIMEOUT_MS : Infinity,
      ...(cause ? { done: () => cause.release() } : {}),
    });
    this.#expireLater();
  }

  settle(): void {
    this.#onSettle();
  }

  path(text: string): Path | undefined {
    return parsePath(text, this.caller.domid, this.host.store.quotas['path-max']);
  }

  addWatch(text: string, token: string, depth?: number): XsError | undefined {
    const { quotas } = this.host.store;
    const path = this.path(text);
    if (!path && !(isSpecial(text) && text.length <= quotas['path-max'])) return 'EINVAL';
    const key = watchKey(text, path, token);
    if (this.#watches.has(key)) return 'EEXIST';
    if (!this.caller.privileged) {
      if (this.#watches.size > quotas.watches) return 'E2BIG';
      if (this.memory + key.length > quotas.memory) return 'ENOMEM';
    }
    const relative = !text.startsWith('/') && !isSpecial(text);
    const baseLength = relative ? domainPath(this.caller.domid).length + 1 : 0;
    const watch = { watcher: this, token, text, path, baseLength, depth };
    this.#watches.set(key, watch);
    this.#watchBytes += key.length;
    this.host.store.addWatch(watch);
    return undefined;
  }

  removeWatch(text: string, token: string): XsError | undefined {
    const key = watchKey(text, this.path(text), token);
    const watch = this.#watches.get(key);
    if (!watch) return 'ENOENT';
    this.#watches.delete(key);
    this.#watchBytes -= key.length;
    this.host.store.removeWatch(watch);
    return undefined;
  }

  beginTransaction(): number | XsError {
    const { store } = this.host;
    if (!this.caller.privileged && this.#transactions.size > store.quotas.transactions) return 'ENOSPC';
    while (this.#nextTransaction === 0 || this.#transactions.has(this.#nextTransaction)) this.#countTransaction();
    const id = this.#nextTransaction;
    this.#countTransaction();
    this.#transactions.set(
      id,
      store.begin(this.caller, () => this.memory < store.quotas.memory),
    );
    store.openTransactions++;
    return id;
  }

  endTransaction(id: number, commit: boolean): XsError | undefined {
    const transaction = this.#transactions.get(id);
    if (!transaction) return 'ENOENT';
    const { store, writeRate } = this.host;
    this.#transactions.delete(id);
    store.openTransactions--;
    if (!commit) return undefined;
    const refused = store.commit(transaction);
    if (!refused && transaction.log.length > 0) writeRate.written(this.caller, store.openTransactions);
    return refused;
  }

  /** Forgets watches and transactions: XS_RESET_WATCHES, or the end of the connection. */
  reset(): void {
    for (const watch of this.#watches.values()) this.host.store.removeWatch(watch);
    this.#watches.clear();
    this.#watchBytes = 0;
    this.host.store.openTransactions -= this.#transactions.size;
    this.#transactions.clear();
  }

  /** The end: nothing waits any longer, here or because of it. */
  close(): void {
    this.reset();
    this.outbox.clear();
    this.#expiry?.();
    this.#expiry = undefined;
  }

  /** Whatever goes wrong here costs one request its answer, and nobody their connection. */
  #guarded(message: Message): Reply {
    try {
      return this.#run(message);
    } catch (error) {
      this.host.bug(error);
      return 'EIO';
    }
  }

  #run(message: Message): Reply {
    const row = messages.get(message.type);
    if (!row) return 'ENOSYS';
    const txId = row.ignoresTransaction ? 0 : message.txId;
    this.host.trace?.(txId ? `${this.name}.${txId}` : this.name, row.name, textOf(message.payload));
    if (row.privileged && !this.caller.privileged) return 'EACCES';
    const transaction = this.#transactions.get(txId);
    if (txId !== 0 && !transaction) return 'ENOENT';
    const result = row.run({ session: this, view: transaction ?? this.host.store, txId }, message.payload);
    if (row.writes && !transaction && !isXsError(result)) {
      this.host.writeRate.written(this.caller, this.host.store.openTransactions);
    }
    return result;
  }

  #answer({ type, reqId, txId }: Message, result: Reply, request?: OpenRequest): void {
    const answer = result instanceof Uint8Array && result.length > XENSTORE_PAYLOAD_MAX ? 'E2BIG' : (result ?? ok);
    const message = isXsError(answer)
      ? { type: XsMessage.XS_ERROR, reqId, txId, payload: joinStrings([answer]) }
      : { type, reqId, txId, payload: answer };
    const reply = encodeMessage(message);
    this.outbox.reply(reply, request && (() => request.release()));
  }

  /** Tells the administrator of a guest that takes up much, once it does and once it does no more. */
  #warn(): void {
    const { store, clock } = this.host;
    const large = this.memory >= store.softQuotas.memory;
    const now = clock?.now() ?? 0;
    if (large === this.#large || now - this.#warned < WARN_EVERY_MS) return;
    this.#large = large;
    this.#warned = now;
    this.host.log(`domain ${this.caller.domid} ${large ? 'exceeds soft' : 'is below soft'} memory quota`);
  }

  #expireLater(): void {
    const { clock } = this.host;
    if (!clock || this.#expiry) return;
    const check = (): void => {
      this.#expiry = undefined;
      const next = this.outbox.expire(clock.now());
      if (next !== undefined) this.#expiry = clock.after(next - clock.now(), check);
    };
    this.#expiry = clock.after(EVENT_TIMEOUT_MS, check);
  }

  #countTransaction(): void {
    this.#nextTransaction = (this.#nextTransaction + 1) >>> 0;
  }
}

/** Two watches are the same when they name the same node with the same token, however the path was written. */
function watchKey(text: string, path: Path | undefined, token: string): string {
  return `${path ? formatPath(path) : text}\0${token}`;
}
