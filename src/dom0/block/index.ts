export { VbdDriver, type VbdServices } from './vbd-driver.ts';
export type { DiskWanted } from './vbd-params.ts';
