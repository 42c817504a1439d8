/** What `xl top` asks for; a part of protocol.ts. All numbers count from when the domain, or the device, came into being. */
export interface TrafficSummary {
  readonly bytes: number;
  readonly packets: number;
  readonly dropped: number;
}

export interface NicStatistics {
  readonly devid: number;
  readonly fromGuest: TrafficSummary;
  readonly toGuest: TrafficSummary;
}

export interface DiskStatistics {
  readonly devid: number;
  readonly readRequests: number;
  readonly writeRequests: number;
  readonly readSectors: number;
  readonly writeSectors: number;
}

export interface DomainStatistics {
  readonly domid: number;
  readonly name: string;
  readonly running: boolean;
  readonly blocked: boolean;
  readonly paused: boolean;
  readonly shutdown: boolean;
  readonly dying: boolean;
  readonly shutdownReason: number;
  readonly cpuTimeNs: number;
  readonly memKiB: number;
  /** Null: it may have as much as there is. */
  readonly maxMemKiB: number | null;
  /** Of each vCPU, from the first on. */
  readonly vcpus: readonly { readonly online: boolean; readonly cpuTimeNs: number }[];
  readonly nics: readonly NicStatistics[];
  readonly disks: readonly DiskStatistics[];
}

export interface HostStatistics {
  readonly xenVersion: string;
  readonly nrCpus: number;
  readonly cpuKhz: number;
  readonly totalKiB: number;
  readonly freeKiB: number;
  /** Ascending by domid. */
  readonly domains: readonly DomainStatistics[];
}

export interface StatisticsMethods {
  statistics: { params: Record<never, never>; result: HostStatistics };
}
