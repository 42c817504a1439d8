/** What happens to the guests of a host. */
import type { ShutdownReason } from '../../hypervisor/control.ts';
import type { Guest } from './guest.ts';

/** How a guest has ended for good: by itself, for one of Xen's reasons, or by somebody's hand. */
export type ExitReason = Exclude<ShutdownReason, 'suspend'> | 'destroyed' | 'saved' | 'migrated' | 'time limit';

/** The end of a guest. */
export interface GuestExit {
  /** By itself (`poweroff`, `crash` …) or by whom. */
  readonly reason: ExitReason;
}

/** What has happened to a guest. */
export type HostEvent =
  | { readonly type: 'created'; readonly guest: Guest }
  /** It runs: for the first time, again after a pause, or again after a reboot. */
  | { readonly type: 'running'; readonly guest: Guest }
  | { readonly type: 'paused'; readonly guest: Guest }
  /** Its kernel has stopped. With `reboot` it is about to run again, unless `onReboot` says otherwise; with `suspend` it is being saved. */
  | { readonly type: 'shutdown'; readonly guest: Guest; readonly reason: ShutdownReason }
  /** Its kernel has crashed; what the hypervisor says of that is in `host.messages()`. */
  | { readonly type: 'crashed'; readonly guest: Guest }
  /** Nothing is left of it. */
  | { readonly type: 'destroyed'; readonly guest: Guest; readonly exit: GuestExit };
