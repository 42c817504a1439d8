/**
 * What a guest may take up of the store: the limits of xenstored in Xen 4.17, under its names and with its defaults. Domain 0 and the
 * programs on its socket are exempt. An administrator may change them while the store runs (control.ts).
 */
interface Limit {
  readonly value: number;
  /** As xenstored describes it. */
  readonly about: string;
}

export const hardLimits = {
  nodes: { value: 1000, about: 'Nodes per domain' },
  /** xenstored takes one more before it refuses. So it is with transactions. */
  watches: { value: 128, about: 'Watches per domain' },
  transactions: { value: 10, about: 'Transactions per domain' },
  /** Requests whose replies, or whose events at others, are on their way; a guest with more is not read from. */
  outstanding: { value: 20, about: 'Outstanding requests per domain' },
  'transaction-nodes': { value: 1024, about: 'Max. number of accessed nodes per transaction' },
  /** Bytes that wait to be sent, of watches, and in transactions. Its nodes are bounded by their number and size. */
  memory: { value: 2.5 * 1024 * 1024, about: 'Total Xenstore memory per domain (error level)' },
  /** Bytes of one node: its value, its permissions and the names of its children. It must stay below. */
  'node-size': { value: 2048, about: 'Max. size of a node' },
  /** Of an absolute path outside of `/local/domain/N/`, or of what follows that. */
  'path-max': { value: 2048, about: 'Max. length of a node path' },
  permissions: { value: 5, about: 'Max. number of permissions per node' },
} as const satisfies Readonly<Record<string, Limit>>;

export const softLimits = {
  memory: { value: 2 * 1024 * 1024, about: 'Total Xenstore memory per domain (warning level)' },
} as const satisfies Readonly<Record<string, Limit>>;

export type Quotas = Record<keyof typeof hardLimits, number>;
export type SoftQuotas = Record<keyof typeof softLimits, number>;

export function defaults<K extends string>(limits: Readonly<Record<K, Limit>>): Record<K, number> {
  const entries = Object.entries<Limit>(limits).map(([name, { value }]) => [name, value]);
  return Object.fromEntries(entries) as Record<K, number>;
}
