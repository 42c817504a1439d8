/** How a NAT is set up: its addresses on the bridge, and what guests may reach. */
import { hostAddress, type Subnet } from '../packet/addresses.ts';
import type { HostAddress } from './host-sockets.ts';

export interface NatConfig {
  readonly subnet: Subnet;
  /** Absent: no IPv6 on this bridge. */
  readonly subnet6?: Subnet | undefined;
  /** The gateway's addresses stand for the host's loopback: guests may reach what listens at 127.0.0.1 and ::1. */
  readonly allowHost: boolean;
  /** Guests reach nothing but the gateway's own services and other guests. */
  readonly restricted: boolean;
  readonly dhcp: boolean;
  /** In place of the host's. */
  readonly resolvers?: readonly HostAddress[] | undefined;
  /** Of the guests' interfaces. */
  readonly mtu: number;
}

/** The addresses that the NAT answers for, by their numbers in the subnet. */
const GATEWAY = 2;
const NAME_SERVER = 3;
const FIRST_LEASE = 15;

export interface NatAddresses {
  readonly mac: Uint8Array;
  readonly gateway: Uint8Array;
  readonly nameServer: Uint8Array;
  readonly gateway6: Uint8Array | undefined;
  readonly nameServer6: Uint8Array | undefined;
  readonly linkLocal: Uint8Array;
  /** Numbers in the subnet that DHCP gives away. */
  readonly leases: { readonly first: number; readonly count: number };
}

/** No more guests than that on a bridge. */
const MOST_LEASES = 4096;

export function addressesOf({ subnet, subnet6 }: NatConfig): NatAddresses {
  const gateway = hostAddress(subnet, GATEWAY);
  const hosts = 2 ** (32 - subnet.prefix) - 1;
  return {
    // Locally administered, and the same for the same subnet, so that guests' tables stay right when the daemon is new.
    mac: Uint8Array.of(0x52, 0x55, ...gateway),
    gateway,
    nameServer: hostAddress(subnet, NAME_SERVER),
    gateway6: subnet6 && hostAddress(subnet6, GATEWAY),
    nameServer6: subnet6 && hostAddress(subnet6, NAME_SERVER),
    linkLocal: Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, GATEWAY),
    leases: { first: FIRST_LEASE, count: Math.min(Math.max(hosts - FIRST_LEASE, 0), MOST_LEASES) },
  };
}
