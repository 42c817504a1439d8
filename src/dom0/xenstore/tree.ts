/**
 * The store's nodes. A tree can be copied in constant time (a transaction works on a copy); after that either side copies the
 * nodes on the way to what it changes, once, and shares the rest.
 *
 * No permissions, no quotas, no watches here: operations.ts checks, store.ts tells the watchers.
 */
import type { Path } from './path.ts';
import { ownedBy, withoutDomain, type Permissions } from './permissions.ts';

export interface StoreNode {
  readonly value: Uint8Array;
  readonly perms: Permissions;
  readonly children: ReadonlyMap<string, StoreNode>;
  /** When value or permissions last changed. Generations are unique in the whole store, so a node made anew differs. */
  readonly contentGeneration: number;
  /** When a child last came or went. */
  readonly listGeneration: number;
  /** Bytes that the children's names take in a directory reply. */
  readonly listBytes: number;
}

interface OwnNode extends StoreNode {
  value: Uint8Array;
  perms: Permissions;
  readonly children: Map<string, OwnNode>;
  contentGeneration: number;
  listGeneration: number;
  listBytes: number;
  /** The tree that may change this node in place. */
  readonly edit: object;
}

export const emptyValue = new Uint8Array(0);

export class Tree {
  #root: OwnNode;
  #edit: object = {};
  readonly #clock: { now: number };
  readonly #owned: Map<number, number>;

  private constructor(
    root: OwnNode | undefined,
    clock: { now: number },
    owned: Map<number, number>,
    perms: Permissions,
  ) {
    this.#clock = clock;
    this.#owned = owned;
    this.#root = root ?? this.#newNode(perms);
  }

  /** A tree of the root alone. */
  static withRoot(perms: Permissions): Tree {
    return new Tree(undefined, { now: 0 }, new Map(), perms);
  }

  copy(): Tree {
    this.#edit = {};
    return new Tree(this.#root, this.#clock, new Map(this.#owned), this.#root.perms);
  }

  get root(): StoreNode {
    return this.#root;
  }

  lookup(path: Path): StoreNode | undefined {
    let node: OwnNode | undefined = this.#root;
    for (const name of path) {
      node = node.children.get(name);
      if (!node) return undefined;
    }
    return node;
  }

  /** The last node on the way to `path` that exists, and how many names lead to it. */
  nearest(path: Path): { node: StoreNode; depth: number } {
    let node = this.#root;
    let depth = 0;
    for (const name of path) {
      const child = node.children.get(name);
      if (!child) break;
      node = child;
      depth++;
    }
    return { node, depth };
  }

  /** Nodes owned by a domain. */
  owned(domid: number): number {
    return this.#owned.get(domid) ?? 0;
  }

  /**
   * Makes sure that `path` exists and, with a value given, has it. New nodes take their parent's permissions; those that an
   * unprivileged domain creates belong to it.
   */
  write(path: Path, value: Uint8Array | undefined, creator: number | undefined): void {
    let node = this.#ownRoot();
    for (const name of path) node = this.#ownChild(node, name) ?? this.#create(node, name, creator);
    if (value === undefined) return;
    node.value = value;
    node.contentGeneration = ++this.#clock.now;
  }

  setPerms(path: Path, perms: Permissions): void {
    const node = this.#ownNode(path);
    this.#count(node.perms, -1);
    this.#count(perms, 1);
    node.perms = perms;
    node.contentGeneration = ++this.#clock.now;
  }

  /** Removes a node and all below it; returns what it was. */
  remove(path: Path): StoreNode {
    const name = path.at(-1);
    if (name === undefined) throw new Error('the root of the store cannot be removed');
    const parent = this.#ownNode(path.slice(0, -1));
    const node = parent.children.get(name);
    if (!node) throw new Error(`removing /${path.join('/')}, which does not exist`);
    parent.children.delete(name);
    parent.listBytes -= name.length + 1;
    parent.listGeneration = ++this.#clock.now;
    this.#discount(node);
    return node;
  }

  /** What a domain's end leaves to do: nodes it owned (topmost ones), and lists that mention it with what they shall become. */
  tracesOf(domid: number): { owned: Path[]; mentioned: { path: Path; perms: Permissions }[] } {
    const owned: Path[] = [];
    const mentioned: { path: Path; perms: Permissions }[] = [];
    const visit = (node: StoreNode, path: Path): void => {
      const perms = withoutDomain(node.perms, domid);
      if (!perms) {
        owned.push(path);
        return;
      }
      if (perms !== node.perms) mentioned.push({ path, perms });
      for (const [name, child] of node.children) visit(child, [...path, name]);
    };
    visit(this.#root, []);
    return { owned, mentioned };
  }

  #newNode(perms: Permissions): OwnNode {
    const generation = ++this.#clock.now;
    this.#count(perms, 1);
    return {
      value: emptyValue,
      perms,
      children: new Map(),
      contentGeneration: generation,
      listGeneration: generation,
      listBytes: 0,
      edit: this.#edit,
    };
  }

  #create(parent: OwnNode, name: string, creator: number | undefined): OwnNode {
    const node = this.#newNode(creator === undefined ? parent.perms : ownedBy(parent.perms, creator));
    parent.children.set(name, node);
    parent.listBytes += name.length + 1;
    parent.listGeneration = ++this.#clock.now;
    return node;
  }

  #ownRoot(): OwnNode {
    if (this.#root.edit !== this.#edit) this.#root = this.#ownCopy(this.#root);
    return this.#root;
  }

  #ownChild(parent: OwnNode, name: string): OwnNode | undefined {
    const child = parent.children.get(name);
    if (!child || child.edit === this.#edit) return child;
    const copy = this.#ownCopy(child);
    parent.children.set(name, copy);
    return copy;
  }

  #ownNode(path: Path): OwnNode {
    let node = this.#ownRoot();
    for (const name of path) {
      const child = this.#ownChild(node, name);
      if (!child) throw new Error(`changing /${path.join('/')}, which does not exist`);
      node = child;
    }
    return node;
  }

  #ownCopy(node: OwnNode): OwnNode {
    return { ...node, children: new Map(node.children), edit: this.#edit };
  }

  #count(perms: Permissions, by: number): void {
    const domid = perms[0].domid;
    const count = (this.#owned.get(domid) ?? 0) + by;
    if (count === 0) this.#owned.delete(domid);
    else this.#owned.set(domid, count);
  }

  #discount(node: StoreNode): void {
    this.#count(node.perms, -1);
    for (const child of node.children.values()) this.#discount(child);
  }
}

/** Whether a directory or content reply would be the same: compared by transactions and by XS_DIRECTORY_PART. */
export function generationOf(node: StoreNode): number {
  return Math.max(node.contentGeneration, node.listGeneration);
}

/** Bytes that a node takes in xenstored's database, which is what the quota for a node's size measures. */
export function nodeSize(node: StoreNode): number {
  return nodeHeaderSize + node.perms.length * permissionSize + node.value.length + node.listBytes;
}
export const nodeHeaderSize = 24; // struct xs_tdb_record_hdr, with the padding at its end
export const permissionSize = 8; // struct xs_permissions
