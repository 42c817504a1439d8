/** What clients do to nodes: permission, quota, effect. Errors are values; the guest asked wrongly, and that is all. */
import type { XsError } from '../../abi/io/xs-wire.ts';
import { specialPath, type Path } from './path.ts';
import {
  forExisting,
  isOwner,
  parsePermissions,
  permits,
  READ,
  WRITE,
  type Caller,
  type Permissions,
} from './permissions.ts';
import { emptyValue, nodeHeaderSize, nodeSize, permissionSize, type StoreNode } from './tree.ts';
import { Aspect, type View } from './view.ts';

/** Operations return this or what they are for, which is never a string. */
export function isXsError(result: unknown): result is XsError {
  return typeof result === 'string';
}

export function read(view: View, caller: Caller, path: Path): Uint8Array | XsError {
  const node = find(view, caller, path, READ);
  return isXsError(node) ? node : node.value;
}

/** The node, for its children: names sorted as oxenstored sorts them. */
export function directory(view: View, caller: Caller, path: Path): { node: StoreNode; names: string[] } | XsError {
  const node = find(view, caller, path, READ, Aspect.content | Aspect.list);
  return isXsError(node) ? node : { node, names: [...node.children.keys()].sort() };
}

export function getPerms(view: View, caller: Caller, path: Path): Permissions | XsError {
  const node = find(view, caller, path, READ);
  return isXsError(node) ? node : node.perms;
}

/** Creates missing parents. */
export function write(view: View, caller: Caller, path: Path, value: Uint8Array): XsError | undefined {
  const node = findOrAbsent(view, caller, path, WRITE);
  if (isXsError(node)) return node;
  const refused = node ? checkSize(view, caller, node, value) : checkCreation(view, caller, path, value);
  if (refused) return refused;
  view.apply({ kind: 'write', path, value, creator: creatorOf(caller) });
  return undefined;
}

/** Creates missing parents; an existing node is left as it is. */
export function mkdir(view: View, caller: Caller, path: Path): XsError | undefined {
  const node = findOrAbsent(view, caller, path, WRITE);
  if (isXsError(node)) return node;
  if (node) return undefined;
  const refused = checkCreation(view, caller, path, emptyValue);
  if (refused) return refused;
  view.apply({ kind: 'write', path, value: undefined, creator: creatorOf(caller) });
  return undefined;
}

/** Removes the node with all below it. That it does not exist is no error, but that its parent does not is. */
export function rm(view: View, caller: Caller, path: Path): XsError | undefined {
  const node = findOrAbsent(view, caller, path, WRITE);
  if (isXsError(node)) return node;
  // What keeps the permissions of a special name cannot be removed, as the root cannot.
  if (path.length === 0 || (path.length === 1 && specialPath(path[0] ?? ''))) return 'EINVAL';
  if (!node) {
    const parent = path.slice(0, -1);
    return view.touch(parent, Aspect.content) ?? (view.tree.lookup(parent) ? undefined : 'ENOENT');
  }
  const refused = touchAll(view, path, node);
  if (refused) return refused;
  view.apply({ kind: 'rm', path });
  return undefined;
}

/** Permissions as a client names them, in the order in which xenstored finds fault with them. */
export function readPermissions(view: View, caller: Caller, entries: readonly string[]): Permissions | XsError {
  if (!caller.privileged && entries.length > view.quotas.permissions) return 'ENOSPC';
  const perms = parsePermissions(entries);
  if (!perms) return 'EINVAL';
  return forExisting(perms, (domid) => view.domainExists(domid)) ?? 'ENOENT';
}

export function setPerms(view: View, caller: Caller, path: Path, perms: Permissions): XsError | undefined {
  const node = find(view, caller, path, WRITE);
  if (isXsError(node)) return node;
  if (!isOwner(node.perms, caller)) return 'EACCES';
  if (!caller.privileged) {
    if (perms[0].domid !== node.perms[0].domid) return 'EPERM';
    const size = nodeSize(node) + (perms.length - node.perms.length) * permissionSize;
    if (size >= view.quotas['node-size']) return view.tooLarge();
  }
  view.apply({ kind: 'setPerms', path, perms });
  return undefined;
}

function find(
  view: View,
  caller: Caller,
  path: Path,
  wanted: number,
  aspects: number = Aspect.content,
): StoreNode | XsError {
  const refused = view.touch(path, aspects);
  if (refused) return refused;
  const node = view.tree.lookup(path);
  if (!node) return absent(view, caller, path, wanted);
  return permits(node.perms, caller, wanted) ? node : 'EACCES';
}

/** As `find`, but a missing node that the caller may create is `undefined`. */
function findOrAbsent(view: View, caller: Caller, path: Path, wanted: number): StoreNode | undefined | XsError {
  const node = find(view, caller, path, wanted);
  return node === 'ENOENT' ? undefined : node;
}

/**
 * Whether a node exists is told only to those who have the wanted right on the nearest node above. So for them the answer depends on
 * that node, and on none having come in between; what is then made of the missing node depends on it for everybody.
 */
function absent(view: View, caller: Caller, path: Path, wanted: number): XsError {
  const { node, depth } = view.tree.nearest(path);
  if (!caller.privileged || wanted & WRITE) {
    const refused =
      view.touch(path.slice(0, depth), Aspect.content) ?? view.touch(path.slice(0, depth + 1), Aspect.content);
    if (refused) return refused;
  }
  return permits(node.perms, caller, wanted) ? 'ENOENT' : 'EACCES';
}

function creatorOf(caller: Caller): number | undefined {
  return caller.privileged ? undefined : caller.domid;
}

function checkSize(view: View, caller: Caller, node: StoreNode, value: Uint8Array): XsError | undefined {
  if (caller.privileged) return undefined;
  const size = nodeSize(node) - node.value.length + value.length;
  return size >= view.quotas['node-size'] ? view.tooLarge() : undefined;
}

function checkCreation(view: View, caller: Caller, path: Path, value: Uint8Array): XsError | undefined {
  if (caller.privileged) return undefined;
  const { node, depth } = view.tree.nearest(path);
  if (!view.mayOwn(caller.domid, path.length - depth)) return 'ENOSPC';
  const limit = view.quotas['node-size'];
  const fresh = nodeHeaderSize + node.perms.length * permissionSize;
  const sizes = [
    nodeSize(node) + nameSize(path[depth]), // the node that gets a new child
    ...path.slice(depth + 1).map((name) => fresh + nameSize(name)), // those between it and the last
    fresh + value.length,
  ];
  return sizes.some((size) => size >= limit) ? view.tooLarge() : undefined;
}

/** What a child's name takes in its parent. */
function nameSize(name = ''): number {
  return name.length + 1;
}

function touchAll(view: View, path: Path, node: StoreNode): XsError | undefined {
  const refused = view.touch(path, Aspect.content | Aspect.list);
  if (refused) return refused;
  for (const [name, child] of node.children) {
    const inner = touchAll(view, [...path, name], child);
    if (inner) return inner;
  }
  return undefined;
}
