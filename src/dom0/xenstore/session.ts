/** One client's state in the store: who it is, its watches, its transactions, what is to be sent to it. The transport is not here. */
import { XENSTORE_PAYLOAD_MAX, XsMessage, type XsError } from '../../abi/io/xs-wire.ts';
import { messages } from './messages.ts';
import { isXsError } from './operations.ts';
import { Outbox } from './outbox.ts';
import { domainPath, formatPath, isSpecial, parsePath, type Path } from './path.ts';
import type { Caller } from './permissions.ts';
import type { Store } from './store.ts';
import type { Transaction } from './transaction.ts';
import type { Watch, Watcher } from './watches.ts';
import { bytesOf, encodeMessage, joinStrings, textOf, type Message } from './wire.ts';

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
  /** XS_CONTROL */
  control(command: string, args: readonly string[]): string | undefined;
  /** Sees every request, for an access log. */
  trace?(connection: string, request: string, detail: string): void;
}

const ok = bytesOf('OK\0');

export class Session implements Watcher {
  readonly outbox = new Outbox();
  readonly host: SessionHost;
  /** `D1` for a domain's connection, `A7` for others, as oxenstored's access log has them. */
  readonly name: string;
  caller: Caller;
  readonly #onSettle: () => void;
  readonly #watches = new Map<string, Watch>();
  readonly #transactions = new Map<number, Transaction>();
  #nextTransaction = 1;

  constructor(host: SessionHost, name: string, caller: Caller, onSettle: () => void) {
    this.host = host;
    this.name = name;
    this.caller = caller;
    this.#onSettle = onSettle;
  }

  /** Answers a request, into the outbox, and lets everybody know what it changed. */
  handle(message: Message): void {
    const result = this.#run(message);
    const failed = isXsError(result);
    const payload = failed ? joinStrings([result]) : (result ?? ok);
    const { reqId, txId } = message;
    const reply =
      payload.length > XENSTORE_PAYLOAD_MAX
        ? { type: XsMessage.XS_ERROR, reqId, txId, payload: joinStrings(['E2BIG']) }
        : { type: failed ? XsMessage.XS_ERROR : message.type, reqId, txId, payload };
    this.outbox.reply(encodeMessage(reply));
    this.host.store.settle();
  }

  event(path: string, token: string): void {
    const message = () => ({ type: XsMessage.XS_WATCH_EVENT, reqId: 0, txId: 0, payload: joinStrings([path, token]) });
    this.outbox.event(`${path}\0${token}`, () => encodeMessage(message()));
  }

  settle(): void {
    this.#onSettle();
  }

  path(text: string): Path | undefined {
    return parsePath(text, this.caller.domid);
  }

  addWatch(text: string, token: string): XsError | undefined {
    const path = this.path(text);
    if (!path && !isSpecial(text)) return 'EINVAL';
    const key = watchKey(text, path, token);
    if (this.#watches.has(key)) return 'EEXIST';
    const { quotas } = this.host.store;
    if (!this.caller.privileged && this.#watches.size >= quotas.watches) return 'E2BIG';
    const relative = !text.startsWith('/') && !isSpecial(text);
    const baseLength = relative ? domainPath(this.caller.domid).length + 1 : 0;
    const watch = { watcher: this, token, text, path: isSpecial(text) ? undefined : path, baseLength };
    this.#watches.set(key, watch);
    this.host.store.addWatch(watch);
    return undefined;
  }

  removeWatch(text: string, token: string): XsError | undefined {
    const key = watchKey(text, this.path(text), token);
    const watch = this.#watches.get(key);
    if (!watch) return 'ENOENT';
    this.#watches.delete(key);
    this.host.store.removeWatch(watch);
    return undefined;
  }

  beginTransaction(): number | XsError {
    const { quotas } = this.host.store;
    if (!this.caller.privileged && this.#transactions.size >= quotas.transactions) return 'ENOSPC';
    while (this.#nextTransaction === 0 || this.#transactions.has(this.#nextTransaction)) this.#countTransaction();
    const id = this.#nextTransaction;
    this.#countTransaction();
    this.#transactions.set(id, this.host.store.begin());
    return id;
  }

  endTransaction(id: number, commit: boolean): XsError | undefined {
    const transaction = this.#transactions.get(id);
    if (!transaction) return 'ENOENT';
    this.#transactions.delete(id);
    return commit ? this.host.store.commit(transaction, this.caller) : undefined;
  }

  /** Forgets watches and transactions: XS_RESET_WATCHES, or the end of the connection. */
  reset(): void {
    for (const watch of this.#watches.values()) this.host.store.removeWatch(watch);
    this.#watches.clear();
    this.#transactions.clear();
  }

  #run(message: Message): Uint8Array | undefined | XsError {
    const row = messages.get(message.type);
    if (!row) return 'ENOSYS';
    const txId = row.transaction === 'ignored' ? 0 : message.txId;
    this.host.trace?.(txId ? `${this.name}.${txId}` : this.name, row.name, textOf(message.payload));
    if (row.privileged && !this.caller.privileged) return 'EACCES';
    const transaction = this.#transactions.get(txId);
    if (txId !== 0 && !transaction) return 'ENOENT';
    return row.run({ session: this, view: transaction ?? this.host.store, txId }, message.payload);
  }

  #countTransaction(): void {
    this.#nextTransaction = (this.#nextTransaction + 1) >>> 0;
  }
}

/** Two watches are the same when they name the same node with the same token, however the path was written. */
function watchKey(text: string, path: Path | undefined, token: string): string {
  return `${path ? formatPath(path) : text}\0${token}`;
}
