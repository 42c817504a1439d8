/**
 * What a kind of backend (block, network, …) does; src/dom0/backend/device.ts decides when. The life of an instance:
 *
 *   create → features → open → (connect → serve → quiesce)* → close
 *
 * `C` is what a connection consists of: mapped rings, channels, and what was taken from the rings and not yet answered. It is made by
 * `connect`, and it survives the instance: when one throws, its successor gets the same connection in `serve` and answers what is
 * open. The frontend does not notice. It could not do much: Linux' blkfront and netfront take the states Closing and Closed for the
 * end of the device, and connect only once, from Initialising.
 */
import type { FrontendLink } from './frontend-link.ts';
import type { DeviceStatistics } from './statistics.ts';

/** Values to be written below the backend's directory. */
export type Keys = Readonly<Record<string, string | number>>;

export interface BackendDriver<C> {
  /** The directory below `backend/`: `vbd`, `vif`, … */
  readonly type: string;
  /** Whether a device with this number is the driver's; all are unless it says so. */
  serves?(devid: number): boolean;
  create(device: DeviceGlue): BackendInstance<C>;
}

export interface BackendInstance<C> {
  /** What a frontend reads before it connects; state InitWait follows at once. */
  features(): Keys;
  /**
   * Opens what the device stands for, as the hotplug script does. Once it has resolved, `hotplug-status` is `connected` and a
   * frontend may be connected; an Error's message becomes `hotplug-error`, and the device stays as it is until it is removed.
   */
  open(): Promise<Keys>;
  /** Maps and binds what the frontend offers. Throws FrontendError when that makes no sense. */
  connect(link: FrontendLink): C;
  /** Begins to serve, or goes on where an instance that failed has stopped. Gives what a frontend reads when it sees Connected. */
  serve(connection: C): Keys;
  /** Stops serving; resolves when nothing is under way any more that touches the guest's memory. Also when `serve` was not called, or threw. */
  quiesce(): Promise<void>;
  /** Lets go of what `open` has opened; what is written is on disk afterwards. Also when `open` was not called, or failed. */
  close(): Promise<void>;
}

/** What an instance knows of its device. */
export interface DeviceGlue {
  readonly type: string;
  readonly domid: number;
  /** The number in the path, e.g. 51712. */
  readonly devid: number;
  /** `/local/domain/0/backend/vbd/1/51712` */
  readonly path: string;
  readonly frontendPath: string;
  /** Of the device, so they outlive an instance that fails. */
  readonly statistics: DeviceStatistics;
  /** A key of the backend's directory. */
  read(key: string): string | undefined;
  /** Ignored when the directory is gone. */
  write(keys: Keys): void;
  /** Runs the body; what it throws is the end of this instance, and nobody else notices. For callbacks: events, timers, promises. */
  guard(body: () => void): void;
  /** The end of this instance. */
  failed(error: unknown): void;
  /** A line about what a frontend does wrong, at most a few for each device. */
  warn(line: string): void;
}
