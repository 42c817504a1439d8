/** Limits for what is not trusted. */
import type { GuestConfig } from './guest-config.ts';

/**
 * Limits of a guest for what is not trusted, to spread into its configuration: `{ ...(await images.busybox()), ...sandbox, name: 'job' }`. It reaches nothing by its network,
 * has memory and a processor that leave the host some, is gone when its kernel stops for whatever reason, and after ten minutes. What stands behind it in the configuration takes
 * its place: `timeLimit: Infinity` for a guest that lives on as the parent of clones (each `fork` has a `timeLimit` of its own), or for one that reaches what is named,
 * `network: { egress: { default: 'deny', allow: [{ domain: 'deb.debian.org' }] } }`.
 */
export const sandbox = {
  network: 'sandbox',
  memory: 256,
  vcpus: 1,
  cpuCap: 80,
  timeLimit: 600_000,
  onPoweroff: 'destroy',
  onReboot: 'destroy',
  onCrash: 'destroy',
  onWatchdog: 'destroy',
} as const satisfies GuestConfig;
