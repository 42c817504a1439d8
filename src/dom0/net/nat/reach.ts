/** Where a guest may go. The host's loopback is nobody else's business, and a router forwards nothing that has to stay on a link. */
import { contains, parseIp, parseSubnet, type Subnet } from '../packet/addresses.ts';
import { equalBytes } from '../packet/bytes.ts';
import type { HostSockets } from './host-sockets.ts';
import type { Timers } from '../timers.ts';
import type { NatAddresses, NatConfig } from './nat-config.ts';

/** The host's addresses change seldom, and looking is not free. */
const REFRESH_MS = 5000;

/**
 * Never forwarded: "this host" (which systems take for their own loopback), loopback, link-local addresses (RFC 3927, section 7; cloud machines find
 * their credentials there), multicast and the reserved rest; and IPv6's forms of them.
 */
const kept: readonly Subnet[] = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // Unspecified, loopback, and all forms with an IPv4 address inside that the host would unpack.
  '::/64',
  '64:ff9b:1::/48',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
].map((text) => {
  const subnet = parseSubnet(text);
  if (!subnet) throw new Error(`not a subnet: ${text}`);
  return subnet;
});

export type Reach =
  /** An address of the NAT itself. */
  'gateway' | 'name-server' | 'outside' | 'forbidden';

export class ReachRule {
  readonly #config: NatConfig;
  readonly #addresses: NatAddresses;
  readonly #sockets: Pick<HostSockets, 'loopbackAddresses'>;
  readonly #timers: Timers;
  #loopback: { readonly addresses: readonly Uint8Array[]; readonly at: number } | undefined;

  constructor(
    config: NatConfig,
    addresses: NatAddresses,
    sockets: Pick<HostSockets, 'loopbackAddresses'>,
    timers: Timers,
  ) {
    this.#config = config;
    this.#addresses = addresses;
    this.#sockets = sockets;
    this.#timers = timers;
  }

  /** The NAT answers for this address. */
  isOurs(address: Uint8Array): boolean {
    return this.#ours(address) !== undefined;
  }

  #ours(address: Uint8Array): 'gateway' | 'name-server' | undefined {
    const { gateway, gateway6, nameServer, nameServer6, linkLocal } = this.#addresses;
    const is = (own: Uint8Array | undefined): boolean => own !== undefined && equalBytes(own, address);
    if (is(gateway) || is(gateway6) || is(linkLocal)) return 'gateway';
    return is(nameServer) || is(nameServer6) ? 'name-server' : undefined;
  }

  of(destination: Uint8Array): Reach {
    const own = this.#ours(destination);
    if (own) return own;
    const { subnet, subnet6, restricted } = this.#config;
    const ours = contains(subnet, destination) || (subnet6 !== undefined && contains(subnet6, destination));
    if (restricted || ours || kept.some((range) => contains(range, destination))) return 'forbidden';
    return this.#hostOnly().some((address) => equalBytes(address, destination)) ? 'forbidden' : 'outside';
  }

  #hostOnly(): readonly Uint8Array[] {
    const now = this.#timers.now();
    if (this.#loopback === undefined || now - this.#loopback.at > REFRESH_MS) {
      const addresses = this.#sockets.loopbackAddresses().flatMap((text) => parseIp(text) ?? []);
      this.#loopback = { addresses, at: now };
    }
    return this.#loopback.addresses;
  }
}
