/**
 * The store: the tree, its watches, and the order in which changes reach them.
 *
 * Events are collected while a request runs and handed out by `settle`, which whoever received the request calls after having
 * answered it. So a reply precedes the events of its own request, and no watcher runs in the middle of a change.
 */
import type { XsError } from '../../abi/io/xs-wire.ts';
import { specialNodes, specialPath, type SpecialNode } from './path.ts';
import { dom0, permits, READ, type Caller, type Permissions } from './permissions.ts';
import { defaults, hardLimits, softLimits, type Quotas, type SoftQuotas } from './quota.ts';
import { Transaction } from './transaction.ts';
import { Tree } from './tree.ts';
import { applyTo, parentPerms, type Mutation, type View } from './view.ts';
import { reportedPath, WatchTable, type Cause, type Change, type Watch, type Watcher } from './watches.ts';

const rootPerms: Permissions = [{ access: 'n', domid: 0 }];

export interface StoreOptions {
  readonly quotas?: Partial<Quotas>;
  /** Default: all that a test may think of. */
  readonly domainExists?: (domid: number) => boolean;
}

interface Event {
  readonly watch: Watch;
  readonly path: string;
  readonly cause: Cause | undefined;
}

export class Store implements View {
  readonly tree = Tree.withRoot(rootPerms);
  readonly watches = new WatchTable();
  readonly quotas: Quotas;
  readonly softQuotas: SoftQuotas = defaults(softLimits);
  readonly domainExists: (domid: number) => boolean;
  /** Transactions of clients that have begun and not ended. */
  openTransactions = 0;
  /** The request under way, if its sender has to wait for those who hear of it. */
  cause: Cause | undefined;
  #events: Event[] = [];
  #settling = false;

  constructor(options: StoreOptions = {}) {
    this.quotas = { ...defaults(hardLimits), ...options.quotas };
    this.domainExists = options.domainExists ?? (() => true);
    // The special names are nodes so that their permissions say who may watch them. xenstored begins with these and /tool.
    for (const name of specialNodes) this.tree.write([name], undefined, undefined);
  }

  touch(): undefined {
    return undefined; // a request outside a transaction depends on nothing that could change meanwhile
  }

  mayOwn(domid: number, more: number): boolean {
    return this.tree.owned(domid) + more <= this.quotas.nodes;
  }

  tooLarge(): XsError {
    return 'ENOSPC';
  }

  apply(mutation: Mutation): void {
    this.#fire(applyTo(this.tree, mutation));
  }

  /** `mayGrow` tells whether the caller may take up more memory. */
  begin(caller: Caller = dom0, mayGrow: () => boolean = () => true): Transaction {
    return new Transaction(this, caller, mayGrow);
  }

  /** Carries out what a transaction did, unless something it depends on has changed. */
  commit(transaction: Transaction): XsError | undefined {
    const refused = transaction.refusal();
    if (refused) return refused;
    const before = this.tree.copy();
    for (const mutation of transaction.log) applyTo(this.tree, mutation);
    for (const change of changesBetween(before, this.tree, transaction.log)) this.#fire(change);
    return undefined;
  }

  /** Registers a watch and queues its first event, which comes whether or not the node exists. */
  addWatch(watch: Watch): void {
    this.watches.add(watch);
    this.#events.push({ watch, path: watch.text, cause: undefined });
  }

  removeWatch(watch: Watch): void {
    this.watches.remove(watch);
    this.#events = this.#events.filter((event) => event.watch !== watch);
  }

  fireSpecial(name: SpecialNode, domid: number): void {
    const perms = this.tree.lookup(specialPath(name) ?? [])?.perms ?? rootPerms;
    this.watches.special(name, domid, (watch, path) => {
      if (permits(perms, watch.watcher.caller, READ)) this.#events.push({ watch, path, cause: undefined });
    });
  }

  /** A domain is gone: what it owned goes with it, and its number loses all rights, for a later domain may get it. */
  forgetDomain(domid: number): void {
    if (domid === dom0.domid) return;
    const { owned, mentioned } = this.tree.tracesOf(domid);
    // Nobody is told of that: no right that anybody has has changed.
    for (const { path, perms } of mentioned) this.tree.setPerms(path, perms);
    for (const path of owned) this.apply({ kind: 'rm', path });
  }

  /** Hands out the collected events, and those that come up meanwhile. */
  settle(): void {
    if (this.#settling) return;
    this.#settling = true;
    try {
      while (this.#events.length > 0) {
        const events = this.#events;
        this.#events = [];
        const watchers = new Set<Watcher>();
        for (const { watch, path, cause } of events) {
          watch.watcher.event(path, watch.token, cause);
          watchers.add(watch.watcher);
        }
        for (const watcher of watchers) watcher.settle();
      }
    } finally {
      this.#settling = false;
    }
  }

  #fire(change: Change): void {
    const { cause } = this;
    this.watches.match(change, (watch, path) => this.#events.push({ watch, path: reportedPath(watch, path), cause }));
  }
}

/**
 * What watchers hear of a transaction: each node once, where it was first changed, by what came of it in the end. A node that was there only
 * within the transaction never was.
 */
function changesBetween(before: Tree, after: Tree, log: readonly Mutation[]): Change[] {
  const changes = new Map<string, Change>();
  for (const { kind, path } of log) {
    const key = path.join('/');
    const known = changes.get(key);
    if (known && kind !== 'rm') continue;
    const then = before.lookup(path);
    const now = after.lookup(path);
    if (!then && !now) continue;
    const parent = parentPerms(after, path);
    const removed = kind === 'rm' && then ? { removed: then } : {};
    changes.set(key, { path, before: then?.perms, after: now?.perms, parent, ...removed });
  }
  return [...changes.values()];
}
