/**
 * XS_CONTROL: what an administrator may ask the daemon itself (`xenstore-control`). Implementation specific, says
 * docs/misc/xenstore.txt; these are the commands of Xen 4.17's xenstored, but for `live-update` and `logfile`, which make no sense
 * here: the daemon cannot be replaced under its domains, and its log has its place.
 */
import { atoi } from './atoi.ts';
import type { Reply } from './messages.ts';
import { hardLimits, softLimits } from './quota.ts';
import type { Store } from './store.ts';
import type { StoreNode } from './tree.ts';
import { joinStrings } from './wire.ts';

/** What a domain takes up, as `quota DOMID` tells it. */
export interface Usage {
  readonly nodes: number;
  readonly watches: number;
  readonly transactions: number;
  readonly outstanding: number;
  readonly memory: number;
}

/** What the commands need of the daemon. */
export interface ControlContext {
  readonly store: Store;
  /** Undefined for a domain that the store knows nothing of. */
  usage(domid: number): Usage | undefined;
  /** Domains that have a connection, and domain 0. */
  domains(): readonly number[];
  log(line: string): void;
  /** Whether all requests are logged from now on. */
  logRequests(on: boolean): void;
}

interface Command {
  /** As `help` tells them. */
  readonly parameters: string;
  readonly run: (context: ControlContext, args: readonly string[]) => Reply;
}

type Numbers = Record<string, number>;
type Limits = Readonly<Record<string, { readonly about: string }>>;

const done = undefined; // the reply `OK`

const commands: Readonly<Record<string, Command>> = {
  check: {
    parameters: '',
    run({ store, log }, args) {
      if (args.length > 0) return 'EINVAL';
      for (const line of inconsistencies(store)) log(line);
      return done;
    },
  },
  log: {
    parameters: 'on|off',
    run({ logRequests }, [state = '', ...more]) {
      if (more.length > 0 || (state !== 'on' && state !== 'off')) return 'EINVAL';
      logRequests(state === 'on');
      return done;
    },
  },
  memreport: {
    parameters: '',
    run(context, args) {
      if (args.length > 0) return 'EINVAL';
      for (const line of memoryReport(context)) context.log(line);
      return done;
    },
  },
  print: {
    parameters: '<string>',
    run({ log }, [text, ...more]) {
      if (text === undefined || more.length > 0) return 'EINVAL';
      log(`control: ${text}`);
      return done;
    },
  },
  quota: {
    parameters: '[set <name> <val>|<domid>]',
    run({ store, usage }, args) {
      if (args.length === 0) return show(hardLimits, store.quotas);
      if (args[0] === 'set') return set(store.quotas, args.slice(1));
      if (args.length > 1) return 'EINVAL';
      const domid = atoi(args[0] ?? '');
      const used = usage(domid);
      return used ? text(`Domain ${domid}:\n${lines(used)}`) : 'ENOENT';
    },
  },
  'quota-soft': {
    parameters: '[set <name> <val>]',
    run({ store }, args) {
      if (args.length === 0) return show(softLimits, store.softQuotas);
      return args[0] === 'set' ? set(store.softQuotas, args.slice(1)) : 'EINVAL';
    },
  },
  help: {
    parameters: '',
    run: (_, args) =>
      args.length > 0
        ? 'EINVAL'
        : text(
            Object.entries(commands)
              .map(([name, { parameters }]) => `${name}\t${parameters}\n`)
              .join(''),
          ),
  },
};

export function control(context: ControlContext, command: string, args: readonly string[]): Reply {
  return Object.hasOwn(commands, command) ? commands[command]?.run(context, args) : 'EINVAL';
}

/** What the accounts say wrongly about the nodes. */
export function inconsistencies({ tree }: Store): string[] {
  const counted = new Map<number, number>();
  visit(tree.root, (node) => {
    const owner = node.perms[0].domid;
    counted.set(owner, (counted.get(owner) ?? 0) + 1);
  });
  return [...counted].flatMap(([domid, count]) =>
    tree.owned(domid) === count ? [] : [`check: domain ${domid} owns ${count} nodes and not ${tree.owned(domid)}`],
  );
}

function memoryReport({ store, domains, usage }: ControlContext): string[] {
  let nodes = 0;
  let bytes = 0;
  visit(store.tree.root, (node) => {
    nodes++;
    bytes += node.value.length + node.listBytes;
  });
  const each = domains().flatMap((domid) => {
    const used = usage(domid);
    return used ? [`memreport: domain ${domid}: ${JSON.stringify(used)}`] : [];
  });
  return [`memreport: ${nodes} nodes, ${bytes} bytes of names and values`, ...each];
}

function visit(node: StoreNode, look: (node: StoreNode) => void): void {
  look(node);
  for (const child of node.children.values()) visit(child, look);
}

function show(limits: Limits, values: Numbers): Uint8Array {
  const rows = Object.entries(limits).map(
    ([name, { about }]) => `${name.padEnd(17)}: ${String(values[name]).padStart(8)} ${about}\n`,
  );
  return text(`Quota settings:\n${rows.join('')}`);
}

function set(values: Numbers, [name = '', value = '', ...more]: readonly string[]): Reply {
  const number = atoi(value);
  if (more.length > 0 || number < 1 || !Object.hasOwn(values, name)) return 'EINVAL';
  values[name] = number;
  return done;
}

function lines(used: Usage): string {
  return Object.entries(used)
    .map(([name, value]) => `${name.padEnd(16)}: ${String(value).padStart(8)}\n`)
    .join('');
}

function text(content: string): Uint8Array {
  return joinStrings([content]);
}
