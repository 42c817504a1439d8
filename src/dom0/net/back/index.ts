export { netback, type NetServices, type VifAddress } from './vif.ts';
export type { VifConnection } from './vif-connection.ts';
