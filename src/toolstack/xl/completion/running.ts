/** What the daemon says when somebody presses Tab. Nothing, when none runs or something is wrong: completion never complains. */
import type { DaemonClient } from '../../daemon/client.ts';
import type { Candidate, Running } from './candidates.ts';

/** Linux' names of disks that xl understands, by number (xen/docs/man/xen-vbd-interface.7). */
const [XVD_MAJOR, XVD_EXTENDED] = [202, 1 << 28];

export function runningAt(client: DaemonClient | undefined): Running {
  const ask = async (body: (daemon: DaemonClient) => Promise<readonly Candidate[]>): Promise<readonly Candidate[]> => {
    if (client === undefined) return [];
    try {
      return await body(client);
    } catch {
      return [];
    }
  };
  const inDomain = (
    domain: string,
    body: (daemon: DaemonClient, domid: number) => Promise<readonly Candidate[]>,
  ): Promise<readonly Candidate[]> =>
    ask(async (daemon) => {
      const known = /^\d+$/.test(domain) ? Number(domain) : (await daemon.call('domid', { name: domain })).domid;
      return known === null ? [] : body(daemon, known);
    });
  return {
    domains: () =>
      ask(async (daemon) => {
        const { domains } = await daemon.call('list', {});
        return domains.map(({ name, domid }) => ({ text: name, description: `domain ${domid}` }));
      }),
    disks: (domain) =>
      inDomain(domain, async (daemon, domid) => {
        const { disks } = await daemon.call('disks', { domid });
        return disks.map(({ devid, backend }) => ({ text: diskName(devid), description: backend }));
      }),
    nics: (domain) =>
      inDomain(domain, async (daemon, domid) => {
        const { nics } = await daemon.call('nics', { domid });
        return nics.map(({ devid, mac }) => ({ text: String(devid), description: mac }));
      }),
    pools: () =>
      ask(async (daemon) => {
        const { pools } = await daemon.call('cpuPools', {});
        return pools.map(({ name, scheduler }) => ({ text: name, description: scheduler }));
      }),
    forwards: () =>
      ask(async (daemon) => {
        const { forwards } = await daemon.call('forwards', {});
        return forwards.map(({ host, guest }) => ({ text: host, description: guest }));
      }),
  };
}

/** `xvda`, `xvdb1`; others by number, which xl takes too. */
function diskName(devid: number): string {
  const [disk, partition] =
    devid >= XVD_EXTENDED
      ? [(devid - XVD_EXTENDED) >>> 8, devid & 0xff]
      : devid >>> 8 === XVD_MAJOR
        ? [(devid & 0xff) >>> 4, devid & 0xf]
        : [undefined, 0];
  if (disk === undefined) return String(devid);
  return `xvd${letters(disk)}${partition === 0 ? '' : partition}`;
}

/** a to z, then aa, ab … */
function letters(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : `${letters(Math.floor(index / 26) - 1)}${last}`;
}
