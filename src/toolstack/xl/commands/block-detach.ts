/** `xl block-detach` */
import { attempt, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given, has } = await readArguments(invocation, { short: 'f', long: { force: 'f' } }, 2);
  const [domain = '', vdev = ''] = given;
  const domid = await findDomain(invocation, domain);
  const client = await invocation.daemon();
  if ((await attempt(invocation, () => client.call('findDisk', { domid, vdev }))) !== undefined) {
    invocation.err(`Error: Device ${vdev} not connected.`);
    return 1;
  }
  const force = has('f');
  if ((await attempt(invocation, () => client.call('detachDisk', { domid, vdev, force }))) === undefined) return 0;
  invocation.err(`libxl_device_disk_${force ? 'destroy' : 'safe_remove'} failed.`);
  return 1;
}
