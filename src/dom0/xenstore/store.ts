/**
 * The store: the tree, its watches, and the order in which changes reach them.
 *
 * Events are collected while a request runs and handed out by `settle`, which whoever received the request calls after having
 * answered it. So a reply precedes the events of its own request, and no watcher runs in the middle of a change.
 */
import type { XsError } from '../../abi/io/xs-wire.ts';
import { dom0, permits, READ, type Caller, type Permissions } from './permissions.ts';
import { defaultQuotas, type Quotas } from './quota.ts';
import { Transaction } from './transaction.ts';
import { Tree } from './tree.ts';
import { applyTo, type Mutation, type View } from './view.ts';
import { reportedPath, WatchTable, type Change, type Watch, type Watcher } from './watches.ts';

export const specialNodes = ['@introduceDomain', '@releaseDomain'] as const;
export type SpecialNode = (typeof specialNodes)[number];

const rootPerms: Permissions = [{ access: 'n', domid: 0 }];

export class Store implements View {
  readonly tree = Tree.withRoot(rootPerms);
  readonly watches = new WatchTable();
  readonly quotas: Quotas;
  #events: { watch: Watch; path: string }[] = [];
  #settling = false;

  constructor(quotas: Partial<Quotas> = {}) {
    this.quotas = { ...defaultQuotas, ...quotas };
    // The special names are nodes so that their permissions say who may watch them. xenstored begins with these and /tool.
    for (const name of specialNodes) this.tree.write([name], undefined, undefined);
  }

  touch(): undefined {
    return undefined; // a request outside a transaction depends on nothing that could change meanwhile
  }

  apply(mutation: Mutation): void {
    this.#fire(applyTo(this.tree, mutation));
  }

  begin(): Transaction {
    return new Transaction(this.tree, this.quotas);
  }

  /** Carries out what a transaction did, unless something it depends on has changed. */
  commit(transaction: Transaction, caller: Caller): XsError | undefined {
    if (transaction.conflicts(this.tree)) return 'EAGAIN';
    if (!caller.privileged && transaction.exceedsNodes(this.tree, caller.domid)) return 'ENOSPC';
    for (const mutation of transaction.log) this.apply(mutation);
    return undefined;
  }

  /** Registers a watch and queues its first event, which comes whether or not the node exists. */
  addWatch(watch: Watch): void {
    this.watches.add(watch);
    this.#events.push({ watch, path: watch.text });
  }

  removeWatch(watch: Watch): void {
    this.watches.remove(watch);
    this.#events = this.#events.filter((event) => event.watch !== watch);
  }

  fireSpecial(name: SpecialNode): void {
    const perms = this.tree.lookup([name])?.perms ?? rootPerms;
    for (const watch of this.watches.special(name)) {
      if (permits(perms, watch.watcher.caller, READ)) this.#events.push({ watch, path: name });
    }
  }

  /** A domain is gone: what it owned goes with it, and its number loses all rights, for a later domain may get it. */
  forgetDomain(domid: number): void {
    if (domid === dom0.domid) return;
    const { owned, mentioned } = this.tree.tracesOf(domid);
    for (const { path, perms } of mentioned) this.apply({ kind: 'setPerms', path, perms });
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
        for (const { watch, path } of events) {
          watch.watcher.event(path, watch.token);
          watchers.add(watch.watcher);
        }
        for (const watcher of watchers) watcher.settle();
      }
    } finally {
      this.#settling = false;
    }
  }

  #fire(change: Change): void {
    this.watches.match(change, (watch, path) => this.#events.push({ watch, path: reportedPath(watch, path) }));
  }
}
