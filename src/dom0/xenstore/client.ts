/**
 * The store as programs of domain 0 use it: the toolstack and the backends, which live in the same process. No messages, no waiting.
 *
 *   const xs = xenstored.client();
 *   xs.write('/local/domain/1/name', 'web');
 *   xs.transaction((t) => { t.write('a/b', '1'); t.setPerms('a/b', 'n1,r0'); });
 *   const stop = xs.watch('backend/vbd', (path) => …);
 *
 * A watch's callback runs after the code that caused the event, never within it.
 */
import type { XsError } from '../../abi/io/xs-wire.ts';
import type { Scheduler } from '../scheduler.ts';
import { directory, getPerms, isXsError, mkdir, read, readPermissions, rm, setPerms, write } from './operations.ts';
import { domainPath, isSpecial, parsePath, specialPath, type Path } from './path.ts';
import { formatPermissions, type Caller } from './permissions.ts';
import type { Store } from './store.ts';
import type { View } from './view.ts';
import type { Watch, Watcher } from './watches.ts';

/** The store refused; `code` is what a client on the wire would read. */
export class XenstoreError extends Error {
  override readonly name = 'XenstoreError';
  readonly code: XsError;

  constructor(code: XsError, what: string) {
    super(`xenstore: ${what}: ${code}`);
    this.code = code;
  }
}

/** Paths are absolute or relative to the client's domain. What is refused throws XenstoreError. */
export interface XenstoreView {
  /** Undefined when there is no such node; `''` when it has no value. */
  read(path: string): string | undefined;
  readBytes(path: string): Uint8Array | undefined;
  exists(path: string): boolean;
  /** Creates missing parents. */
  write(path: string, value: string | number | Uint8Array): void;
  mkdir(path: string): void;
  /** With everything below; a path that does not exist is fine. */
  rm(path: string): void;
  /** Names of the children, sorted; undefined when there is no such node. */
  ls(path: string): string[] | undefined;
  /** As `n0,r1`; undefined when there is no such node. */
  getPerms(path: string): string | undefined;
  setPerms(path: string, perms: string): void;
}

export interface Xenstore extends XenstoreView {
  /** All or nothing; `body` throwing means nothing. Nobody sees a state in between. */
  transaction<T>(body: (view: XenstoreView) => T): T;
  /** As `transaction`, with a body that waits for things; it runs again when others changed what it depends on. */
  transactionAsync<T>(body: (view: XenstoreView) => Promise<T>): Promise<T>;
  /** Calls back once soon, and after every change of the node or below it. Returns what ends it. */
  watch(path: string, callback: (path: string) => void): () => void;
  /** Resolves with what `accept` makes of the node's value as soon as that is not undefined. */
  until<T>(path: string, accept: (value: string | undefined) => T | undefined, options?: UntilOptions): Promise<T>;
  /** Ends all watches. */
  close(): void;
}

/** The part of AbortSignal that is used here. */
export interface Cancellation {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}
export interface UntilOptions {
  readonly signal?: Cancellation;
}

export interface ClientGlue {
  readonly store: Store;
  readonly scheduler: Scheduler;
  readonly caller: Caller;
  /** A watch's callback threw. */
  onError(error: unknown): void;
}

const MAX_ATTEMPTS = 100;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

class ViewClient implements XenstoreView {
  readonly caller: Caller;
  readonly #view: View;
  readonly #done: () => void;

  constructor(view: View, caller: Caller, done: () => void) {
    this.#view = view;
    this.caller = caller;
    this.#done = done;
  }

  read(path: string): string | undefined {
    const value = this.readBytes(path);
    return value && decoder.decode(value);
  }

  readBytes(path: string): Uint8Array | undefined {
    return this.#ifThere('read', path, (p) => read(this.#view, this.caller, p));
  }

  exists(path: string): boolean {
    return this.readBytes(path) !== undefined;
  }

  write(path: string, value: string | number | Uint8Array): void {
    const bytes = value instanceof Uint8Array ? value.slice() : encoder.encode(String(value));
    this.#do('write', path, (p) => write(this.#view, this.caller, p, bytes));
  }

  mkdir(path: string): void {
    this.#do('mkdir', path, (p) => mkdir(this.#view, this.caller, p));
  }

  rm(path: string): void {
    this.#ifThere('rm', path, (p) => rm(this.#view, this.caller, p));
    this.#done();
  }

  ls(path: string): string[] | undefined {
    return this.#ifThere('ls', path, (p) => directory(this.#view, this.caller, p))?.names;
  }

  getPerms(path: string): string | undefined {
    const perms = this.#ifThere('getPerms', path, (p) => getPerms(this.#view, this.caller, p));
    return perms && formatPermissions(perms).join(',');
  }

