/** `xl cpupool-destroy`, `-rename`, `-cpu-add`, `-cpu-remove`, `-migrate` and `-numa-split` */
import type { DaemonClient } from '../../daemon/client.ts';
import { attempt, readArguments, type Invocation } from '../command.ts';
import { cpuPools, findPool, readCpus } from '../cpu-pools.ts';

type Change = (invocation: Invocation, client: DaemonClient, first: string, second: string) => Promise<number>;

const changes: Readonly<Record<string, { readonly required: number; readonly run: Change }>> = {
  'cpupool-destroy': { required: 1, run: destroy },
  'cpupool-rename': { required: 2, run: rename },
  'cpupool-cpu-add': { required: 2, run: addCpus },
  'cpupool-cpu-remove': { required: 2, run: removeCpus },
  'cpupool-migrate': { required: 2, run: migrate },
  'cpupool-numa-split': { required: 0, run: numaSplit },
};

export async function run(invocation: Invocation): Promise<number> {
  const change = changes[invocation.name];
  if (change === undefined) throw new Error(`no command of CPU pools: ${invocation.name}`);
  const { arguments: given } = await readArguments(invocation, { short: '' }, change.required);
  return change.run(invocation, await invocation.daemon(), given[0] ?? '', given[1] ?? '');
}

async function destroy(invocation: Invocation, client: DaemonClient, name: string): Promise<number> {
  const { poolid } = await findPool(invocation, name);
  if ((await attempt(invocation, () => client.call('destroyCpuPool', { poolid }))) === undefined) return 0;
  invocation.err(`Can't destroy cpupool '${name}'`);
  return 1;
}

async function rename(invocation: Invocation, client: DaemonClient, from: string, name: string): Promise<number> {
  const { poolid } = await findPool(invocation, from);
  if ((await attempt(invocation, () => client.call('renameCpuPool', { poolid, name }))) === undefined) return 0;
  invocation.err(`Can't rename cpupool '${from}'`);
  return 1;
}

async function addCpus(invocation: Invocation, client: DaemonClient, name: string, range: string): Promise<number> {
  const { failed } = await eachCpu(invocation, name, range, (poolid, cpu) =>
    client.call('addPoolCpu', { poolid, cpu }),
  );
  if (failed) invocation.err(`some cpus may not have been added to ${name}`);
  return 0;
}

async function removeCpus(invocation: Invocation, client: DaemonClient, name: string, range: string): Promise<number> {
  const { failed } = await eachCpu(invocation, name, range, (poolid, cpu) =>
    client.call('removePoolCpu', { poolid, cpu }),
  );
  if (failed) {
    invocation.err(`Some cpus may have not or only partially been removed from '${name}'.`);
    invocation.err(`If a cpu can't be added to another cpupool, add it to '${name}' again and retry.`);
  }
  return 0;
}

async function eachCpu(
  invocation: Invocation,
  name: string,
  range: string,
  change: (poolid: number, cpu: number) => Promise<unknown>,
): Promise<{ failed: boolean }> {
  const { cpus } = await cpuPools(invocation);
  const set = readCpus(invocation, range, cpus);
  const { poolid } = await findPool(invocation, name);
  let failed = false;
  for (const cpu of set) if ((await attempt(invocation, () => change(poolid, cpu))) !== undefined) failed = true;
  return { failed };
}

async function migrate(invocation: Invocation, client: DaemonClient, domain: string, name: string): Promise<number> {
  const domid = await domidOf(client, domain);
  if (domid === null) {
    invocation.err(`unknown domain '${domain}'`);
    return 1;
  }
  const { poolid } = await findPool(invocation, name);
  const failure = await attempt(invocation, () => client.call('moveDomain', { domid, poolid }));
  return failure === undefined ? 0 : 1;
}

async function domidOf(client: DaemonClient, text: string): Promise<number | null> {
  if (!/^[0-9]+$/.test(text)) return (await client.call('domid', { name: text })).domid;
  const domid = Number(text) % 2 ** 32;
  return (await client.call('domname', { domid })).name === null ? null : domid;
}

/** One pool for each NUMA node: the host has one node, so its pool takes the free processors and another name. */
async function numaSplit(invocation: Invocation, client: DaemonClient): Promise<number> {
  const { pools, freeCpus } = await cpuPools(invocation);
  if (pools.length > 1) {
    invocation.err('splitting not possible, already cpupools in use');
    return 1;
  }
  for (const cpu of freeCpus) await attempt(invocation, () => client.call('addPoolCpu', { poolid: 0, cpu }));
  await client.call('renameCpuPool', { poolid: 0, name: 'Pool-node0' });
  return 0;
}
