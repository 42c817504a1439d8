/** What a guest may take up of the store: the defaults of xenstored in Xen 4.17. Domain 0 is exempt. */
export interface Quotas {
  /** Nodes that a domain may own. */
  readonly nodes: number;
  /** Bytes of one node: its value, its permissions and the names of its children. */
  readonly nodeSize: number;
  readonly permissionsPerNode: number;
  readonly watches: number;
  /** Transactions open at a time. */
  readonly transactions: number;
  /** Nodes that one transaction may touch. */
  readonly transactionNodes: number;
  /** Replies a guest may leave unread before its further requests wait. */
  readonly outstanding: number;
  /** Bytes queued for a guest that does not read; a connection beyond it is given up. */
  readonly queuedBytes: number;
}

export const defaultQuotas: Quotas = {
  nodes: 1000,
  nodeSize: 2048,
  permissionsPerNode: 5,
  watches: 128,
  transactions: 10,
  transactionNodes: 1024,
  outstanding: 20,
  queuedBytes: 2.5 * 1024 * 1024,
};
