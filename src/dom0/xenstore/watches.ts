/** Watches, found by walking the changed path once. */
import { permits, READ, type Caller, type Permissions } from './permissions.ts';
import { formatPath, type Path } from './path.ts';
import type { StoreNode } from './tree.ts';

export interface Watcher {
  readonly caller: Caller;
  /** A watch fired. Must not call back into the store: see Store.settle. */
  event(path: string, token: string): void;
  /** No more events for now: what has been queued may be sent. */
  settle(): void;
}

export interface Watch {
  readonly watcher: Watcher;
  readonly token: string;
  /** As the client wrote it. */
  readonly text: string;
  /** Undefined for the special ones, whose name is then `text`. */
  readonly path: Path | undefined;
  /** Length of what is cut off the beginning of reported paths, because the client gave a relative one. */
  readonly baseLength: number;
}

/** What happened to a node, with all that decides who may hear of it. */
export interface Change {
  readonly path: Path;
  /** Permissions of the node before and after, as far as it existed. */
  readonly before: Permissions | undefined;
  readonly after: Permissions | undefined;
  readonly parent: Permissions | undefined;
  /** The node that was removed with all below it. */
  readonly removed?: StoreNode;
}

interface TrieNode {
  readonly watches: Set<Watch>;
  readonly children: Map<string, TrieNode>;
}

export class WatchTable {
  readonly #root = newTrieNode();
  readonly #special = new Map<string, Set<Watch>>();

  add(watch: Watch): void {
    this.#setOf(watch).add(watch);
  }

  remove(watch: Watch): void {
    if (!watch.path) {
      this.#special.get(watch.text)?.delete(watch);
      return;
    }
    prune(this.#root, watch.path, 0, watch);
  }

  /** The watches on a special name. */
  special(name: string): Iterable<Watch> {
    return this.#special.get(name) ?? [];
  }

  /** Calls back for each watch on the changed node, above it and, when it was removed, on what was below it. */
  match(change: Change, report: (watch: Watch, path: Path) => void): void {
    let node: TrieNode | undefined = this.#root;
    for (const watch of node.watches) if (mayHear(watch, change)) report(watch, change.path);
    for (const name of change.path) {
      node = node.children.get(name);
      if (!node) return;
      for (const watch of node.watches) if (mayHear(watch, change)) report(watch, change.path);
    }
    if (change.removed) matchRemoved(node, change.removed, report);
  }

  #setOf(watch: Watch): Set<Watch> {
    if (!watch.path) {
      let set = this.#special.get(watch.text);
      if (!set) this.#special.set(watch.text, (set = new Set()));
      return set;
    }
    let node = this.#root;
    for (const name of watch.path) {
      let child = node.children.get(name);
      if (!child) node.children.set(name, (child = newTrieNode()));
      node = child;
    }
    return node.watches;
  }
}

/** The path as the watch's client knows it. */
export function reportedPath(watch: Watch, path: Path): string {
  return formatPath(path).slice(watch.baseLength);
}

function newTrieNode(): TrieNode {
  return { watches: new Set(), children: new Map() };
}

function prune(node: TrieNode, path: Path, depth: number, watch: Watch): void {
  const name = path[depth];
  if (name === undefined) {
    node.watches.delete(watch);
    return;
  }
  const child = node.children.get(name);
  if (!child) return;
  prune(child, path, depth + 1, watch);
  if (child.watches.size === 0 && child.children.size === 0) node.children.delete(name);
}

/** Who may read the node, before or after, or list the directory that it is in (docs/misc/xenstore.txt, WATCH). */
function mayHear(watch: Watch, change: Change): boolean {
  const { caller } = watch.watcher;
  if (caller.privileged) return true;
  return [change.before, change.after, change.parent].some((perms) => perms && permits(perms, caller, READ));
}

/** A watch below a removed node hears of its own path, if there was such a node. */
function matchRemoved(trie: TrieNode, removed: StoreNode, report: (watch: Watch, path: Path) => void): void {
  for (const [name, child] of trie.children) {
    const node = removed.children.get(name);
    if (!node) continue;
    for (const watch of child.watches) {
      const { caller } = watch.watcher;
      if (permits(node.perms, caller, READ) || permits(removed.perms, caller, READ)) report(watch, watch.path ?? []);
    }
    matchRemoved(child, node, report);
  }
}
