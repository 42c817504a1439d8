/** The network interfaces of a guest while it runs, and ports of the host that lead to it. */
import { XenbusState } from '../../abi/io/xenbus.ts';
import type { EgressSummary } from '../../dom0/net/egress/egress.ts';
import type { HostParts } from '../assembly/assemble-host.ts';
import { parseNic } from '../config/nic-spec.ts';
import { egressOf, setEgress } from '../devices/nic-egress.ts';
import { abortable } from './abortable.ts';
import { checkEgress, nicSpec } from './config-text.ts';
import { asXenolithError, withApiErrors, XenolithError } from './errors.ts';
import type { EgressRules, NicConfig } from './guest-config.ts';
import type { KeepAlive } from './keep-alive.ts';
import type { WaitOptions } from './wait-options.ts';

/** A network interface of a guest at one moment. */
export interface NicInfo {
  /** The number in `eth0`, as a rule. */
  readonly devid: number;
  /** Its ethernet address. */
  readonly mac: string;
  /** The bridge that it is on. */
  readonly bridge: string;
  /** The guest's driver uses it. */
  readonly connected: boolean;
}

export type { EgressSummary, Refused } from '../../dom0/net/egress/egress.ts';

/** What is listened at, and where it leads. */
export interface ForwardConfig {
  /** The guest's port. */
  readonly port: number;
  /** Default `tcp`. */
  readonly protocol?: 'tcp' | 'udp';
  /** The address of the host that is listened at. Default `127.0.0.1`, which only the host itself reaches. */
  readonly hostAddress?: string;
  /** Default 0: one that is free. */
  readonly hostPort?: number;
}

/** A port of the host that leads to a guest, until it is closed or the host is. It keeps the process alive, as every listening socket does. */
export interface PortForward extends AsyncDisposable {
  /** The address that is listened at. */
  readonly hostAddress: string;
  /** The port that is listened at. */
  readonly hostPort: number;
  /** The guest's port. */
  readonly port: number;
  /** Listens no more. */
  close(): Promise<void>;
}

/** The network interfaces of a guest while it runs, and ports of the host that lead to it. */
export class GuestNics {
  readonly #glue: { readonly parts: HostParts; readonly keepAlive: KeepAlive };
  readonly #domid: () => number;

  /** @internal */
  constructor(glue: { readonly parts: HostParts; readonly keepAlive: KeepAlive }, domid: () => number) {
    this.#glue = glue;
    this.#domid = domid;
  }

  /** Those that it has now. Throws XenolithError with code GONE when it has ended. */
  list(): readonly NicInfo[] {
    const domid = this.#domid();
    const { manager } = this.#glue.parts;
    const configs = manager.domain(domid)?.config.devices.nics ?? [];
    return manager.devices.nics(domid).map(({ devid, mac, state }) => {
      const bridge = configs.find((nic) => nic['devid'] === devid)?.['bridge'];
      return {
        devid,
        mac,
        bridge: typeof bridge === 'string' ? bridge : '',
        connected: state === XenbusState.Connected,
      };
    });
  }

  /** Resolves when the interface is plugged in. */
  async attach(config: NicConfig = {}, { signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const attach = async (): Promise<void> => {
      const domid = this.#domid();
      const said: string[] = [];
      const next = Math.max(-1, ...this.list().map(({ devid }) => devid)) + 1;
      const { nic } = parseNic(nicSpec(config), next, { source: 'nic', report: (line) => said.push(line) });
      if (said.length > 0) throw new XenolithError('CONFIG', said.join('\n'), { lines: said });
      await this.#glue.parts.manager.devices.attachNic(domid, nic);
    };
    await this.#glue.keepAlive.during(abortable(withApiErrors(attach), signal));
  }

  /** By its ethernet address or its number. Resolves when it is gone. */
  async detach(which: string | number, { signal }: WaitOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const detach = (): Promise<void> => this.#glue.parts.manager.devices.detachNic(this.#domid(), String(which));
    await this.#glue.keepAlive.during(abortable(withApiErrors(detach), signal));
  }

  /** What one of them, by its ethernet address or its number, may reach, and what it has. Throws XenolithError, with code GONE when the guest has ended. */
  egress(which: string | number): EgressSummary {
    const domid = this.#domid();
    try {
      const [found] = egressOf(this.#glue.parts, domid, String(which));
      if (found === undefined) throw new XenolithError('INVALID', `the guest has no interface ${which}`);
      const { rules, passed, refused } = found;
      return { rules, passed, refused: { ...refused } };
    } catch (error) {
      throw asXenolithError(error);
    }
  }

  /**
   * What they may reach from now on, after a reboot too: all of them, or the one with this ethernet address or number. Connections that stand remain. Throws XenolithError, with code
   * CONFIG for rules that cannot be.
   */
  async setEgress(rules: EgressRules, which?: string | number): Promise<void> {
    checkEgress(rules);
    const one = which === undefined ? undefined : String(which);
    await withApiErrors(() => setEgress(this.#glue.parts, this.#domid(), rules, one));
  }

  /** Listens at a port of the host for a port of the guest, which has to be on a bridge with NAT. */
  async forward({
    port,
    protocol = 'tcp',
    hostAddress = '127.0.0.1',
    hostPort = 0,
  }: ForwardConfig): Promise<PortForward> {
    const { network, manager } = this.#glue.parts;
    const guest = manager.nameOf(this.#domid()) ?? '';
    if (network === undefined) throw new XenolithError('NETWORK', 'this host has no network');
    const at = { address: hostAddress, port: hostPort };
    const { host } = await withApiErrors(() =>
      network.forward({ protocol, host: at, guest, guestPort: port }, undefined),
    );
    let open = true;
    const close = async (): Promise<void> => {
      if (open) await withApiErrors(() => network.removeForward(protocol, host));
      open = false;
    };
    return { hostAddress: host.address, hostPort: host.port, port, close, [Symbol.asyncDispose]: close };
  }
}
