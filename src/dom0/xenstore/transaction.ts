/**
 * A transaction: requests against a copy of the store, carried out on the store at the end if nothing they depend on has changed.
 *
 * What counts as a dependency is each node the requests read, listed, wrote or removed, and the node above one they created; a
 * sibling that came or went meanwhile is none, unless the directory was listed. Xen's own daemons are coarser, which only means that
 * their clients, who must be prepared for EAGAIN at any time, see it more often.
 */
import type { XsError } from '../../abi/io/xs-wire.ts';
import type { Path } from './path.ts';
import type { Quotas } from './quota.ts';
import type { StoreNode, Tree } from './tree.ts';
import { applyTo, Aspect, type Mutation, type View } from './view.ts';

export class Transaction implements View {
  readonly tree: Tree;
  readonly quotas: Quotas;
  readonly log: Mutation[] = [];
  /** The store at the beginning. */
  readonly #base: Tree;
  readonly #touched = new Map<string, { path: Path; aspects: number }>();

  constructor(tree: Tree, quotas: Quotas) {
    this.#base = tree.copy();
    this.tree = this.#base.copy();
    this.quotas = quotas;
  }

  touch(path: Path, aspects: number): XsError | undefined {
    const key = path.join('/');
    const touched = this.#touched.get(key);
    if (touched) touched.aspects |= aspects;
    else if (this.#touched.size >= this.quotas.transactionNodes) return 'ENOSPC';
    else this.#touched.set(key, { path, aspects });
    return undefined;
  }

  apply(mutation: Mutation): void {
    applyTo(this.tree, mutation);
    this.log.push(mutation);
  }

  conflicts(tree: Tree): boolean {
    for (const { path, aspects } of this.#touched.values()) {
      if (!same(this.#base.lookup(path), tree.lookup(path), aspects)) return true;
    }
    return false;
  }

  /** Whether the domain would own too many nodes after the commit: others of its transactions may have ended meanwhile. */
  exceedsNodes(tree: Tree, domid: number): boolean {
    const more = this.tree.owned(domid) - this.#base.owned(domid);
    return more > 0 && tree.owned(domid) + more > this.quotas.nodes;
  }
}

function same(then: StoreNode | undefined, now: StoreNode | undefined, aspects: number): boolean {
  if (!then || !now) return then === now;
  if (aspects & Aspect.content && then.contentGeneration !== now.contentGeneration) return false;
  return !(aspects & Aspect.list && then.listGeneration !== now.listGeneration);
}
