export { XenstoreError, type Cancellation, type UntilOptions, type Xenstore, type XenstoreView } from './client.ts';
export { dom0, type Caller } from './permissions.ts';
export type { Quotas } from './quota.ts';
export type { StreamConnection, StreamGlue } from './stream-connection.ts';
export { Xenstored, type XenstoredOptions } from './xenstored.ts';
