/**
 * A transaction: requests against a copy of the store, carried out on the store at the end if nothing they depend on has changed.
 *
 * What counts as a dependency is each node the requests read, listed, wrote or removed, and the node above one they created; a
 * sibling that came or went meanwhile is none, unless the directory was listed. Xen's own daemons are coarser, which only means that
 * their clients, who must be prepared for EAGAIN at any time, see it more often.
 */
import type { XsError } from '../../abi/io/xs-wire.ts';
import type { Path } from './path.ts';
import type { Caller } from './permissions.ts';
import type { Quotas } from './quota.ts';
import type { StoreNode, Tree } from './tree.ts';
import { applyTo, Aspect, type Mutation, type View } from './view.ts';

/** What a transaction needs of the store that it is to become part of. */
export type TransactionBase = Pick<View, 'tree' | 'quotas' | 'domainExists'>;

/** What a node in the list of dependencies, or a change that waits, costs beside its bytes. */
const ENTRY_BYTES = 64;

export class Transaction implements View {
  readonly tree: Tree;
  readonly quotas: Readonly<Quotas>;
  readonly log: Mutation[] = [];
  /** What it takes up, about. */
  bytes = 0;
  readonly #live: TransactionBase;
  /** The store at the beginning. */
  readonly #base: Tree;
  readonly #caller: Caller;
  /** Whether its owner may take up more memory. */
  readonly #mayGrow: () => boolean;
  readonly #touched = new Map<string, { path: Path; aspects: number }>();
  /** A request ran into a limit; xenstored gives up the whole transaction for that. */
  #failed = false;
  #created = false;

  constructor(live: TransactionBase, caller: Caller, mayGrow: () => boolean) {
    this.#live = live;
    this.#caller = caller;
    this.#base = live.tree.copy();
    this.tree = this.#base.copy();
    this.quotas = live.quotas;
    this.#mayGrow = mayGrow;
  }

  domainExists(domid: number): boolean {
    return this.#live.domainExists(domid);
  }

  touch(path: Path, aspects: number): XsError | undefined {
    const limited = !this.#caller.privileged;
    if (limited && !this.#mayGrow()) return this.#fail('ENOMEM');
    const key = path.join('/');
    const touched = this.#touched.get(key);
    if (touched) {
      touched.aspects |= aspects;
      return undefined;
    }
    if (limited && this.#touched.size >= this.quotas['transaction-nodes']) return this.#fail('ENOSPC');
    this.#touched.set(key, { path, aspects });
    this.bytes += key.length + ENTRY_BYTES;
    return undefined;
  }

  /** Only what the domain owns outside counts here; the sum is looked at in the end. */
  mayOwn(domid: number): boolean {
    return this.#live.tree.owned(domid) < this.quotas.nodes;
  }

  tooLarge(): XsError {
    return this.#fail('ENOSPC');
  }

  apply(mutation: Mutation): void {
    if (mutation.kind === 'write') {
      this.#created ||= this.tree.lookup(mutation.path) === undefined;
      this.bytes += mutation.value?.length ?? 0;
    }
    this.bytes += ENTRY_BYTES;
    applyTo(this.tree, mutation);
    this.log.push(mutation);
  }

  /** Why it cannot be carried out, in the order in which xenstored looks. */
  refusal(): XsError | undefined {
    const { domid, privileged } = this.#caller;
    if (this.#failed) return 'ENOMEM';
    if (this.#created && !privileged && this.#ownedAfter(domid) >= this.quotas.nodes) return 'ENOSPC';
    return this.#conflicts() ? 'EAGAIN' : undefined;
  }

  #ownedAfter(domid: number): number {
    return this.#live.tree.owned(domid) + this.tree.owned(domid) - this.#base.owned(domid);
  }

  #conflicts(): boolean {
    for (const { path, aspects } of this.#touched.values()) {
      if (!same(this.#base.lookup(path), this.#live.tree.lookup(path), aspects)) return true;
    }
    return false;
  }

  #fail(error: XsError): XsError {
    this.#failed = true;
    return error;
  }
}

function same(then: StoreNode | undefined, now: StoreNode | undefined, aspects: number): boolean {
  if (!then || !now) return then === now;
  if (aspects & Aspect.content && then.contentGeneration !== now.contentGeneration) return false;
  return !(aspects & Aspect.list && then.listGeneration !== now.listGeneration);
}
