/** `xl network-attach` */
import { ConfigError } from '../../config/config-error.ts';
import { formatJson, type JsonObject } from '../../config/json.ts';
import { parseNicArguments } from '../../config/nic-spec.ts';
import { attempt, Exit, findDomain, readArguments, type Invocation } from '../command.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: '' }, 1);
  const [domain = '', ...parts] = given;
  const domid = await findDomain(invocation, domain);
  const nic = readNic(invocation, parts);
  if (invocation.globals.dryRun) {
    invocation.out(`vif: ${formatJson(nic)}\n\n`);
    return 0;
  }
  const client = await invocation.daemon();
  if ((await attempt(invocation, () => client.call('attachNic', { domid, nic }))) === undefined) return 0;
  invocation.err('libxl_device_nic_add failed.');
  return 1;
}

/** One interface, whose parameters are arguments of their own. A wrong one is told, and ends the command. */
function readNic({ err }: Invocation, parts: readonly string[]): JsonObject {
  try {
    const { nic, refused } = parseNicArguments(parts, { source: 'command line', report: err });
    if (refused === 0) return nic;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    err(error.message);
  }
  throw new Exit(1);
}
