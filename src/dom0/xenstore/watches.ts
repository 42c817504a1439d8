/** Watches, found by walking the changed path once. */
import { permits, READ, type Caller, type Permissions } from './permissions.ts';
import { formatPath, type Path, type SpecialNode } from './path.ts';
import type { StoreNode } from './tree.ts';

/** The request that has caused an event. It is not over before its events have reached those they are for. */
export interface Cause {
  hold(): void;
  release(): void;
}

export interface Watcher {
  readonly caller: Caller;
  /** A watch fired. Must not call back into the store: see Store.settle. */
  event(path: string, token: string, cause?: Cause): void;
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
  /** How many levels below it are of interest; for a special name, 1 asks for the domain's number. Undefined: all, and none. */
  readonly depth?: number | undefined;
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
    if (watch.path) {
      prune(this.#root, watch.path, 0, watch);
      return;
    }
    const set = this.#special.get(watch.text);
    set?.delete(watch);
    if (set?.size === 0) this.#special.delete(watch.text);
  }

  /**
   * Calls back for each watch on a special name, as docs/misc/xenstore.txt has it: `@releaseDomain` hears that it happened,
   * `@releaseDomain` with depth 1 and `@releaseDomain/5` hear to which domain.
   */
  special(name: SpecialNode, domid: number, report: (watch: Watch, path: string) => void): void {
    const ofDomain = `${name}/${domid}`;
    for (const watch of this.#special.get(name) ?? []) {
      if (watch.depth === undefined) report(watch, name);
      else if (watch.depth > 0) report(watch, ofDomain);
    }
    for (const watch of this.#special.get(ofDomain) ?? []) report(watch, ofDomain);
  }

  /** Calls back for each watch that a removal takes the node from, lowest first, then for each on the changed node and above it. */
  match(change: Change, report: (watch: Watch, path: Path) => void): void {
    const { path, removed } = change;
    const way: TrieNode[] = [this.#root];
    for (const name of path) {
      const next = way.at(-1)?.children.get(name);
      if (!next) break;
      way.push(next);
    }
    const own = way[path.length];
    if (own && removed) matchRemoved(own, removed, report);
    way.forEach((node, depth) => {
      for (const watch of node.watches) {
        if (path.length - depth <= (watch.depth ?? Infinity) && mayHear(watch, change)) report(watch, path);
      }
    });
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
    matchRemoved(child, node, report);
    for (const watch of child.watches) {
      const { caller } = watch.watcher;
      if (permits(node.perms, caller, READ) || permits(removed.perms, caller, READ)) report(watch, watch.path ?? []);
    }
  }
}
