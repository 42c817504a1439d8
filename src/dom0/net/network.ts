/** The networks of a host: its bridges by name, each a switch of its own, most with a way out by NAT; or bridges that the host has besides. */
import { EgressPorts } from './egress/egress-ports.ts';
import type { EgressSummary } from './egress/egress.ts';
import { LinkEnd, type Bridge } from './link.ts';
import { contains, formatMac, parseIp, parseIpv4, parseMac } from './packet/addresses.ts';
import { Nat, type NatHost } from './nat/nat.ts';
import type { NatConfig } from './nat/nat-config.ts';
import type { ForwardRule } from './nat/forwards.ts';
import type { HostAddress } from './nat/host-sockets.ts';
import { eui64, guardFor, type Guard } from './switch/guard.ts';
import { LearningSwitch } from './switch/learning-switch.ts';
import type { VifDirectory } from './vif-directory.ts';

export interface BridgeConfig {
  /** As `bridge=` of a vif names it. */
  readonly name: string;
  /** Undefined: the guests are among themselves. */
  readonly nat?: NatConfig | undefined;
  /** Guests are kept to their own addresses. */
  readonly antispoof: boolean;
  /** It is the host's own bridge of this name, and nothing else here applies. */
  readonly host?: boolean;
}

export interface NetworkHost extends NatHost {
  /** A bridge that the host itself has; undefined when there is none of this name. Its \`plug\` throws an Error for a person when it is not allowed. */
  readonly hostBridge?: (name: string) => Bridge | undefined;
}

export interface NamedForward extends ForwardRule {
  readonly bridge: string;
}

interface Member {
  readonly config: BridgeConfig;
  readonly bridge: LearningSwitch;
  readonly nat: Nat | undefined;
}

/** A person asked for something that cannot be. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError';
}

export class Network {
  readonly #bridges = new Map<string, Member>();
  readonly #hostBridges = new Set<string>();
  readonly #host: NetworkHost;
  readonly #directory: VifDirectory;
  readonly #egress = new EgressPorts();

  constructor(configs: readonly BridgeConfig[], host: NetworkHost, directory: VifDirectory) {
    this.#directory = directory;
    this.#host = host;
    for (const config of configs) {
      if (config.host === true) this.#hostBridges.add(config.name);
      else this.#bridges.set(config.name, this.#make(config, host));
    }
  }

  #make(config: BridgeConfig, host: NatHost): Member {
    const directory = this.#directory;
    let nat: Nat | undefined;
    const bridge = new LearningSwitch(host.timers, {
      guardFor: ({ mac, isGateway }) => (isGateway === true ? undefined : this.#guard(mac, () => nat)),
      guarded: config.antispoof,
      plugged: (port) => this.#egress.add(port),
      unplugged: (port) => {
        const { mac } = port;
        this.#egress.remove(port);
        const address = mac === undefined ? undefined : parseMac(mac);
        if (address) nat?.forget(address);
      },
    });
    if (config.nat) {
      const [end, other] = LinkEnd.pair();
      nat = new Nat(end, config.nat, host, {
        reservedAddress: (mac) => directory.ipOf(mac).flatMap((text) => parseIpv4(text) ?? [])[0],
        macsOf: (name) => directory.macsOf(name),
        egressOf: (mac) => this.#egress.of(mac),
      });
      bridge.plug(other, { name: 'nat', isGateway: true });
    }
    return { config, bridge, nat };
  }

  /** What DHCP has given and what IPv6 makes of the ethernet address. With `ip=` the backend looks at addresses, and here is left the ethernet address. */
  #guard(mac: string | undefined, nat: () => Nat | undefined): Guard | undefined {
    const bytes = mac === undefined ? undefined : parseMac(mac);
    if (bytes === undefined) return undefined;
    const key = formatMac(bytes);
    return guardFor(key, () => {
      const gateway = nat();
      if (gateway === undefined || this.#directory.ipOf(key).length > 0) return undefined;
      const lease = gateway.leaseOf(key);
      const { subnet6 } = gateway.config;
      return [...(lease ? [lease] : []), ...(subnet6 ? [eui64(subnet6.address, bytes)] : [])];
    });
  }

  /** Undefined: there is no bridge of this name. */
  bridge(name: string): Bridge | undefined {
    if (this.#hostBridges.has(name)) return this.#host.hostBridge?.(name);
    return this.#bridges.get(name)?.bridge;
  }

  get names(): readonly string[] {
    return [...this.#bridges.keys(), ...this.#hostBridges];
  }

  /** What the interface of this name, `vif3.0` or its `vifname=`, may reach and has reached; undefined: there is none. */
  egressOf(port: string): EgressSummary | undefined {
    return this.#egress.named(port)?.summary;
  }

  get forwards(): readonly NamedForward[] {
    return [...this.#bridges].flatMap(([bridge, { nat }]) =>
      (nat?.forwards ?? []).map((rule) => ({ ...rule, bridge })),
    );
  }

  /** Listens at a port of the host for a guest. Without a bridge: the one whose subnet the guest's address is of, or the first with NAT. */
  async forward(rule: ForwardRule, bridge: string | undefined): Promise<NamedForward> {
    const [name, nat] = this.#gatewayFor(rule.guest, bridge);
    try {
      return { ...(await nat.forward(rule)), bridge: name };
    } catch (error) {
      throw new NetworkError(error instanceof Error ? error.message : String(error));
    }
  }

  /** Throws NetworkError when there is none. */
  removeForward(protocol: 'tcp' | 'udp', host: HostAddress): void {
    for (const { nat } of this.#bridges.values()) if (nat?.removeForward(protocol, host)) return;
    throw new NetworkError(`nothing is forwarded from ${protocol} ${host.address} port ${host.port}`);
  }

  #gatewayFor(guest: string, bridge: string | undefined): [string, Nat] {
    const address = parseIp(guest);
    for (const [name, { nat }] of this.#bridges) {
      if (!nat || (bridge !== undefined && bridge !== name)) continue;
      const { subnet, subnet6 } = nat.config;
      const inside = address && (contains(subnet, address) || (subnet6 !== undefined && contains(subnet6, address)));
      if (address === undefined || inside) return [name, nat];
    }
    if (bridge !== undefined && !this.names.includes(bridge)) throw new NetworkError(`there is no bridge "${bridge}"`);
    if (bridge !== undefined && this.#bridges.get(bridge)?.nat === undefined)
      throw new NetworkError(`the bridge "${bridge}" has no NAT, so nothing can be forwarded to it`);
    throw new NetworkError(
      address
        ? `no bridge${bridge === undefined ? '' : ` "${bridge}"`} has a subnet with ${guest} in it`
        : 'no bridge of this host has NAT',
    );
  }

  close(): void {
    for (const { nat } of this.#bridges.values()) nat?.close();
  }
}
