/** XS_CONTROL: what an administrator may ask the daemon itself (`xenstore-control`). Implementation specific, says docs/misc/xenstore.txt. */
import type { Store } from './store.ts';
import type { StoreNode } from './tree.ts';

interface Command {
  readonly help: string;
  readonly run: (store: Store, args: readonly string[]) => string | undefined;
}

const commands: Readonly<Record<string, Command>> = {
  help: {
    help: '',
    run: () =>
      Object.keys(commands)
        .map((name) => `${name}\n`)
        .join(''),
  },
  check: { help: 'count the nodes by owner and compare with the accounts', run: (store) => check(store) },
  quota: {
    help: 'list the limits',
    run: (store) =>
      Object.entries(store.quotas)
        .map(([name, limit]) => `${name}: ${String(limit)}\n`)
        .join(''),
  },
};

/** The text to answer with; undefined for an unknown command. */
export function control(store: Store, command: string, args: readonly string[]): string | undefined {
  return Object.hasOwn(commands, command) ? commands[command]?.run(store, args) : undefined;
}

function check(store: Store): string {
  const counted = new Map<number, number>();
  const visit = (node: StoreNode): void => {
    const owner = node.perms[0].domid;
    counted.set(owner, (counted.get(owner) ?? 0) + 1);
    for (const child of node.children.values()) visit(child);
  };
  visit(store.tree.root);
  const wrong = [...counted].filter(([domid, count]) => store.tree.owned(domid) !== count);
  return wrong.length === 0 ? 'OK\n' : wrong.map(([domid]) => `domain ${domid}: wrong node count\n`).join('');
}
