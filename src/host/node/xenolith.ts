/**
 * The npm API, `import { Host } from 'xenolith'`: what of it there is, and the hypervisor, disks and networks of Node for it. The classes themselves are in
 * src/toolstack/api.
 */
import { assembleParts, InProcessHost } from '../../toolstack/api/in-process-host.ts';
import { imagesOn, type Images } from '../../toolstack/api/images.ts';
import { parseNetworkConfig } from '../../toolstack/config/network-config.ts';
import { nodeDiskHost } from './disk-files.ts';
import { createHost } from './hypervisor-host.ts';
import { mapImage } from './map-image.ts';
import { nodeNetwork } from './net/network-host.ts';
import { readCached } from './page-cache.ts';
import { watchWrites } from './write-watch.ts';

/** What a host has. */
export interface HostOptions {
  /** MiB for all guests together. Default: what the machine has. */
  readonly memory?: number;
  /** What the host has to say, line by line: warnings of configurations, what becomes of guests, mistakes of Xenolith. Default: nowhere. */
  readonly log?: (line: string) => void;
  /** The host's bridges in the syntax of network.cfg. Default: xenbr0, which leads out by NAT. */
  readonly networkConfig?: string;
}

/**
 * A host in this process: no daemon, no root, no files but temporary ones. `await using host = await Host.open()` closes it, and ends its guests, at the end of
 * the block. Guests of a process that ends, or is killed, end with it, as if their plugs were pulled.
 */
export class Host extends InProcessHost {
  /** Throws XenolithError, with code CONFIG or NETWORK for bridges that cannot be. */
  static async open({ memory, log = () => undefined, networkConfig = '' }: HostOptions = {}): Promise<Host> {
    const [parts, remove] = await assembleParts(
      {
        host: createHost({ ...(memory === undefined ? {} : { memoryMiB: memory }), keepsProcess: false }),
        network: { ...nodeNetwork, config: parseNetworkConfig(networkConfig, 'networkConfig') },
        diskHost: nodeDiskHost,
        memory: { mapImage, readCached, watchWrites },
      },
      log,
    );
    return new Host(parts, log, remove);
  }
}

/** Kernels, ramdisks and disks to boot. */
export const images: Images = imagesOn(nodeDiskHost);

export { XenolithError, type ErrorCode, type XenolithErrorOptions } from '../../toolstack/api/errors.ts';
export { sandbox } from '../../toolstack/api/sandbox.ts';
export type { ConsoleReadOptions, GuestConsole, WriteOptions } from '../../toolstack/api/guest-console.ts';
export type {
  AddressRule,
  ChannelConfig,
  DiskConfig,
  DomainRule,
  EgressRule,
  EgressRules,
  EndAction,
  GuestConfig,
  GuestSource,
  NicConfig,
  PortRange,
} from '../../toolstack/api/guest-config.ts';
export type { DetachOptions, DiskInfo, GuestDisks } from '../../toolstack/api/guest-disks.ts';
export type {
  ByteSource,
  FileInfo,
  GuestFiles,
  MakeFolderOptions,
  ReadFileOptions,
  RemoveOptions,
  StatOptions,
  WriteFileOptions,
} from '../../toolstack/api/guest-files.ts';
export type { GuestInfo, GuestState } from '../../toolstack/api/guest-info.ts';
export type {
  EgressSummary,
  ForwardConfig,
  GuestNics,
  NicInfo,
  PortForward,
  Refused,
} from '../../toolstack/api/guest-nics.ts';
export type {
  ExecOptions,
  ExecResult,
  GuestProgram,
  ProgramExit,
  SpawnOptions,
} from '../../toolstack/api/guest-program.ts';
export type { ForkOptions, GuestSnapshot } from '../../toolstack/api/guest-snapshot.ts';
export type { Guest } from '../../toolstack/api/guest.ts';
export type { ShutdownReason } from '../../hypervisor/control.ts';
export type { ExitReason, GuestExit, HostEvent } from '../../toolstack/api/host-event.ts';
export type { AfterSave } from '../../toolstack/migration/transfer.ts';
export type { MigrateOptions, MigrationReport } from '../../toolstack/api/migrate-guest.ts';
export type { SaveOptions } from '../../toolstack/api/save-guest.ts';
export type { OnTransferProgress, TransferProgress } from '../../toolstack/api/transfer-progress.ts';
export type { CreateOptions, HostInfo, RestoreOptions } from '../../toolstack/api/in-process-host.ts';
export type {
  BusyboxOptions,
  DebianOptions,
  ImageOptions,
  Images,
  OnProgress,
  Progress,
} from '../../toolstack/api/images.ts';
export type { WaitOptions } from '../../toolstack/api/wait-options.ts';
