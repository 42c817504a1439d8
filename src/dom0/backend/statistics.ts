/**
 * What a device has done since it came into being, as domain 0 counts it: what Linux' backends show in `/sys/bus/xen-backend/devices/vbd-*\/statistics`
 * and in `/proc/net/dev`. A kind of device that has no such counters leaves them at 0.
 */
export class DeviceStatistics {
  /** Of a disk (xen_blkif_ring's st_rd_req and so on): requests that were taken, sectors of 512 bytes of those that made sense. */
  readonly block = { readRequests: 0, writeRequests: 0, readSectors: 0, writeSectors: 0 };
  /** Of an interface, from the guest and to it; what it could not be given was dropped. */
  readonly net = { fromGuest: newTraffic(), toGuest: newTraffic() };
}

export interface Traffic {
  bytes: number;
  packets: number;
  dropped: number;
}

function newTraffic(): Traffic {
  return { bytes: 0, packets: 0, dropped: 0 };
}
