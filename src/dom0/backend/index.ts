export { BackRing } from './back-ring.ts';
export { BackendDevice, MAX_RESTARTS, RESTART_PERIOD_MS, type DeviceAddress, type DeviceServices } from './device.ts';
export { BackendDevices, type BackendServices } from './devices.ts';
export { Channel } from './channel.ts';
export { FrontendError, FrontendLink, type MappedGrant, type MappedGrants } from './frontend-link.ts';
export { DeviceStatistics, type Traffic } from './statistics.ts';
export type { BackendDriver, BackendInstance, DeviceGlue, Keys } from './driver.ts';
