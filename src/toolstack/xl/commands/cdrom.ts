/** `xl cd-insert` and `xl cd-eject` */
import { existsSync } from 'node:fs';
import { formatJson } from '../../config/json.ts';
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';
import { readDisk, withAbsoluteTarget } from '../disk-arguments.ts';

export async function run(invocation: Invocation): Promise<number> {
  const eject = invocation.name === 'cd-eject';
  const { arguments: given } = await readArguments(invocation, { short: '' }, eject ? 2 : 3);
  const [domain = '', vdev = '', file = ''] = given;
  const domid = await findDomain(invocation, domain);
  const disk = readDisk(invocation, [`vdev=${vdev},access=r,devtype=cdrom,target=${eject ? '' : file}`]);
  if (disk['format'] !== 'empty' && !existsSync(String(disk['pdev_path']))) {
    invocation.err(`Cannot stat file: ${String(disk['pdev_path'])}`);
    return 1;
  }
  if (invocation.globals.dryRun) {
    invocation.out(`disk: ${formatJson(disk)}\n\n`);
    return 0;
  }
  const client = await invocation.daemon();
  const request = { domid, disk: withAbsoluteTarget(disk) };
  return (await attempt(invocation, () => client.call('insertCdrom', request))) === undefined ? 0 : 1;
}
