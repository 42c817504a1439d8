/** The store in its simplest form: a map from paths to nodes, copied whole for each transaction. What store.ts is compared with. */
import { isOwner, ownedBy, permits, READ, WRITE, type Caller, type Permissions } from '../xenstore/permissions.ts';

export type Operation =
  | { readonly op: 'read' | 'ls' | 'mkdir' | 'rm' | 'getPerms'; readonly path: string }
  | { readonly op: 'write'; readonly path: string; readonly value: string }
  | { readonly op: 'setPerms'; readonly path: string; readonly perms: Permissions };

interface ModelNode {
  value: string;
  perms: Permissions;
}

export class StoreModel {
  readonly nodes: Map<string, ModelNode>;
  /** Paths of changes, in order. */
  readonly changes: string[] = [];

  constructor(nodes: Map<string, ModelNode> = new Map([['', { value: '', perms: [{ access: 'n', domid: 0 }] }]])) {
    this.nodes = nodes;
  }

  copy(): StoreModel {
    return new StoreModel(new Map([...this.nodes].map(([path, node]) => [path, { ...node }])));
  }

  /** An error's name in brackets, or what the client would read. */
  run(caller: Caller, operation: Operation): string {
    const { op, path } = operation;
    const node = this.nodes.get(path);
    const wanted = op === 'read' || op === 'ls' || op === 'getPerms' ? READ : WRITE;
    const visible = node ?? this.nodes.get(this.#nearest(path));
    if (!visible || !permits(visible.perms, caller, wanted)) return '[EACCES]';
    if (op === 'rm' && path === '') return '[EINVAL]';
    switch (op) {
      case 'read':
        return node ? node.value : '[ENOENT]';
      case 'ls':
        return node ? this.#children(path).join() : '[ENOENT]';
      case 'getPerms':
        return node ? JSON.stringify(node.perms) : '[ENOENT]';
      case 'mkdir':
        if (!node) this.#create(path, caller);
        return 'OK';
      case 'write':
        if (!node) this.#create(path, caller);
        else this.changes.push(path);
        this.nodes.set(path, { ...(this.nodes.get(path) ?? visible), value: operation.value });
        return 'OK';
      case 'rm':
        if (!node) return this.nodes.has(parentOf(path)) ? 'OK' : '[ENOENT]';
        for (const key of [...this.nodes.keys()])
          if (key === path || key.startsWith(`${path}/`)) this.nodes.delete(key);
        this.changes.push(path);
        return 'OK';
      case 'setPerms':
        if (!node) return '[ENOENT]';
        if (!isOwner(node.perms, caller)) return '[EACCES]';
        if (!caller.privileged && operation.perms[0].domid !== node.perms[0].domid) return '[EPERM]';
        node.perms = operation.perms;
        this.changes.push(path);
        return 'OK';
    }
  }

  /** Everything, for comparison. */
  dump(): string[] {
    return [...this.nodes].map(([path, node]) => `${path}=${node.value} ${JSON.stringify(node.perms)}`).sort();
  }

  #create(path: string, caller: Caller): void {
    const parent = parentOf(path);
    const above = this.nodes.get(parent) ?? this.#createQuietly(parent, caller);
    this.nodes.set(path, this.#child(above, caller));
    this.changes.push(path);
  }

  #createQuietly(path: string, caller: Caller): ModelNode {
    const parent = parentOf(path);
    const node = this.#child(this.nodes.get(parent) ?? this.#createQuietly(parent, caller), caller);
    this.nodes.set(path, node);
    return node;
  }

  #child(parent: ModelNode, caller: Caller): ModelNode {
    return { value: '', perms: caller.privileged ? parent.perms : ownedBy(parent.perms, caller.domid) };
  }

  #nearest(path: string): string {
    let at = path;
    while (at !== '' && !this.nodes.has(at)) at = parentOf(at);
    return at;
  }

  #children(path: string): string[] {
    const prefix = `${path}/`;
    const names = [...this.nodes.keys()].filter((key) => key.startsWith(prefix) && !key.includes('/', prefix.length));
    return names.map((key) => key.slice(prefix.length)).sort();
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
