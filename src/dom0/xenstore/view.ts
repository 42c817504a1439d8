/** What requests work on: the store itself or a transaction's copy of it, and the changes they make there. */
import type { XsError } from '../../abi/io/xs-wire.ts';
import type { Path } from './path.ts';
import type { Permissions } from './permissions.ts';
import type { Quotas } from './quota.ts';
import type { Tree } from './tree.ts';
import type { Change } from './watches.ts';

/** A change that has passed all checks. `creator` is undefined when new nodes shall keep their parent's owner. */
export type Mutation =
  | {
      readonly kind: 'write';
      readonly path: Path;
      readonly value: Uint8Array | undefined;
      readonly creator: number | undefined;
    }
  | { readonly kind: 'rm'; readonly path: Path }
  | { readonly kind: 'setPerms'; readonly path: Path; readonly perms: Permissions };

/** What of a node a request depends on. */
export const Aspect = { content: 1, list: 2 } as const;

/** The store as one request sees it: the tree itself, or a transaction's copy. */
export interface View {
  readonly tree: Tree;
  readonly quotas: Readonly<Quotas>;
  /** Whether there is such a domain, introduced or not: others cannot be given rights. */
  domainExists(domid: number): boolean;
  /** Takes note that the request depends on aspects of a node; an error when a transaction touches too much. */
  touch(path: Path, aspects: number): XsError | undefined;
  /** Whether a domain may own so many nodes more. */
  mayOwn(domid: number, more: number): boolean;
  /** A node would have become too large. Returns the error; a transaction in which that happens cannot be committed. */
  tooLarge(): XsError;
  apply(mutation: Mutation): void;
}

/** Changes a tree and tells what that means to watchers. */
export function applyTo(tree: Tree, mutation: Mutation): Change {
  const { path } = mutation;
  const before = tree.lookup(path)?.perms;
  switch (mutation.kind) {
    case 'write':
      tree.write(path, mutation.value, mutation.creator);
      return { path, before, after: before ?? tree.lookup(path)?.perms, parent: parentPerms(tree, path) };
    case 'setPerms':
      tree.setPerms(path, mutation.perms);
      return { path, before, after: mutation.perms, parent: parentPerms(tree, path) };
    case 'rm':
      return { path, before, after: undefined, parent: parentPerms(tree, path), removed: tree.remove(path) };
  }
}

/** Of the directory that a node is in, or was: one that was made with the node counts, too. */
export function parentPerms(tree: Tree, path: Path): Permissions | undefined {
  return tree.lookup(path.slice(0, -1))?.perms;
}
