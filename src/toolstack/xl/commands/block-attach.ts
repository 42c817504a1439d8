/** `xl block-attach` */
import { formatJson } from '../../config/json.ts';
import { attempt, readArguments, type Invocation } from '../command.ts';
import { readDisk, withAbsoluteTarget } from '../disk-arguments.ts';
import { domainOrComplaint } from '../domain-argument.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 2);
  const [domain = '', ...parts] = given;
  const domid = await domainOrComplaint(invocation, domain);
  if (domid === undefined) return 1;
  const disk = readDisk(invocation, parts);
  if (invocation.globals.dryRun) {
    invocation.out(`disk: ${formatJson(disk)}\n\n`);
    return 0;
  }
  const client = await invocation.daemon();
  const request = { domid, disk: withAbsoluteTarget(disk) };
  if ((await attempt(invocation, () => client.call('attachDisk', request))) === undefined) return 0;
  invocation.err('libxl_device_disk_add failed.');
  return 1;
}