  setPerms(path: string, perms: string): void {
    const parsed = readPermissions(this.#view, this.caller, perms.split(','));
    if (isXsError(parsed)) throw new XenstoreError(parsed, `permissions ${perms} for ${path}`);
    this.#do('setPerms', path, (p) => setPerms(this.#view, this.caller, p, parsed));
  }

  #do(what: string, text: string, run: (path: Path) => XsError | undefined): void {
    const error = run(this.path(text));
    if (error) throw new XenstoreError(error, `${what} ${text}`);
    this.#done();
  }

  #ifThere<T>(what: string, text: string, run: (path: Path) => T | XsError): T | undefined {
    const result = run(this.path(text));
    if (!isXsError(result)) return result;
    if (result === 'ENOENT') return undefined;
    throw new XenstoreError(result, `${what} ${text}`);
  }

  protected path(text: string): Path {
    const path = specialPath(text) ?? parsePath(text, this.caller.domid);
    if (!path) throw new XenstoreError('EINVAL', `path ${JSON.stringify(text)}`);
    return path;
  }
}

export class XenstoreClient extends ViewClient implements Xenstore, Watcher {
  readonly #glue: ClientGlue;
  readonly #watches = new Map<string, { watch: Watch; callback: (path: string) => void }>();
  #pending = new Map<string, { token: string; path: string }>();
  #nextToken = 1;

  constructor(glue: ClientGlue) {
    super(glue.store, glue.caller, () => glue.store.settle());
    this.#glue = glue;
  }

  transaction<T>(body: (view: XenstoreView) => T): T {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const transaction = this.#glue.store.begin(this.caller);
      const result = body(new ViewClient(transaction, this.caller, nothing));
      if (result instanceof Promise) throw new Error('a body that returns a promise belongs in transactionAsync');
      if (this.#commit(transaction)) return result;
    }
    throw new XenstoreError('EAGAIN', 'transaction');
  }

  async transactionAsync<T>(body: (view: XenstoreView) => Promise<T>): Promise<T> {
    const { store } = this.#glue;
    store.openTransactions++;
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const transaction = store.begin(this.caller);
        const result = await body(new ViewClient(transaction, this.caller, nothing));
        if (this.#commit(transaction)) return result;
      }
    } finally {
      store.openTransactions--;
    }
    throw new XenstoreError('EAGAIN', 'transaction');
  }

  watch(text: string, callback: (path: string) => void): () => void {
    const special = isSpecial(text);
    const relative = !special && !text.startsWith('/');
    const token = String(this.#nextToken++);
    const watch: Watch = {
      watcher: this,
      token,
      text,
      path: special ? undefined : this.path(text),
      baseLength: relative ? domainPath(this.caller.domid).length + 1 : 0,
    };
    this.#watches.set(token, { watch, callback });
    this.#glue.store.addWatch(watch);
    this.#glue.store.settle();
    return () => this.#unwatch(token);
  }

  until<T>(path: string, accept: (value: string | undefined) => T | undefined, options: UntilOptions = {}): Promise<T> {
    const { signal } = options;
    return new Promise<T>((resolve, reject) => {
      const finish = (settle: () => void): void => {
        stop();
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const onAbort = (): void => finish(() => reject(asError(signal?.reason)));
      const look = (): void => {
        try {
          const result = accept(this.read(path));
          if (result !== undefined) finish(() => resolve(result));
        } catch (error) {
          finish(() => reject(asError(error)));
        }
      };
      const stop = this.watch(path, look);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  close(): void {
    for (const token of [...this.#watches.keys()]) this.#unwatch(token);
  }

  event(path: string, token: string): void {
    if (this.#pending.size === 0) this.#glue.scheduler.defer(() => this.#callBack());
    this.#pending.set(`${path}\0${token}`, { token, path });
  }

  settle(): void {
    // The callbacks are on their way already.
  }

  #commit(transaction: ReturnType<Store['begin']>): boolean {
    const error = this.#glue.store.commit(transaction);
    this.#glue.store.settle();
    if (error && error !== 'EAGAIN') throw new XenstoreError(error, 'transaction');
    return !error;
  }

  #callBack(): void {
    const events = this.#pending;
    this.#pending = new Map();
    for (const { token, path } of events.values()) {
      try {
        this.#watches.get(token)?.callback(path);
      } catch (error) {
        this.#glue.onError(error);
      }
    }
  }

  #unwatch(token: string): void {
    const known = this.#watches.get(token);
    if (!known) return;
    this.#watches.delete(token);
    this.#glue.store.removeWatch(known.watch);
  }
}

function nothing(): void {
  // A transaction's requests have no events before the commit.
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
